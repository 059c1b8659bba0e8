"""Comparisons of files, on known samples with intervals computed by hand, and in simulated benchmarks."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from edgecnn.benchmarks.results.latency_summary import beside_fastest, fastest, ratios
from edgecnn.benchmarks.results.records import Launch, Round
from edgecnn.benchmarks.timing.times import Times
from edgecnn.edge.export_records import Interval
from tests.benchmarks.show.pages import file_result

# Student's t at 97.5 % with 2 degrees of freedom, from tables.
T2 = 4.3026527
NOTHING = Times.pack([])


def launch(*rounds: Sequence[int]) -> Launch:
    """Return a launch with these rounds' times."""
    return Launch(1, 1, NOTHING, True, tuple(Round(NOTHING, Times.pack(times), 0, None) for times in rounds), 1, 1)


def launches(times: NDArray[np.float64]) -> list[list[Launch]]:
    """Return the launches of each file, from float64 (launches, files) in nanoseconds."""
    return [[launch([round(time)]) for time in own] for own in times.T]


def ends(interval: Interval | None) -> list[float]:
    assert interval
    return [interval.estimate, interval.low, interval.high]


def test_one_launch_shows_nothing_and_a_base_has_no_ratio_to_itself() -> None:
    assert ratios([[launch([100])], [launch([50])]], 1) == (None, None)
    same = [launch([100]), launch([110])]
    assert ratios([same, same], 0) == (None, Interval(1, 1, 1))


def test_ratio_and_difference_are_taken_round_by_round_with_the_interval_over_three_launches() -> None:
    # Both files slow down equally from round to round. Differences by launch: 10, 20, 30; ratios: 2, 4, 8.
    file = (launch([20], [20]), launch([80], [80]), launch([16], [128]))
    base = (launch([10], [10]), launch([20], [20]), launch([2], [16]))
    named = (replace(file_result("a.tflite"), launches=file), replace(file_result("b.tflite"), launches=base))
    name, (found, itself) = beside_fastest(named)
    assert (name, itself.latency.ratio, itself.latency.difference_ns) == ("b.tflite", None, None)
    error = math.log(2) / math.sqrt(3)
    assert ends(found.latency.ratio) == pytest.approx([4, 4 * math.exp(-T2 * error), 4 * math.exp(T2 * error)])
    # Differences by launch: 10, 60, and the mean of 14 and 112.
    mean = (10 + 60 + 63) / 3
    half = T2 * math.sqrt(((10 - mean) ** 2 + (60 - mean) ** 2 + (63 - mean) ** 2) / 2 / 3)
    assert ends(found.latency.difference_ns) == pytest.approx([mean, mean - half, mean + half])


def test_a_third_file_widens_the_interval_of_the_same_two() -> None:
    a, b, c = launches(np.array([[100.0, 110, 300], [104, 108, 330], [101, 115, 320], [99, 112, 310]]))
    (_, alone), (_, together, _) = ratios([a, b], 0), ratios([a, b, c], 0)
    assert alone
    assert together
    assert together.estimate == alone.estimate
    assert together.low < alone.low
    assert together.high > alone.high


def test_the_fastest_file_has_the_smallest_typical_time_not_the_smallest_mean_or_single_one() -> None:
    often = [launch([10, 10, 10**6], [10]), launch([10], [10])]
    once = [launch([1], [100]), launch([100], [100])]
    steady = [launch([11], [11]), launch([11], [11])]
    assert fastest([steady, often, once]) == 1
    assert fastest([steady, once]) == 0
    # Geometric means 10 and 11, arithmetic 50.5 and 11.
    assert fastest([steady, [launch([1], [100]), launch([1], [100])]]) == 1
    assert fastest([often, often]) == 0


def alike(rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float64]:
    return rng.standard_normal(shape)


def one_is_noisy(rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float64]:
    return rng.standard_normal(shape) * np.where(np.arange(shape[1]) == 0, 5, 1)


@pytest.mark.parametrize("drawn", [alike, one_is_noisy])
@pytest.mark.parametrize(("files", "benchmarks"), [(2, 500), (4, 500), (10, 200), (20, 100)])
def test_of_equally_fast_files_one_is_called_slower_in_one_of_twenty_benchmarks(
    files: int, benchmarks: int, drawn: Callable[[np.random.Generator, tuple[int, int]], NDArray[np.float64]]
) -> None:
    """With Student's interval for each file it is 18 % with 4 files, 50 % with 10, 80 % with 20."""
    rng, wrong = np.random.default_rng(4), 0
    for _ in range(benchmarks):
        made = launches(1e6 * np.exp(0.01 * drawn(rng, (5, files))))
        wrong += any(ratio.low > 1 for ratio in ratios(made, fastest(made)) if ratio)
    assert wrong / benchmarks <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / benchmarks)
