"""Percentiles of launches, with the bounds that runs and launches support. No distribution is assumed.

Within a launch: the early-stopping rule of MLPerf Inference, in the appendix "Early Stopping" of
https://github.com/mlcommons/inference_policies (inference_rules.adoc; Reddi et al., 2020, "MLPerf Inference Benchmark"). How
many of n independent runs take longer than the true percentile is binomial, so an order statistic bounds it (Clopper and
Pearson, 1934, turned round).

Over launches: the runs of one process depend on each other, so each launch is one observation. If a share s of all launches
lies within a limit, n launches all do with probability s ** n. So n launches that all lie within it show, at 95 %
confidence, that at least 0.05 ** (1 / n) of launches do: 55 % for 5, 90 % for 29 (Wilks, 1941, "Determination of sample
sizes for setting tolerance limits", Annals of Mathematical Statistics 12: 91-96).
"""

import itertools
import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from edgecnn.benchmarks.statistics import binomial

CONFIDENCE = 0.99
"""One-sided confidence of a bound within a launch."""
LAUNCH_CONFIDENCE = 0.95
"""One-sided confidence of statements about the share of launches."""
# Tolerance for the rounding of cumulative weights; a run's own weight is larger.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class LaunchPercentile:
    """The percentile of one launch.

    Attributes:
        value_ns: Smallest observed time that at least `percent` % of the launch's runs did not exceed.
        low_ns: Observed time that is above the launch's true percentile in at most 1 % of samples of independent runs. None if
            the launch has too few runs, or even its smallest time is above it more often.
        high_ns: Observed time that is below it in at most 1 %: MLPerf's early-stopping estimate. None for too few runs.
    """

    value_ns: int
    low_ns: int | None
    high_ns: int | None


@dataclass(frozen=True)
class Percentile:
    """One percentile of the times of all launches, which have equal weight.

    Attributes:
        percent: Which percentile, between 0 and 100.
        runs: Number of times.
        needed_runs: Number of runs needed; with fewer `value_ns` is None, and with fewer in any one launch the bounds are.
        value_ns: Smallest observed time that at least `percent` % of runs did not exceed, each launch having the same
            weight, and each round within a launch, however many runs they hold.
        low_ns: Smallest of the launches' own lower bounds: at 95 % confidence, at least `launch_share` of launches have a
            percentile that is not below it. None with a single launch.
        high_ns: Largest of their upper bounds: at 95 % confidence, at least `launch_share` of launches have a percentile
            that is not above it. None with a single launch.
        launches: Percentile of each launch, in order; empty if `value_ns` is None, and in results of schema 3 and older.
    """

    percent: float
    runs: int
    needed_runs: int
    value_ns: int | None
    low_ns: int | None
    high_ns: int | None
    launches: tuple[LaunchPercentile, ...] = ()


def launch_share(launches: int) -> float:
    """Return the share of launches, 0 to 1, that this many cover if they are all on the same side of a limit."""
    return float((1 - LAUNCH_CONFIDENCE) ** (1 / launches))


def launches_needed(share: float) -> int:
    """Return how many launches on the same side of a limit cover this share of launches: 29 for 0.9."""
    return math.ceil(math.log(1 - LAUNCH_CONFIDENCE) / math.log(share))


def runs_needed(percent: float, confidence: float = CONFIDENCE) -> int:
    """Return the smallest number of runs whose second-longest time bounds the percentile ("one run allowed above").

    One run is allowed, since otherwise a single interruption by another process would determine the answer.

    Args:
        percent: Which percentile, between 0 and 100.
        confidence: One-sided, between 0 and 1.

    Returns:
        The smallest n with P(Binomial(n, 1 - percent / 100) <= 1) <= 1 - confidence: 64 for 90, 662 for 99.

    Raises:
        ValueError: If out of range.
    """
    if not 0 < percent < 100 or not 0 < confidence < 1:
        raise ValueError(f"percent must be between 0 and 100, confidence between 0 and 1, got {percent} and {confidence}")

    def enough(runs: int) -> bool:
        return binomial.cdf(1, runs, 1 - percent / 100) <= 1 - confidence

    most = next(runs for runs in (2**power for power in itertools.count(1)) if enough(runs))
    return bisect_left(range(most), True, lo=2, key=enough)


def percentile_of_launches(launches: Sequence[Sequence[NDArray[np.int64]]], percent: float) -> Percentile:
    """Return a percentile of all launches, with its bounds.

    Args:
        launches: For each launch, the wall times of each of its rounds, of shape (n,), in nanoseconds.
        percent: Which percentile, between 0 and 100.

    Raises:
        ValueError: If `percent` is out of range, or a launch has no rounds, or a round no runs.
    """
    needed_runs = runs_needed(percent)
    runs = sum(len(times) for rounds in launches for times in rounds)
    if runs < needed_runs:
        return Percentile(percent, runs, needed_runs, None, None, None)
    if not all(len(times) for rounds in launches for times in (*rounds, rounds)):
        raise ValueError("each launch must have rounds, and each round runs")
    own = tuple(_own(rounds, percent, needed_runs) for rounds in launches)
    times, weights = weighted(launches)
    value = int(_quantiles(times, weights, (percent / 100,))[0])
    lows, highs = [item.low_ns for item in own], [item.high_ns for item in own]
    several = len(launches) > 1
    return Percentile(
        percent,
        runs,
        needed_runs,
        value,
        min(low for low in lows if low is not None) if several and None not in lows else None,
        max(high for high in highs if high is not None) if several and None not in highs else None,
        own,
    )


def weighted(launches: Sequence[Sequence[NDArray[np.int64]]]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return all times, and the weight of each: launches have equal weight, and so do the rounds of a launch.

    Rounds have a fixed duration, so a slow one has fewer runs and would otherwise count less. They are int64 (runs,) in
    nanoseconds, and float64 (runs,) that sum to 1; `launches` are those of `percentile_of_launches`.
    """
    times = np.concatenate([times for rounds in launches for times in rounds])
    shares = [np.full(len(times), 1 / (len(launches) * len(rounds) * len(times))) for rounds in launches for times in rounds]
    return times, np.concatenate(shares)


def _own(rounds: Sequence[NDArray[np.int64]], percent: float, needed_runs: int) -> LaunchPercentile:
    times, weights = weighted([rounds])
    # Kish's effective size (1965, "Survey Sampling"): the number of runs if rounds have equally many, else fewer.
    runs = math.floor(1 / float((weights**2).sum()) + _ROUNDING)
    low, high = _order_statistics(runs, percent)
    value, lower, upper = _quantiles(times, weights, (percent / 100, (low + 1) / runs, (high + 1) / runs))
    enough = runs >= needed_runs
    return LaunchPercentile(int(value), int(lower) if enough and low >= 0 else None, int(upper) if enough else None)


@lru_cache
def _order_statistics(runs: int, percent: float) -> tuple[int, int]:
    """Return the positions, from 0, of the lower and upper bound among ordered times; -1 if there is no lower bound."""
    share = percent / 100
    low = binomial.largest_count(runs, share, 1 - CONFIDENCE)
    return low, runs - 1 - binomial.largest_count(runs, 1 - share, 1 - CONFIDENCE)


def _quantiles(times: NDArray[np.int64], weights: NDArray[np.float64], shares: Sequence[float]) -> NDArray[np.int64]:
    """Return for each share the smallest time that runs of this total weight did not exceed."""
    order = np.argsort(times)
    places = np.searchsorted(np.cumsum(weights[order]), np.array(shares) - _ROUNDING)
    return times[order[np.minimum(places, len(times) - 1)]]
