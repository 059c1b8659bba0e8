"""Percentiles and their bounds, on samples whose true percentile is known."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.percentiles import Percentile, percentile, runs_needed

SAMPLES = 2000
# One in a hundred, and four standard deviations of that share among so many samples.
AT_MOST = 0.01 + 4 * math.sqrt(0.01 * 0.99 / SAMPLES)


@pytest.mark.parametrize("percent", [0, 100, -5, 101, math.nan])
def test_there_is_no_such_percentile(percent: float) -> None:
    with pytest.raises(ValueError, match="percent must be between 0 and 100"):
        runs_needed(percent)
    with pytest.raises(ValueError, match="percent must be between 0 and 100"):
        percentile(np.arange(100), percent)


@pytest.mark.parametrize("confidence", [0, 1])
def test_there_is_no_such_confidence(confidence: float) -> None:
    with pytest.raises(ValueError, match="confidence between 0 and 1"):
        runs_needed(90, confidence)


def test_times_of_two_axes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"must have one axis, got shape \(10, 10\)"):
        percentile(np.ones((10, 10), np.int64), 50)


@pytest.mark.parametrize("percent", [50, 90, 99])
def test_too_few_runs_support_nothing(percent: float) -> None:
    needed = runs_needed(percent)
    for runs in (0, 1, needed - 1):
        assert percentile(np.arange(runs), percent) == Percentile(percent, runs, needed, None, None, None)
    assert percentile(np.arange(needed), percent).high_ns is not None


@pytest.mark.parametrize(("percent", "runs"), [(50, 11), (90, 64), (95, 130), (99, 662), (99.9, 6636), (99.99, 66381)])
def test_the_runs_needed_are_those_of_mlperf(percent: float, runs: int) -> None:
    assert runs_needed(percent) == runs


def test_less_confidence_needs_fewer_runs() -> None:
    assert [runs_needed(50, confidence) for confidence in (0.01, 0.5, 0.8, 0.99)] == [2, 4, 5, 11]


def test_the_fewest_runs_give_the_second_longest() -> None:
    rng = np.random.default_rng(0)
    for percent in (50, 90, 99):
        runs = runs_needed(percent)
        assert percentile(rng.permutation(runs), percent).high_ns == runs - 2


def test_the_bounds_of_a_thousand_runs() -> None:
    # P(Binomial(1000, 0.1) <= 78) is 0.0098 and with 79 it is 0.013; P(Binomial(1000, 0.9) <= 877) is 0.0098.
    found = percentile(np.random.default_rng(0).permutation(1000), 90)
    assert found == Percentile(90, 1000, 64, value_ns=899, low_ns=876, high_ns=921)


def test_a_low_percentile_of_few_runs_has_no_lower_bound() -> None:
    # 0.9**43 is more than 1 %: that often, all of 43 runs are above their true 10th percentile.
    assert percentile(np.arange(43), 10).low_ns is None
    assert percentile(np.arange(44), 10).low_ns == 0
    assert percentile(np.arange(43), 10).high_ns is not None


def test_from_the_median_on_enough_runs_have_a_lower_bound() -> None:
    for percent in (*range(42, 100), 99.9):
        assert percentile(np.arange(runs_needed(percent)), percent).low_ns is not None


@pytest.mark.parametrize("runs", [64, 100, 997, 1000])
@pytest.mark.parametrize("percent", [25, 50, 75, 90])
def test_the_value_is_the_observed_percentile(runs: int, percent: float) -> None:
    times = np.random.default_rng(runs).integers(1, 10**9, runs)
    found = percentile(times, percent)
    assert found.value_ns == np.percentile(times, percent, method="inverted_cdf")
    assert found.low_ns is not None
    assert found.value_ns is not None
    assert found.high_ns is not None
    assert found.low_ns <= found.value_ns <= found.high_ns


def test_no_rounding_moves_the_value() -> None:
    assert percentile(np.arange(1_000_000), 99.9).value_ns == 998_999  # The 999,000th; numpy rounds to the next.


def test_the_times_stay_as_they_were() -> None:
    times = np.arange(1000)[::-1].copy()
    percentile(times, 90)
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
    found = [percentile(draw(rng, runs), 90) for _ in range(SAMPLES)]
    too_low = sum(one.high_ns is not None and one.high_ns < 1e9 * truth for one in found) / SAMPLES
    too_high = sum(one.low_ns is not None and one.low_ns > 1e9 * truth for one in found) / SAMPLES
    assert 0.002 < too_low <= AT_MOST  # Not for being endless either.
    assert 0.002 < too_high <= AT_MOST
