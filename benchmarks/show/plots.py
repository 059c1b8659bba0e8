"""Draws the figures of a report as SVG text."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgecnn.benchmarks.results.latency_summary import launch_percentile, p50_ns, round_medians, weighted_times
from edgecnn.benchmarks.results.pareto import reference_share, share_of_all
from edgecnn.benchmarks.results.records import FileResult, Report, Window
from edgecnn.benchmarks.show.svg import (
    CARD,
    INK,
    LINE,
    Drawing,
    Point,
    color,
    drawing,
    label,
    line,
    log_axis,
    place_labels,
    ticks,
)
from edgecnn.benchmarks.show.tables import figure
from edgecnn.benchmarks.statistics.percentiles import weighted

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# No more points than the figure has pixels, however many runs there are; the slowest are closest to each other.
_POINTS = 600
_SLOWEST = 200
# Largest number of hover places on one file's line.
_PLACES = 60
_MARKERS = "osD^vP"


def distribution(report: Report) -> str:
    """Draw the share of each file's runs that took at most a given time: all runs."""
    with drawing("distribution", "Share of runs that took no longer, by time", _names(report)) as made:
        axes = made.figure.add_subplot(title="share of runs that took no longer (%)", xlabel="time of one run (µs, log scale)")
        for index, file in enumerate(report.files):
            times, shares = _ecdf(*weighted_times(file.launches))
            axes.step(times / 1e3, 100 * shares, where="post", **line(index))
            for percent in (10, 25, 50, 75, 90, 99):
                _hover_percentile(made, axes, file, percent, percent)
        axes.set_ylim(0, 101)
        axes.set_yticks((0, 25, 50, 75, 90, 100))
        log_axis(axes.xaxis)
    return made.svg


def slowest(report: Report) -> str:
    """Draw the share of each file's runs that took longer than a given time, with p50, p90 and p99 marked: the tail."""
    with drawing("slowest", "Share of runs that took longer, with p50, p90 and p99", _names(report)) as made:
        axes = made.figure.add_subplot(
            title="share of runs that took longer (log scale)", xlabel="time of one run (µs, log scale)", xscale="log"
        )
        for index, file in enumerate(report.files):
            times, shares = _ecdf(*weighted_times(file.launches))
            axes.step(times[:-1] / 1e3, 100 * (1 - shares[:-1]), where="post", **line(index))
            for percent in (50, 90, 99):
                time = _hover_percentile(made, axes, file, percent, 100 - percent)
                if time is not None:
                    axes.plot(time, 100 - percent, _MARKERS[index % len(_MARKERS)], color=color(index), markersize=4.5)
        axes.set_yscale("log")
        axes.set_ylim(top=100)
        names = {50: "p50: 50 %", 10: "p90: 10 %", 1: "p99: 1 %", 0.1: "0.1 %", 0.01: "0.01 %", 0.001: "0.001 %"}
        ticks(axes.yaxis, {share: name for share, name in names.items() if share >= axes.get_ylim()[0]})
        log_axis(axes.xaxis)
    return made.svg


