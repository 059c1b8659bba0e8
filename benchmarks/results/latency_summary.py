"""What the timed runs of launches say: percentiles, noise, which file is slower and how sure that is."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from statistics import median
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgecnn.benchmarks.machine.noise import Noise, time_noise
from edgecnn.benchmarks.results.records import FileResult, Latency, Launch, Round
from edgecnn.benchmarks.statistics.intervals import fastest_quantile, mean_interval
from edgecnn.benchmarks.statistics.percentiles import Percentile, percentile_of_launches, weighted
from edgecnn.edge.export_records import FASTER, Interval
from edgecnn.edge.manifest import Artifact

# Share of the CPU time.
_OFF_CPU = 0.10
# Rounds of one file that are as near as this are no exceptions: undisturbed ones differ by half a percent.
_REPEATED, _MANY = 1.05, 16


def round_medians(launches: Sequence[Launch]) -> NDArray[np.float64]:
    """Return the median of every round in nanoseconds, float64 (launches, rounds)."""
    return np.array([[np.median(item.measured.unpack()) for item in launch.rounds] for launch in launches])


def fastest_round(launches: Sequence[Launch]) -> float:
    """Return the median of the fastest round in nanoseconds; of many rounds, of the fastest that another one comes near.

    What else a machine does only adds to a time, so the fastest of many rounds is repeatable where means are not (Chen and
    Revels, Robust benchmarking in noisy environments, 2016). But a virtual machine may have a faster clock for a moment. Of
    few rounds, the only one that nothing disturbed may be the fastest.
    """
    medians = np.sort(round_medians(launches).ravel())
    repeated = np.flatnonzero(medians[1:] <= _REPEATED * medians[:-1])
    return float(medians[repeated[0] if len(repeated) and len(medians) >= _MANY else 0])


def launch_logs(launches: Sequence[Launch]) -> NDArray[np.float64]:
    """Return the mean of the logarithms of each launch's round medians in nanoseconds, float64 (launches,)."""
    logs: NDArray[np.float64] = np.log(round_medians(launches)).mean(axis=1)
    return logs


def summarize(launches: Sequence[Launch], percents: Sequence[float], images_per_run: int = 1) -> Latency:
    """Summarise a file's launches, at least one of a round or more; `beside_fastest` adds what compares it with other files."""
    times, weights = weighted_times(launches)
    return Latency(
        runs=len(times),
        percentiles=tuple(launch_percentile(launches, percent) for percent in percents),
        typical_ns=exp_interval(mean_interval(launch_logs(launches))) if len(launches) > 1 else None,
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


def fastest(files: Sequence[Sequence[Launch]]) -> int:
    """Return the index of the file with the smallest typical time."""
    return min(range(len(files)), key=lambda index: typical_ns(files[index]))


def ratios(files: Sequence[Sequence[Launch]], base: int) -> tuple[Interval | None, ...]:
    """Return each file's time divided by the base's, paired round by round, with intervals that hold for all files at once.

    In 95 % of benchmarks every one of these intervals holds the true ratio, also if the base was chosen afterwards because it
    is the fastest (`fastest_quantile`). A base or pair that was named beforehand, such as int8 and its own float32 file, gets
    the same intervals, so that one benchmark never gives two for the same pair; they are wider than one such pair alone
    needs, and right for a list of them. For a single pair of which nothing was chosen, pass these two files alone: the
    interval is Student's. It is None for the base, whose place `base` is, and after a single launch, which shows nothing.
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


class TimedFile(NamedTuple):
    """A file that was timed.

    Attributes:
        artifact: Its entry of the manifest.
        runtime: Package and version that ran it.
        threads: Number of threads.
        launches: Its times, measured side by side with those of the other files.
    """

    artifact: Artifact
    runtime: str
    threads: int
    launches: Sequence[Launch]


def no_faster_than_float(files: Sequence[TimedFile]) -> Iterator[tuple[int, int, Interval]]:
    """Yield each quantized file that is not shown to be 5 % faster than the float32 file of its format and runtime.

    It is the places of both, and the ratio of their times. These pairs are known beforehand, but there are several, and a
    reader finds some of them in the table of ratios too: their intervals are the same, which hold for all files at once.
    """
    launches = [file.launches for file in files]
    floats = {_kind(file): place for place, file in enumerate(files) if file.artifact.precision == "float32"}
    over = {place: ratios(launches, place) for place in floats.values()}
    for place, file in enumerate(files):
        other = floats.get(_kind(file), place)
        ratio = None if other == place else over[other][place]
        if ratio and ratio.high > FASTER:
            yield place, other, ratio


def _kind(file: TimedFile) -> tuple[str, str, int]:
    return file.artifact.format, file.runtime, file.threads


def launch_noise(name: str, launches: Sequence[Launch]) -> tuple[Noise, ...]:
    """Return the noise of `time_noise` and `cpu_noise` in the launches of the file with this name."""
    medians = round_medians(launches).ravel().tolist()
    rounds = [item for launch in launches for item in launch.rounds]
    return cpu_noise(name, rounds) + time_noise(name, medians, [launch.settled for launch in launches])


def cpu_noise(name: str, rounds: Sequence[Round]) -> tuple[Noise, ...]:
    """Return whether a file's process was kept off its CPU during timing.

    Its CPU time is then less than the elapsed time. A runtime with several threads may use more. A runtime that waits in
    every run, for example for a device, uses less and gives up its CPU voluntarily at least once per run; a process that is
    preempted, stopped or out of its quota does not.
    """
    times = [item.measured.unpack() for item in rounds]
    wall, runs = sum(int(of_round.sum()) for of_round in times), sum(map(len, times))
    cpu, waits, stops = (sum(getattr(item, what) or 0 for item in rounds) for what in ("cpu_ns", "waits", "stops"))
    typical = float(np.median([np.median(of_round) for of_round in times]))
    waits_itself = not stops and waits >= runs and typical * runs > cpu * (1 + _OFF_CPU)
    if not stops and (wall <= cpu * (1 + _OFF_CPU) or waits_itself):
        return ()
    text = f"the process of {name} was off the CPU for {max(wall - cpu, 0) / wall:.0%} of the timed time"
    if stops:
        text += f", and stopped {stops} times by a signal"
    return (Noise("preempted", name, f"{text}: stop other programs"),)
