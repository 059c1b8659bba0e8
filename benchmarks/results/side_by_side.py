"""Compares files that one benchmark measured side by side: the one place that says which is slower, and how sure that is."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edgecnn.benchmarks.results.latency_summary import exp_interval, round_medians, typical_ns
from edgecnn.benchmarks.results.records import FileResult, Launch
from edgecnn.benchmarks.statistics.intervals import Interval, mean_interval
from edgecnn.benchmarks.statistics.simultaneous import fastest_quantile


def fastest(files: Sequence[Sequence[Launch]]) -> int:
    """Return the index of the file with the smallest typical time."""
    return min(range(len(files)), key=lambda index: typical_ns(files[index]))


def ratios(files: Sequence[Sequence[Launch]], base: int) -> tuple[Interval | None, ...]:
    """Return each file's time divided by the base's, paired round by round, with intervals that hold for all files at once.

    In 95 % of benchmarks every one of these intervals holds the true ratio, also if the base was chosen afterwards because it
    is the fastest (`fastest_quantile`). A base or pair that was named beforehand, such as int8 and its own float32 file, gets
    the same intervals, so that one benchmark never gives two for the same pair; they are wider than one such pair alone
    needs, and right for a list of them. For a single pair of which nothing was chosen, pass these two files alone: the
    interval is Student's.

    Args:
        files: Launches of every file of the benchmark, measured in turns.
        base: Index of the file that the others are divided by.

    Returns:
        None for the base, and for every file after a single launch: nothing is shown then.
    """
    logs = [np.log(round_medians(launches)) for launches in files]
    return tuple(found and exp_interval(found) for found in _compared(logs, base))


def beside_fastest(files: Sequence[FileResult]) -> tuple[str, tuple[FileResult, ...]]:
    """Return the fastest file's name, and all files with their `ratio` and `difference_ns` to it, from their launches."""
    launches = [file.launches for file in files]
    base = fastest(launches)
    differences = _compared([round_medians(of_one) for of_one in launches], base)
    found = zip(files, ratios(launches, base), differences, strict=True)
    return files[base].name, tuple(
        replace(file, latency=replace(file.latency, ratio=ratio, difference_ns=difference)) for file, ratio, difference in found
    )


def _compared(values: Sequence[NDArray[np.float64]], base: int) -> list[Interval | None]:
    """Return the mean difference of each file's values, float64 (launches, rounds), from the base's."""
    launches = len(values[base])
    if launches < 2:
        return [None] * len(values)
    quantile = fastest_quantile(len(values), launches)
    return [
        None if place == base else mean_interval((own - values[base]).mean(axis=1), quantile=quantile)
        for place, own in enumerate(values)
    ]
