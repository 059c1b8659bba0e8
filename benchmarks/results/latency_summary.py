"""Summarises the timed runs of a file's launches."""

from collections.abc import Sequence
from statistics import median

import numpy as np
from numpy.typing import NDArray

from edgecnn.benchmarks.results.records import Latency, Launch
from edgecnn.benchmarks.statistics.intervals import Interval, mean_interval
from edgecnn.benchmarks.statistics.percentiles import Percentile, percentile_of_launches, weighted


def round_medians(launches: Sequence[Launch]) -> NDArray[np.float64]:
    """Return the median of every round in nanoseconds, float64 (launches, rounds)."""
    return np.array([[np.median(item.measured.unpack()) for item in launch.rounds] for launch in launches])


def summarize(launches: Sequence[Launch], percents: Sequence[float], images_per_run: int = 1) -> Latency:
    """Summarise a file's launches; `edgecnn.benchmarks.results.side_by_side` adds what compares it with other files.

    Args:
        launches: At least one, each with at least one round.
        percents: Percentiles to compute, in percent.
        images_per_run: Number of images in one timed run.
    """
    times, weights = weighted_times(launches)
    logs = np.log(round_medians(launches)).mean(axis=1)
    return Latency(
        runs=len(times),
        percentiles=tuple(launch_percentile(launches, percent) for percent in percents),
        typical_ns=exp_interval(mean_interval(logs)) if len(launches) > 1 else None,
        ratio=None,
        difference_ns=None,
        images_per_second=float(images_per_run * 1e9 / (times * weights).sum()),
        import_ns=int(median(launch.import_ns for launch in launches)),
        load_ns=int(median(launch.load_ns for launch in launches)),
        first_ns=int(median(launch.warm_up.unpack()[0] for launch in launches)),
        peak_memory_bytes=max(launch.peak_memory_bytes for launch in launches),
        steady_memory_bytes=int(median(launch.steady_memory_bytes for launch in launches)),
    )


def weighted_times(launches: Sequence[Launch]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return every timed run, int64 (runs,) in nanoseconds, and its weight, float64 (runs,): launches have equal weight."""
    return weighted(_rounds(launches))


def p50_ns(launches: Sequence[Launch]) -> float:
    """Return the median of all runs in nanoseconds, launches weighing alike: what every table, page and picture calls p50.

    It is the `value_ns` of the launches' percentile 50, and `typical_ns` where there are too few runs for that.
    """
    found = launch_percentile(launches, 50).value_ns
    return typical_ns(launches) if found is None else float(found)


def typical_ns(launches: Sequence[Launch]) -> float:
    """Return the geometric mean of the rounds' medians in nanoseconds, on which ratios are based. It is not the p50."""
    return float(np.exp(np.log(round_medians(launches)).mean()))


def launch_percentile(launches: Sequence[Launch], percent: float) -> Percentile:
    """Return a percentile of all runs, with launches of equal weight, and with bounds for launches and runs."""
    return percentile_of_launches(_rounds(launches), percent)


def exp_interval(interval: Interval) -> Interval:
    """Return the interval of a time or ratio from that of its logarithm."""
    return Interval(float(np.exp(interval.estimate)), float(np.exp(interval.low)), float(np.exp(interval.high)))


def _rounds(launches: Sequence[Launch]) -> list[list[NDArray[np.int64]]]:
    return [[item.measured.unpack() for item in launch.rounds] for launch in launches]
