"""Percentiles with the bounds that a sample supports: the early-stopping rule of MLPerf Inference.

The rule is in the appendix "Early Stopping" of https://github.com/mlcommons/inference_policies (inference_rules.adoc; Reddi
et al., 2020, "MLPerf Inference Benchmark"). How many of n independent runs take longer than the true percentile is binomial,
so an order statistic bounds it whatever the distribution of the times (Clopper and Pearson, 1934, turned round). Runs that
depend on each other, as on a board that gets hotter, tell less than the rule assumes.
"""

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from benchmarks import binomial

CONFIDENCE = 0.99


@dataclass(frozen=True)
class Percentile:
    """One percentile of the times, with bounds for runs that are independent of each other.

    Attributes:
        percent: Which, between 0 and 100.
        runs: How many times there are.
        needed_runs: How many it takes; below that the three times are None.
        value_ns: The smallest observed time that at least `percent` % of runs did not exceed.
        low_ns: Observed time that is above the true percentile in at most 1 % of samples. None also where even the smallest
            is above it more often: up to 41 % only, and with few runs, such as the 10th percentile of fewer than 44.
        high_ns: Observed time that is below the true percentile in at most 1 % of samples: MLPerf's early-stopping estimate.
    """

    percent: float
    runs: int
    needed_runs: int
    value_ns: int | None
    low_ns: int | None
    high_ns: int | None


def runs_needed(percent: float, confidence: float = CONFIDENCE) -> int:
    """Smallest number of runs whose second-longest time is an upper bound of the percentile ("one run allowed above").

    One run, since with none allowed a single interruption by another process would be the whole answer.

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

    low, high = 1, 2
    while not enough(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def percentile(times_ns: NDArray[np.int64], percent: float) -> Percentile:
    """Return a percentile and its bounds, each at one-sided 99 % confidence.

    Args:
        times_ns: Wall times of shape (n,) in nanoseconds, in any order.
        percent: Which percentile, between 0 and 100.

    Raises:
        ValueError: If `percent` is out of range or `times_ns` has another shape.
    """
    if times_ns.ndim != 1:
        raise ValueError(f"times_ns must have one axis, got shape {times_ns.shape}")
    runs, needed_runs = len(times_ns), runs_needed(percent)
    if runs < needed_runs:
        return Percentile(percent, runs, needed_runs, None, None, None)
    share = percent / 100
    # As typed, 99.9 % of 1,000,000 runs are 999,000; as a binary fraction they are a hair more, and numpy takes the next one.
    value = math.ceil(Fraction(str(percent)) * runs / 100) - 1
    low = binomial.largest_count(runs, share, 1 - CONFIDENCE)
    high = runs - 1 - binomial.largest_count(runs, 1 - share, 1 - CONFIDENCE)
    ordered = np.partition(times_ns, [max(low, 0), value, high])
    return Percentile(
        percent, runs, needed_runs, int(ordered[value]), int(ordered[low]) if low >= 0 else None, int(ordered[high])
    )