def rounds(report: Report) -> str:
    """Draw the median of each round, in percent of the file's own, in the order of time: a slope is drift."""
    from matplotlib.ticker import MaxNLocator

    with drawing("rounds", "Median of each round, in the order of time", _names(report)) as made:
        axes = made.figure.add_subplot(title="median of the round, % of the file's p50", xlabel="round, in the order of time")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        for index, file in enumerate(report.files):
            values = 100 * round_medians(file.launches).ravel() / p50_ns(file.launches)
            marker = _MARKERS[index % len(_MARKERS)]
            axes.plot(np.arange(1, len(values) + 1), values, marker=marker, markersize=3.5, **line(index))
            for at in range(0, len(values), -(-len(values) // _PLACES)):
                time = figure(values[at] * p50_ns(file.launches) / 1e5)
                made.hover(axes, at + 1, values[at], f"{file.name}, round {at + 1}: {time} µs, {values[at]:.1f} %")
        launches, per_launch = round_medians(report.files[0].launches).shape
        for launch in range(1, launches):
            axes.axvline(launch * per_launch + 0.5, color=LINE, linewidth=1.4, linestyle=(0, (2, 2)), zorder=0)
        low, high = axes.get_ylim()
        axes.set_ylim(min(low, 90), max(high, 110))  # So that a quiet machine's variation looks small.
    return made.svg


def tradeoff(report: Report, on_front: Iterable[str], off_front: Iterable[str]) -> str:
    """Draw accuracy against time: filled on the Pareto front, hollow off it, where another file beats it, dashed in neither."""
    on_front, off_front = set(on_front), set(off_front)
    with drawing("tradeoff", "Accuracy against time, marker area by size") as made:
        axes = made.figure.add_subplot(title="right (%), with the drop's 95 % interval", xlabel="p50 (µs, log scale)")
        largest = max(file.artifact.size_bytes for file in report.files)
        points = []
        measured = [(file, file.accuracy) for file in report.files if file.accuracy]
        for index, (file, accuracy) in enumerate(measured):
            time, share, drop = p50_ns(file.launches) / 1e3, 100 * share_of_all(report, accuracy), accuracy.drop
            reach = [[max(100 * (drop.high - drop.estimate), 0)], [max(100 * (drop.estimate - drop.low), 0)]]
            axes.errorbar(time, share, yerr=reach, color=color(index), linewidth=1.2, capsize=3)
            area = 30 + 370 * file.artifact.size_bytes / largest
            axes.scatter(
                time,
                share,
                area,
                facecolor=(color(index), 0.65) if file.name in on_front else CARD,  # Markers may overlap.
                edgecolor=color(index),
                linestyle="-" if file.name in on_front | off_front else (0, (2, 1.5)),
                linewidth=1.6,
                zorder=3,
            )
            low, high = share - reach[0][0], share + reach[1][0]
            points.append(Point(time, share, low, high, area**0.5 / 2, label(file.name), color(index)))
            size = f"{file.artifact.size_bytes / 1024:,.1f} KiB"
            made.hover(axes, time, share, f"{file.name}: {share:.2f} % right, p50 {figure(time)} µs, {size}")
        axes.axhline(100 * reference_share(report), color=INK, linewidth=0.8, linestyle=(0, (1, 2)), zorder=0)
        axes.set_xscale("log")
        axes.margins(x=0.2, y=0.2)
        log_axis(axes.xaxis)
        axes.ticklabel_format(axis="y", useOffset=False, style="plain")
        place_labels(made.figure, axes, points)
    return made.svg


def sustained(report: Report) -> str:
    """Draw the windows of sustained runs over time, with the machine's temperature and clock where it reports them."""
    panels: list[tuple[str, Callable[[Window], float | None]]] = [
        ("temperature (°C)", lambda window: window.temperature_celsius),
        ("clock (MHz)", lambda window: None if window.clock_khz is None else window.clock_khz / 1e3),
    ]
    windows = [window for file in report.files for window in file.sustained]
    panels = [panel for panel in panels if any(panel[1](window) is not None for window in windows)]
    with drawing("sustained", "Time of one run over the seconds of a sustained run", _names(report), len(panels)) as made:
        heights = {"height_ratios": [2.5] + [1] * len(panels)}
        above, *below = made.figure.subplots(1 + len(panels), 1, sharex=True, gridspec_kw=heights, squeeze=False).ravel()
        above.set_title("time of one run (µs, log scale); thin: p90")
        for index, file in enumerate(report.files):
            seconds = [window.seconds for window in file.sustained]
            above.plot(seconds, [window.p50_ns / 1e3 for window in file.sustained], **line(index))
            above.plot(seconds, [window.p90_ns / 1e3 for window in file.sustained], linewidth=0.8, **line(index))
            for window in file.sustained[:: max(1, -(-len(seconds) // _PLACES))]:
                time = window.p50_ns / 1e3
                made.hover(above, window.seconds, time, f"{file.name} after {window.seconds:.0f} s: p50 {figure(time)} µs")
            for axes, (title, value) in zip(below, panels, strict=True):
                axes.set_title(title)
                told = [np.nan if (at := value(window)) is None else at for window in file.sustained]
                axes.plot(seconds, told, **line(index))
        log_axis(above.yaxis)
        (above, *below)[-1].set_xlabel("seconds since the run's start")
    return made.svg


def paced(report: Report) -> str:
    """Draw the response times at a fixed rate, and when the next frame was due."""
    with drawing("paced", "Fixed rate: share of answers that took no longer", _names(report)) as made:
        axes = made.figure.add_subplot(
            title="share of answers that took no longer (%)", xlabel="from due to answered (µs, log scale)"
        )
        for index, file in enumerate(report.files):
            if file.paced and file.paced.response.count:
                times, shares = _ecdf(*weighted([[file.paced.response.unpack()]]))
                axes.step(times / 1e3, 100 * shares, where="post", **line(index))
                for percent in (50, 90, 99):
                    time = times[np.searchsorted(shares, percent / 100)] / 1e3
                    made.hover(axes, time, percent, f"{file.name}: {percent} % of answers took at most {figure(time)} µs")
        for rate in sorted({file.paced.rate for file in report.files if file.paced}):
            axes.axvline(1e6 / rate, color=INK, linewidth=1, linestyle=(0, (2, 2)))
            axes.text(1e6 / rate, 3, f"next frame at {rate:g}/s ", ha="right", fontsize=12)
        axes.set_ylim(0, 101)
        log_axis(axes.xaxis)
    return made.svg


def _hover_percentile(made: Drawing, axes: "Axes", file: FileResult, percent: float, height: float) -> float | None:
    """Mark where a file's curve passes a percentile, and return its time in µs; None if there are too few runs for it."""
    value = launch_percentile(file.launches, percent).value_ns
    if value is None:
        return None
    made.hover(axes, value / 1e3, height, f"{file.name}: {percent:g} % of runs took at most {figure(value / 1e3)} µs")
    return value / 1e3


def _names(report: Report) -> list[str]:
    return [file.name for file in report.files]


def _ecdf(times_ns: NDArray[np.int64], weights: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return sorted times and the share of runs up to each, thinned to the figure's resolution."""
    order = np.argsort(times_ns)
    shares = np.cumsum(weights[order])
    count = len(times_ns)
    places = np.arange(count)
    if count > _POINTS:
        spread = np.linspace(0, count - 1, _POINTS - _SLOWEST).round().astype(np.int64)
        slow = count - np.geomspace(1, count, _SLOWEST).round().astype(np.int64)
        places = np.unique(np.concatenate([spread, slow]))
    return times_ns[order][places], shares[places] / shares[-1]
