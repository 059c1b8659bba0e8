"""Variation between benchmarks of one file: by hand, and simulated with outliers and skew."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from edgecnn.benchmarks.results.between import ASSUMED, Between, between_benchmarks, difference_of_logs, ratio_of
from edgecnn.benchmarks.results.records import Launch, Round
from edgecnn.benchmarks.timing.times import Times

pytestmark = pytest.mark.workstation("exact sums and simulations take minutes under emulation")

SAMPLES = 3000
# One point, and three standard deviations of a share of 95 % for this many samples.
LEAST = 0.95 - 0.01 - 3 * math.sqrt(0.95 * 0.05 / SAMPLES) / 4

Logs = NDArray[np.float64]
Draw = Callable[[np.random.Generator, int], Logs]


def launch(time_ns: int) -> Launch:
    rounds = (Round(Times.pack([1]), Times.pack([time_ns]), 0, None),)
    return Launch(0, 0, Times.pack([1]), True, rounds, 1, 1)


def test_fewer_than_two_launches_of_a_single_benchmark_give_no_interval() -> None:
    with pytest.raises(ValueError, match=r"least 2 launches.*1 and 3"):
        difference_of_logs([np.zeros(1)], [np.zeros(3)])


def test_the_variance_between_benchmarks_is_that_of_a_worked_example() -> None:
    # Means 2, 5 and 5 with variances 2, 2 and 2 of two launches each: mean squares 6 between and 2 within.
    logs = np.array([[1.0, 3.0], [4.0, 6.0], [4.0, 6.0]])
    found = between_benchmarks(logs)
    assert found.variance == pytest.approx((6 - 2) / 2)
    assert found.degrees == pytest.approx(max(1, (6 - 2) ** 2 / (6**2 / 2 + 2**2 / 3)))
    assert found.deviation == pytest.approx(math.sqrt(2))
    # Benchmarks that differ by no more than their launches do show nothing beyond them.
    assert between_benchmarks(np.array([[1.0, 3.0], [3.0, 1.0]])) == Between(0.0, 1)


def test_the_assumed_part_is_in_the_interval() -> None:
    # Variances of 0.01 over 3 launches each: 4 degrees of freedom, t = 2.776.
    half = 2.7764 * math.sqrt(2 * 0.01 * (1 / 3 + ASSUMED**2))
    found = difference_of_logs([np.array([0.3, 0.5, 0.4])], [np.array([0.0, 0.1, 0.2])])
    assert (found.low, found.estimate, found.high) == pytest.approx((0.3 - half, 0.3, 0.3 + half), abs=1e-4)


def test_several_benchmarks_are_students_t_over_their_means_wider_where_launches_differ_more() -> None:
    # Means 0, 0.2 and 0.5, 0.7: one variance of 0.02, 2 degrees of freedom, t = 4.3027.
    new, old = [np.array([0.4, 0.6]), np.array([0.7, 0.7])], [np.array([0.0]), np.array([0.1, 0.3])]
    half = 4.3026527 * math.sqrt(0.02 * (1 / 2 + 1 / 2))
    found = difference_of_logs(new, old)
    assert (found.low, found.estimate, found.high) == pytest.approx((0.5 - half, 0.5, 0.5 + half))
    # The benchmarks' means are all alike; 4 launches of a variance of 2 each: 4 degrees of freedom, t = 2.776.
    new, old = ([np.array([-1.0, 1.0]) + center, np.array([1.0, -1.0]) + center] for center in (0.5, 0.0))
    found = difference_of_logs(new, old)
    assert found.high - 0.5 == pytest.approx(2.7764 * math.sqrt(2 / 4 + 2 / 4), abs=1e-3)


def test_a_ratio_is_of_the_launches_times() -> None:
    new, old = ([launch(round(1e6 * factor * spread)) for spread in (0.99, 1.0, 1.01)] for factor in (1.2, 1.0))
    found = ratio_of([new], [old])
    assert found.estimate == pytest.approx(1.2, rel=1e-5)
    assert found.low < 1.2 < found.high


def even(rng: np.random.Generator, launches: int, between: float = 0.5) -> Logs:
    """A benchmark whose launches differ by 1 %, and another with half of that."""
    return 0.01 * (between * rng.standard_normal() + rng.standard_normal(launches))


def most(rng: np.random.Generator, launches: int) -> Logs:
    """Benchmarks that differ by as much as is assumed."""
    return even(rng, launches, ASSUMED)


def outliers(slower: float) -> Draw:
    """One launch in ten is slower by this factor."""
    return lambda rng, launches: even(rng, launches) + np.log(np.where(rng.random(launches) < 0.1, slower, 1))


def skewed(rng: np.random.Generator, launches: int) -> Logs:
    """Benchmarks and launches whose logarithms are exponential: seldom far slower, never far faster."""
    return 0.01 * (0.5 * rng.standard_exponential() + rng.standard_exponential(launches))


SCENES = {
    "as assumed": most,
    "one in ten 3 % slower": outliers(1.03),
    "one in ten 20 % slower": outliers(1.2),
    "skewed": skewed,
}


def coverage(draw: Draw, old: int, new: int, launches: int, floor: int = 0) -> float:
    """Return how often the interval of a file compared with itself contains no difference; `floor` is the selftest's trials."""
    rng = np.random.default_rng([old, new, launches, floor])
    held = 0
    for _ in range(SAMPLES):
        # Each trial of a selftest has both sides of one benchmark.
        trials = between_benchmarks(np.array([draw(rng, 2 * launches) for _ in range(floor)])) if floor else None
        now, then = ([draw(rng, launches) for _ in range(count)] for count in (new, old))
        found = difference_of_logs(now, then, trials)
        held += found.low <= 0 <= found.high
    return held / SAMPLES


@pytest.mark.parametrize(("scene", "launches"), [*((scene, 5) for scene in SCENES), ("as assumed", 20)])
def test_a_file_beside_itself_gives_no_evidence_in_95_of_100_with_what_is_assumed(scene: str, launches: int) -> None:
    assert coverage(SCENES[scene], 1, 1, launches) >= LEAST


@pytest.mark.parametrize("scene", SCENES)
def test_so_it_does_with_the_floor_of_a_selftest(scene: str) -> None:
    assert coverage(SCENES[scene], 1, 1, 5, floor=20) >= LEAST


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize(("old", "new"), [(2, 2), (3, 1)])
def test_so_it_does_with_several_benchmarks(scene: str, old: int, new: int) -> None:
    assert coverage(SCENES[scene], old, new, 5) >= LEAST


def test_benchmarks_that_differ_by_more_than_is_assumed_need_a_floor() -> None:
    def wide(rng: np.random.Generator, launches: int) -> Logs:
        return even(rng, launches, 1.5)

    assert coverage(wide, 1, 1, 5) < 0.85
    assert coverage(wide, 1, 1, 5, floor=20) >= LEAST


def test_an_interval_of_launches_alone_calls_identical_files_different_in_one_of_six_pairs() -> None:
    rng, held = np.random.default_rng(2), 0
    for _ in range(SAMPLES):
        found = difference_of_logs([even(rng, 5)], [even(rng, 5)], Between(0.0, 1))
        held += found.low <= 0 <= found.high
    assert held / SAMPLES == pytest.approx(5 / 6, abs=0.02)


def test_a_difference_of_10_percent_is_found() -> None:
    rng = np.random.default_rng(1)
    for count in (1, 3):
        sides = [([even(rng, 5) + shift for _ in range(count)] for shift in (0.1, 0.0)) for _ in range(100)]
        assert sum(difference_of_logs(list(new), list(old)).low > 0 for new, old in sides) > 90
