"""Variation between benchmarks of the same file: more than that of their launches, since a machine's state changes.

The logarithm of a launch's time is modelled as the file's value, plus a term of its benchmark (the same for all launches
of it), plus a term of the launch. An interval from the launches of two benchmarks alone ignores the second term, and calls
identical files different in one of six pairs if that term is half of the third. Here it is measured from several
benchmarks, or by `edgecnn selftest`, or assumed.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgecnn.benchmarks.results.latency_summary import exp_interval, launch_logs
from edgecnn.benchmarks.results.records import Launch
from edgecnn.benchmarks.statistics.intervals import sum_interval
from edgecnn.edge.export_records import Interval

ASSUMED = 0.7
"""Standard deviation between benchmarks divided by that between launches, if neither several benchmarks nor a floor give it.

docs/explanation/measuring.md has the measurements and their command."""


@dataclass(frozen=True)
class Between:
    """Variation between benchmarks of one file, beyond what their launches explain.

    Attributes:
        variance: Variance of the logarithm of a benchmark's time; 0 if the launches explain everything.
        degrees: Its degrees of freedom, at least 1.
    """

    variance: float
    degrees: float

    @property
    def deviation(self) -> float:
        """Return the standard deviation as a share of the time."""
        return math.sqrt(self.variance)


def between_benchmarks(logs: NDArray[np.float64]) -> Between:
    """Estimate the variation between several benchmarks of a file by one-way analysis of variance.

    `logs` are the `launch_logs` of each, float64 (benchmarks, launches), at least 2 of each.
    """
    benchmarks, launches = logs.shape
    outer = float(logs.mean(axis=1).var(ddof=1)) * launches
    inner = float(logs.var(axis=1, ddof=1).mean())
    if outer <= inner:
        return Between(0.0, benchmarks - 1)
    squares = outer**2 / (benchmarks - 1) + inner**2 / (benchmarks * (launches - 1))
    return Between((outer - inner) / launches, max(1.0, (outer - inner) ** 2 / squares))


def ratio_of(new: Sequence[Sequence[Launch]], old: Sequence[Sequence[Launch]], floor: Between | None = None) -> Interval:
    """Return the ratio new / old of the geometric means of the rounds' medians, with its interval for further benchmarks.

    The interval is of this file alone (95 %), which was named before it was measured. A limit on the slowdown is kept only if
    every file's interval keeps it, so that more files make no wrong PASS likelier; but of 10 unchanged files, one or more are
    called improved or worse in 4 of 10 comparisons.

    Each side has the launches of each of its benchmarks; `floor` is the result of `edgecnn selftest`, which several benchmarks
    do without. Errors are those of `difference_of_logs`.
    """
    now, then = ([launch_logs(launches) for launches in side] for side in (new, old))
    return exp_interval(difference_of_logs(now, then, floor))


def difference_of_logs(
    new: Sequence[NDArray[np.float64]], old: Sequence[NDArray[np.float64]], floor: Between | None = None
) -> Interval:
    """Return the mean of the new benchmarks minus that of the old ones.

    With several benchmarks on either side each is one observation (Student's t, one variance for both sides, since the
    machine is the same), unless the launches within them give a wider interval, for example with a few outliers. Otherwise
    the interval is over the launches of both, with `floor` or `ASSUMED` in it.

    Args:
        new: `launch_logs` of each benchmark.
        old: The same for the other side.
        floor: As in `ratio_of`.

    Raises:
        ValueError: If there is one benchmark on each side, and one of them has fewer than two launches.
    """
    if max(len(new), len(old)) > 1:
        return _of_benchmarks([new, old])
    (a,), (b,) = new, old
    if min(len(a), len(b)) < 2:
        raise ValueError(f"both sides must have at least 2 launches, got {len(a)} and {len(b)}")
    within = [(float(logs.var(ddof=1)), len(logs)) for logs in (a, b)]
    if floor is None:
        parts = [(variance * (1 / count + ASSUMED**2), float(count - 1)) for variance, count in within]
    else:
        parts = [(variance / count, float(count - 1)) for variance, count in within]
        parts.append((2 * floor.variance, floor.degrees))
    return sum_interval(float(a.mean() - b.mean()), parts)


def _of_benchmarks(sides: Sequence[Sequence[NDArray[np.float64]]]) -> Interval:
    means = [np.array([logs.mean() for logs in side]) for side in sides]
    center = float(means[0].mean() - means[1].mean())
    degrees = sum(map(len, means)) - 2
    variance = sum(float(((side - side.mean()) ** 2).sum()) for side in means) / degrees
    found = [sum_interval(center, [(variance * sum(1 / len(side) for side in means), degrees)])]
    launches = [sum(map(len, side)) - len(side) for side in sides]
    if min(launches) > 0:
        squares = [sum(float(((logs - logs.mean()) ** 2).sum()) for logs in side) for side in sides]
        weights = [sum(1 / len(logs) for logs in side) / len(side) ** 2 for side in sides]
        parts = [(s / d * w, float(d)) for s, d, w in zip(squares, launches, weights, strict=True)]
        found.append(sum_interval(center, parts))
    return max(found, key=lambda interval: interval.high - interval.low)
