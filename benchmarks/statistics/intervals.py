"""Intervals of means from few values."""

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from edgecnn.edge.export_records import Interval

__all__ = ["Interval", "mean_interval", "student_quantile", "sum_interval"]

Values = Sequence[float] | NDArray[np.float64]


def mean_interval(values: Values, confidence: float = 0.95, quantile: float | None = None) -> Interval:
    """Interval of a mean: Student's t (Student, 1908, Biometrika 6: 1-25).

    It is exact for normal values, but not for a few skewed ones: with 10 lognormal values (sigma 1) it covers the true
    mean in 84 % of samples, not 95 %.

    Args:
        values: At least 2 independent values, such as one per process; single runs of one process are not independent.
        confidence: Between 0 and 1.
        quantile: Standard errors on either side instead of Student's, for one of several intervals.

    Raises:
        ValueError: If there are fewer than 2 values, or if one is not finite.
    """
    mean, variance, degrees = _moments(values)
    return _around(mean, variance, quantile or _quantile(degrees, confidence))


def sum_interval(center: float, parts: Sequence[tuple[float, float]], confidence: float = 0.95) -> Interval:
    """Interval of an estimate whose variance is a sum of independent parts, such as each side of a difference.

    For a difference of two means whose variances may differ it is Welch's (1947, Biometrika 34: 28-35). The degrees of
    freedom are Satterthwaite's (1946, Biometrics Bulletin 2: 110-114), usually not a whole number.

    Args:
        center: The estimate.
        parts: Variance (at least 0) and degrees of freedom (at least 1) of each part.
        confidence: Between 0 and 1.

    Returns:
        The interval, which has zero width if every variance is 0.
    """
    variance = sum(part for part, _ in parts)
    # Shares, since the printed formula's squares underflow if times are in seconds and hardly vary.
    shares = [part / variance if variance else 1 / len(parts) for part, _ in parts]
    degrees = 1 / sum(share**2 / degrees for share, (_, degrees) in zip(shares, parts, strict=True))
    return _around(center, variance, _quantile(degrees, confidence))


def student_quantile(p: float, degrees: float) -> float:
    """Return the quantile of Student's t.

    It inverts the tail, which is an incomplete beta function (NIST DLMF, 8.17.22, and Abramowitz and Stegun, 1964, 26.7.1).
    It agrees with scipy.stats.t.ppf to 1e-9 of the quantile for p from 0.5001 to 0.9995 and degrees from 1 to 10**9.

    Args:
        p: Probability, between 0 and 1.
        degrees: Degrees of freedom, at least 1, whole or not.

    Raises:
        ValueError: If out of range.
    """
    if not 0 < p < 1 or not degrees >= 1:
        raise ValueError(f"p must be between 0 and 1 and degrees at least 1, got {p} and {degrees}")
    if p < 0.5:
        return -student_quantile(1 - p, degrees)
    if degrees > 1e5:
        # Here the beta function's logarithm loses its digits, and the next term is below 1e-8 (A&S 26.7.5).
        z = NormalDist().inv_cdf(p)
        return z + (z**3 + z) / (4 * degrees)
    # The tail is convex beyond 0, and the normal quantile too small: Newton's method climbs to the root and never past it.
    t, step = NormalDist().inv_cdf(p), math.inf
    while t > 0 and step > 1e-12 * max(t, 1):
        tail, density = _student_tail(t, degrees)
        step = (tail - (1 - p)) / density
        t += step
    return t


def _moments(values: Values) -> tuple[float, float, int]:
    """Return the mean, its squared standard error, and the degrees of freedom of that."""
    array = np.asarray(values, np.float64)
    if array.ndim != 1 or len(array) < 2 or not np.isfinite(array).all():
        raise ValueError(f"values must be at least 2 finite numbers, got {values}")
    if (array == array[0]).all():
        return float(array[0]), 0.0, len(array) - 1  # Rounding of the mean would give equal values a variance.
    return float(array.mean()), float(array.var(ddof=1)) / len(array), len(array) - 1


def _quantile(degrees: float, confidence: float) -> float:
    return student_quantile((1 + confidence) / 2, degrees)


def _around(center: float, variance: float, quantile: float) -> Interval:
    half = quantile * math.sqrt(variance)
    return Interval(center, center - half, center + half)


def _student_tail(t: float, degrees: float) -> tuple[float, float]:
    """Return P(T > t) for t > 0, and the density at t."""
    a, b = degrees / 2, 0.5
    x, y = degrees / (degrees + t * t), t * t / (degrees + t * t)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log(y))
    # The fraction converges fast on one side of the mean only; the other side is its mirror image.
    if x < (a + 1) / (a + b + 2):
        return front * _fraction(a, b, x) / a / 2, front / t
    return (1 - front * _fraction(b, a, y) / b) / 2, front / t


def _fraction(a: float, b: float, x: float) -> float:
    """Continued fraction of the incomplete beta function, by Lentz's method."""
    c, d = 1.0, 1 / (1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, 10_000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d, c = 1 / (1 + even * d), 1 + even / c
        value *= d * c
        d, c = 1 / (1 + odd * d), 1 + odd / c
        value *= d * c
        if abs(d * c - 1) < 1e-15:
            break
    return value
