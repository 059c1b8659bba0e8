"""Intervals of means from few values, and of several files' means over the fastest one's."""

import math
from collections.abc import Sequence
from functools import cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from edgecnn.edge.export_records import Interval

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
    array = np.asarray(values, np.float64)
    if array.ndim != 1 or len(array) < 2 or not np.isfinite(array).all():
        raise ValueError(f"values must be at least 2 finite numbers, got {values}")
    quantile = quantile or student_quantile((1 + confidence) / 2, len(array) - 1)
    if (array == array[0]).all():
        return _around(float(array[0]), 0.0, quantile)  # Rounding of the mean would give equal values a variance.
    return _around(float(array.mean()), float(array.var(ddof=1)) / len(array), quantile)


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
    return _around(center, variance, student_quantile((1 + confidence) / 2, degrees))


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


_SEED = 20_260_101
# The share of benchmarks beyond the quantile is then exact to 0.1 of 5 %, and 20 files take a tenth of a second on a laptop.
_BENCHMARKS = 40_000


@cache
def fastest_quantile(files: int, launches: int, confidence: float = 0.95) -> float:
    """Return how many standard errors wide, on either side, the intervals of all files' times over the fastest's must be.

    With Student's quantile each interval is right if its two files were named beforehand. The fastest file was not: it is the
    luckiest of all, and each interval inherits its luck. Of 10 equal files one is then called slower in half of all
    benchmarks. This quantile is that of

        max over files j of |mean(j) - mean(b)| / standard error of the paired difference,   b = file of the smallest mean,

    for files that are equally fast and whose launches are normal, independent and alike. So all intervals hold at once, the
    choice of b included, in `confidence` of such benchmarks. For two files it is Student's.

    It does not depend on the scale of the times, and each difference has its own standard error, so files may be unequally
    noisy. Where files differ in truth or in noise, or a launch slows several of them together, a wrong interval is as rare or
    rarer: `python -m tools.fastest_intervals` simulates it. The quantile is also at least Bonferroni's for a base that is
    named beforehand, and holds for such a base too.

    Alternatives: Bonferroni over all pairs of files needs no simulation and is 3 to 30 % wider; a standard error pooled from
    all files (Tukey's studentized range) is narrower, but wrong if one file is noisier; intervals relative to whichever file
    may truly be the fastest (Hsu, 1984, "Constrained simultaneous confidence intervals for multiple comparisons with the
    best", Annals of Statistics 12: 1136-1144) get as wide as the noisiest of these. For the single pairs compare Games and
    Howell (1976, Journal of Educational Statistics 1: 113-125), who also give each pair its own variance.

    Simulated with a fixed seed. By symmetry it takes three numbers a file instead of every launch: the residuals are
    independent of the means, and their distance from the base's, of length r, is (z - r)^2 plus a chi-square.

    Args:
        files: Number of files, at least 1.
        launches: Number of launches of each, at least 2.
        confidence: Between 0 and 1.
    """
    if files < 3:
        return student_quantile((1 + confidence) / 2, launches - 1)
    of_means, of_base, along, across = (np.random.default_rng((_SEED, stream)) for stream in range(4))
    means = of_means.standard_normal((files, _BENCHMARKS))
    base = np.sqrt(2 * of_base.standard_gamma((launches - 1) / 2, _BENCHMARKS))
    largest = np.zeros(_BENCHMARKS)
    for slower in means - means.min(axis=0):
        squares = (along.standard_normal(_BENCHMARKS) - base) ** 2
        squares += 2 * across.standard_gamma((launches - 2) / 2, _BENCHMARKS)
        np.maximum(largest, slower**2 / squares, out=largest)
    return math.sqrt((launches - 1) * float(np.quantile(largest, confidence)))
