"""The exact binomial distribution in numpy only: scipy is larger than everything else on the device."""

import math
from bisect import bisect_right
from collections.abc import Callable

import numpy as np

from edgecnn.edge.export_records import Interval


def cdf(k: int, n: int, p: float) -> float:
    """P(X <= k), where X counts the successes of n independent trials.

    The probability of one count comes from Loader's saddle-point form (2000, "Fast and accurate computation of binomial
    probabilities"), the others from the ratios of neighbours, summed away from the mean so that nothing underflows.
    Agrees with scipy.stats.binom.cdf to 1e-10 of the value up to n = 1,000,000.

    Args:
        k: Count; below 0 the answer is 0, from n on it is 1.
        n: Trials, at least 0.
        p: Probability of one success, 0 to 1.

    Raises:
        ValueError: If `n` or `p` is out of range.
    """
    if n < 0 or not 0 <= p <= 1:
        raise ValueError(f"n must be at least 0 and p 0 to 1, got {n} and {p}")
    if k < 0:
        return 0.0
    if k >= n or p == 0:
        return 1.0
    if p == 1:
        return 0.0
    if k <= n * p:
        return _tail(k, n, p)
    return 1 - _tail(n - k - 1, n, 1 - p)


def largest_count(n: int, p: float, tail: float) -> int:
    """Return the largest k with P(X <= k) <= tail, where X counts the successes of n trials; -1 if no k has it.

    Args:
        n: Trials, at least 0.
        p: Probability of one success, 0 to 1.
        tail: Between 0 and 1.
    """
    return bisect_right(range(n), tail, key=lambda count: cdf(count, n, p)) - 1


def interval(k: int, n: int, confidence: float = 0.95) -> Interval:
    """Interval of a probability of which k successes in n trials were seen (Clopper and Pearson, 1934, Biometrika 26: 404-413).

    Covers the truth at least as often as it says, whatever the truth and n.

    Args:
        k: Successes, 0 to n.
        n: Trials, at least 1.
        confidence: Between 0 and 1.

    Returns:
        Shares, 0 to 1; the estimate is k / n.

    Raises:
        ValueError: If out of range.
    """
    if not 0 <= k <= n or n < 1 or not 0 < confidence < 1:
        raise ValueError(f"k must be 0 to n, n at least 1 and confidence between 0 and 1, got {k}, {n} and {confidence}")
    tail, share = (1 - confidence) / 2, k / n
    low = 0.0 if k == 0 else _cross(lambda p: cdf(k - 1, n, p) > 1 - tail, 0.0, share)
    high = 1.0 if k == n else _cross(lambda p: cdf(k, n, p) > tail, share, 1.0)
    return Interval(share, low, high)


def _cross(before: Callable[[float], bool], low: float, high: float) -> float:
    """Return where `before` changes from true to false between low and high."""
    while True:
        middle = (low + high) / 2
        if not low < middle < high or high - low < 1e-14 * high:
            return middle
        low, high = (middle, high) if before(middle) else (low, middle)


def _tail(k: int, n: int, p: float) -> float:
    """P(X <= k) for 0 <= k <= n p, where the probabilities fall with the counts."""
    # Bernstein's inequality: the rest is below 1e-25 of the whole.
    width = int(12 * math.sqrt(n * p * (1 - p))) + 60
    counts = np.arange(k, max(k - width, 0), -1, dtype=np.float64)
    ratios = counts / (n - counts + 1) * ((1 - p) / p)
    return min(_probability(k, n, p) * (1 + float(np.cumprod(ratios).sum())), 1.0)


def _probability(k: int, n: int, p: float) -> float:
    """P(X = k) for 0 <= k < n and 0 < p < 1."""
    if k == 0:
        return math.exp(n * math.log1p(-p))
    rest = n - k
    log = _stirling(n) - _stirling(k) - _stirling(rest) - _deviance(k, n * p) - _deviance(rest, n * (1 - p))
    return math.exp(log) * math.sqrt(n / (2 * math.pi * k * rest))


def _stirling(n: int) -> float:
    """Return the error of Stirling's formula for log(n!); n at least 1."""
    if n < 16:
        return math.lgamma(n + 1) - (n + 0.5) * math.log(n) + n - 0.5 * math.log(2 * math.pi)
    return (1 / 12 - (1 / 360 - (1 / 1260 - 1 / 1680 / n**2) / n**2) / n**2) / n


def _deviance(count: float, mean: float) -> float:
    """Return count * log(count / mean) + mean - count, which is not negative; count above 0."""
    excess = (mean - count) / count
    return count * (excess - math.log1p(excess))
