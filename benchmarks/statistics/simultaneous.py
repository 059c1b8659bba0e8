"""How wide intervals must be that compare several files with the fastest of them, which is known afterwards only."""

import math
from functools import cache

import numpy as np

from edgecnn.benchmarks.statistics.intervals import student_quantile

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
