"""What the timed runs of a file's launches say."""

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import median

import numpy as np
from numpy.typing import NDArray

from benchmarks.intervals import Interval, mean_interval
from benchmarks.percentiles import Percentile, percentile
from benchmarks.results import Latency, Launch


def round_medians(launches: Sequence[Launch]) -> NDArray[np.float64]:
    """Return the median of every round in nanoseconds, float64 (launches, rounds)."""
    return np.array([[np.median(item.measured.unpack()) for item in launch.rounds] for launch in launches])


def summarize(
    launches: Sequence[Launch], baseline: Sequence[Launch], percents: Sequence[float], images_per_run: int = 1
) -> Latency:
    """Summarise a file's launches.

    Args:
        launches: At least one, each with at least one round.
        baseline: Those of the file that it is compared with, from the same benchmark; may be the same.
        percents: Percentiles to give, in percent.
        images_per_run: How many images one timed run takes.
    """
    times = all_times(launches)
    several = len(launches) > 1
    other = several and baseline is not launches
    medians, base = round_medians(launches), round_medians(baseline)
    return Latency(
        runs=len(times),
        percentiles=tuple(launch_percentile(launches, percent) for percent in percents),
        p50_ns=_exp(mean_interval(np.log(medians).mean(axis=1))) if several else None,
        ratio=_exp(mean_interval(np.log(medians / base).mean(axis=1))) if other else None,
        difference_ns=mean_interval((medians - base).mean(axis=1)) if other else None,
        images_per_second=float(images_per_run * len(times) * 1e9 / times.sum()),
        import_ns=int(median(launch.import_ns for launch in launches)),
        load_ns=int(median(launch.load_ns for launch in launches)),
        first_ns=int(median(launch.warm_up.unpack()[0] for launch in launches)),
        peak_memory_bytes=max(launch.peak_memory_bytes for launch in launches),
        steady_memory_bytes=int(median(launch.steady_memory_bytes for launch in launches)),
    )


def all_times(launches: Sequence[Launch]) -> NDArray[np.int64]:
    """Return every timed run in nanoseconds, int64 (runs,), in the order they were taken."""
    return np.concatenate([item.measured.unpack() for launch in launches for item in launch.rounds])


def typical_ns(launches: Sequence[Launch]) -> float:
    """Return the geometric mean of the rounds' medians in nanoseconds, which is what ratios are of."""
    return float(np.exp(np.log(round_medians(launches)).mean()))


def launch_percentile(launches: Sequence[Launch], percent: float) -> Percentile:
    """Return a percentile of all runs, with bounds that hold for the next process too.

    The bounds of `percentile` take runs as independent, which those of one process are not. They are widened by what the
    launches' own percentiles differ: Student's one-sided 99 % on logarithms. A single launch says nothing of the next: it
    has no bounds.
    """
    pooled = percentile(all_times(launches), percent)
    if pooled.low_ns is None or pooled.high_ns is None:
        return pooled
    if len(launches) < 2:
        return replace(pooled, low_ns=None, high_ns=None)
    own = [np.percentile(all_times([launch]), percent, method="inverted_cdf") for launch in launches]
    differences = mean_interval(np.log(own), confidence=0.98)
    wider = math.exp(differences.high - differences.estimate)
    return replace(pooled, low_ns=math.floor(pooled.low_ns / wider), high_ns=math.ceil(pooled.high_ns * wider))


def fastest(files: Sequence[Sequence[Launch]]) -> int:
    """Return the index of the file with the smallest mean of its rounds' medians."""
    return min(range(len(files)), key=lambda index: typical_ns(files[index]))


def _exp(interval: Interval) -> Interval:
    return Interval(float(np.exp(interval.estimate)), float(np.exp(interval.low)), float(np.exp(interval.high)))
