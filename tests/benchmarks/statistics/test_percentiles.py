"""Percentiles and their bounds, on samples whose true percentile is known."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from edgecnn.benchmarks.statistics.percentiles import (
    LaunchPercentile,
    Percentile,
    launch_share,
    launches_needed,
    percentile_of_launches,
    runs_needed,
    weighted,
)

SAMPLES = 2000
# One in a hundred, and four standard deviations of that share for this many samples.
AT_MOST = 0.01 + 4 * math.sqrt(0.01 * 0.99 / SAMPLES)


def own(times: NDArray[np.int64], percent: float) -> LaunchPercentile:
    """Return the percentile of a single launch with a single round."""
    return percentile_of_launches([[times]], percent).launches[0]


@pytest.mark.parametrize("percent", [0, 100, -5, 101, math.nan])
def test_there_is_no_such_percentile(percent: float) -> None:
    with pytest.raises(ValueError, match=r"percent.*between 0 and 100"):
        runs_needed(percent)
    with pytest.raises(ValueError, match=r"percent.*between 0 and 100"):
        percentile_of_launches([[np.arange(100)]], percent)


@pytest.mark.parametrize("confidence", [0, 1])
def test_there_is_no_such_confidence(confidence: float) -> None:
    with pytest.raises(ValueError, match="confidence between 0 and 1"):
        runs_needed(90, confidence)


@pytest.mark.parametrize("launches", [[[np.arange(100)], []], [[np.arange(100), np.arange(0)]]])
def test_a_launch_without_rounds_and_a_round_without_runs_are_refused(launches: list[list[NDArray[np.int64]]]) -> None:
    with pytest.raises(ValueError, match=r"each launch.*rounds.*each round runs"):
        percentile_of_launches(launches, 50)


@pytest.mark.parametrize("percent", [50, 90, 99])
def test_too_few_runs_support_nothing(percent: float) -> None:
    needed = runs_needed(percent)
    for runs in (0, 1, needed - 1):
        assert percentile_of_launches([[np.arange(runs)]], percent) == Percentile(percent, runs, needed, None, None, None)
    assert own(np.arange(needed), percent).high_ns is not None


@pytest.mark.parametrize(("percent", "runs"), [(50, 11), (90, 64), (95, 130), (99, 662), (99.9, 6636), (99.99, 66381)])
def test_the_runs_needed_are_those_of_mlperf(percent: float, runs: int) -> None:
    assert runs_needed(percent) == runs


def test_less_confidence_needs_fewer_runs_and_the_fewest_give_the_second_longest() -> None:
    assert [runs_needed(50, confidence) for confidence in (0.01, 0.5, 0.8, 0.99)] == [2, 4, 5, 11]
    rng = np.random.default_rng(0)
    for percent in (50, 90, 99):
        runs = runs_needed(percent)
        assert own(rng.permutation(runs), percent).high_ns == runs - 2


def test_the_bounds_of_a_thousand_runs() -> None:
    # P(Binomial(1000, 0.1) <= 78) is 0.0098 and with 79 it is 0.013; P(Binomial(1000, 0.9) <= 877) is 0.0098.
    found = own(np.random.default_rng(0).permutation(1000), 90)
    assert found == LaunchPercentile(value_ns=899, low_ns=876, high_ns=921)


def test_from_the_median_on_enough_runs_have_a_lower_bound_and_few_of_a_low_percentile_none() -> None:
    # 0.9**43 is more than 1 %: that often, all of 43 runs are above their true 10th percentile.
    assert own(np.arange(43), 10).low_ns is None
    assert own(np.arange(44), 10).low_ns == 0
    assert own(np.arange(43), 10).high_ns is not None
    for percent in (*range(42, 100), 99.9):
        assert own(np.arange(runs_needed(percent)), percent).low_ns is not None


@pytest.mark.parametrize("runs", [64, 100, 997, 1000])
@pytest.mark.parametrize("percent", [25, 50, 75, 90])
def test_the_value_is_the_observed_percentile(runs: int, percent: float) -> None:
    times = np.random.default_rng(runs).integers(1, 10**9, runs)
    found = own(times, percent)
    assert found.value_ns == np.percentile(times, percent, method="inverted_cdf")
    assert found.low_ns is not None
    assert found.high_ns is not None
    assert found.low_ns <= found.value_ns <= found.high_ns


def test_no_rounding_moves_the_value_and_the_times_stay_as_they_were() -> None:
    assert own(np.arange(1_000_000), 99.9).value_ns == 998_999  # The 999,000th; numpy rounds to the next.
    times = np.arange(1000)[::-1].copy()
    own(times, 90)
    assert (times == np.arange(1000)[::-1]).all()


def lognormal(rng: np.random.Generator, runs: int) -> NDArray[np.int64]:
    return (1e9 * rng.lognormal(0, 1, runs)).astype(np.int64)


def bimodal(rng: np.random.Generator, runs: int) -> NDArray[np.int64]:
    """A slow mode of one in eight runs, as of a board that is throttled now and then."""
    slow = rng.random(runs) < 0.125
    return (1e9 * np.where(slow, rng.uniform(10, 11, runs), rng.uniform(1, 2, runs))).astype(np.int64)


@pytest.mark.parametrize(("draw", "truth"), [(lognormal, math.exp(1.2815515655446004)), (bimodal, 10.2)])
@pytest.mark.parametrize("runs", [64, 300, 1000])
def test_the_true_p90_is_beyond_a_bound_in_one_of_a_hundred_samples(
    draw: Callable[[np.random.Generator, int], NDArray[np.int64]], truth: float, runs: int
) -> None:
    rng = np.random.default_rng(runs)
    found = [own(draw(rng, runs), 90) for _ in range(SAMPLES)]
    too_low = sum(one.high_ns is not None and one.high_ns < 1e9 * truth for one in found) / SAMPLES
    too_high = sum(one.low_ns is not None and one.low_ns > 1e9 * truth for one in found) / SAMPLES
    assert 0.002 < too_low <= AT_MOST  # It must not hold by being endless.
    assert 0.002 < too_high <= AT_MOST


def test_a_slow_launch_or_round_weighs_as_much_as_the_others() -> None:
    # With one launch in five three times slower, a fifth of the runs is slow; counted by run it would be a thirteenth.
    fast, slow = np.full(300, 10_000), np.full(100, 30_000)
    assert percentile_of_launches([[fast]] * 4 + [[slow]], 90).value_ns == 30_000
    assert percentile_of_launches([[fast]] * 4 + [[slow]], 80).value_ns == 10_000
    for percent, value in ((90, 30_000), (75, 10_000)):
        assert percentile_of_launches([[fast, fast, fast, slow]], percent).launches[0].value_ns == value
    times, weights = weighted([[np.array([1]), np.array([2, 3])], [np.array([4, 5, 6])]])
    assert times.tolist() == [1, 2, 3, 4, 5, 6]
    assert weights == pytest.approx([1 / 4, 1 / 8, 1 / 8, 1 / 6, 1 / 6, 1 / 6])


def test_bounds_are_those_of_the_outermost_launches_and_a_single_or_short_one_has_none() -> None:
    times = np.random.default_rng(0).permutation(1000)
    found = percentile_of_launches([[times[:500], times[500:]], [times]], 90)
    assert (found.value_ns, found.low_ns, found.high_ns, found.runs) == (899, 876, 921, 2000)
    launches = [[factor * np.arange(1, 1001)] for factor in (10, 11, 9)]
    found = percentile_of_launches(launches, 90)
    assert (found.low_ns, found.high_ns) == (found.launches[2].low_ns, found.launches[1].high_ns)
    assert [item.value_ns for item in found.launches] == [9000, 9900, 8100]
    only = percentile_of_launches([[np.arange(1, 1001)]], 90)
    assert (only.value_ns, only.low_ns, only.high_ns) == (900, None, None)
    short = percentile_of_launches([[np.arange(1, 1001)], [np.arange(63)]], 90)
    assert (short.low_ns, short.high_ns) == (None, None)
    assert short.value_ns is not None


def test_five_launches_speak_of_half_and_it_takes_29_to_speak_of_9_in_10() -> None:
    assert [round(launch_share(launches), 2) for launches in (1, 2, 5, 29)] == [0.05, 0.22, 0.55, 0.9]
    assert launches_needed(0.9) == 29
    assert launch_share(28) < 0.9 <= launch_share(29)
