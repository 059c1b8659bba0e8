"""Report -> tables, the same for the terminal, Markdown and HTML."""

from collections.abc import Callable
from functools import partial

import numpy as np

from edgecnn.benchmarks.gate.accuracy import KERAS_REFERENCE, Accuracy
from edgecnn.benchmarks.results.latency_summary import p50_ns
from edgecnn.benchmarks.results.records import FileResult, Paced, Report, Throughput
from edgecnn.benchmarks.statistics import binomial
from edgecnn.benchmarks.statistics.percentiles import percentile_of_launches
from edgecnn.edge.export_records import Interval
from edgecnn.edge.show.table import TextTable
from edgecnn.edge.text import counted

Column = Callable[[FileResult], str]
# A figure below so many empty calls is marked: the loop itself is a part of it.
_NEAR_RESOLUTION = 20


def grids(report: Report) -> tuple[TextTable, ...]:
    """Return every table that the report has something for."""
    made = [_latency(report), _start(report)]
    if report.dataset:
        made.append(_accuracy(report))
    if any(file.accuracy and file.accuracy.accepted is not None for file in report.files):
        made.append(_accepted(report))
    if any(file.throughput or file.paced for file in report.files):
        made.append(_rates(report))
    if any(file.sustained for file in report.files):
        made.append(_sustained(report))
    made += [_profile(report, file) for file in report.files if file.profile]
    return tuple(made)


def empty_call_ns(report: Report) -> int:
    """Return the median cost of a call that does nothing."""
    return int(np.median(report.empty_call.unpack()))


def marks(report: Report) -> list[tuple[str, str]]:
    """Return the marks of latencies and rates in the tables, each with its meaning; `!` has its reasons elsewhere."""
    percentiles = [item for file in report.files for item in file.latency.percentiles]
    known = [
        (
            any(item.value_ns is None for item in percentiles),
            "needs N",
            "this percentile needs N runs. Measure more of them",
        ),
        (
            any(item.value_ns is not None and _near_resolution(report, item.value_ns) for item in percentiles),
            "~",
            "so short that the timing loop itself is a notable part of it",
        ),
        (
            any(file.throughput and file.throughput.one_by_one for file in report.files),
            "*",
            "the file takes a fixed number of images, so each batch is a loop",
        ),
    ]
    return [(mark, meaning) for shown, mark, meaning in known if shown]


def _near_resolution(report: Report, time_ns: float) -> bool:
    """Tell whether the loop's own cost is a notable part of a time."""
    return time_ns < _NEAR_RESOLUTION * empty_call_ns(report)


def is_reference(report: Report, file: FileResult) -> bool:
    """Tell whether a file is what the others are compared with, and so is not judged by that."""
    itself = report.reference == KERAS_REFERENCE and not file.artifact.exported
    return itself or file.artifact.path == report.reference


def gate(report: Report, file: FileResult) -> str:
    """Return a file's verdict, or that it is the reference, where only a comparison with that would judge it."""
    return "reference" if is_reference(report, file) and not file.verdict.judged else file.verdict.status


def unstable(report: Report, file: FileResult) -> bool:
    """Tell whether the file's times are unstable."""
    return any(item.file in (None, file.name) for item in report.noise)


def figure(value: float) -> str:
    """Return at least three significant digits of a figure above 1."""
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}" if abs(value) < 1000 else f"{value:,.0f}"


def percent_name(percent: float) -> str:
    """Return a percentile's name, as p99.9."""
    return f"p{percent:.12g}"


def timed_name(report: Report, file: FileResult) -> str:
    """Return the file's name, marked if the times beside it are unstable."""
    return f"{file.name} !" if unstable(report, file) else file.name


def _latency(report: Report) -> TextTable:
    rate = "images\n/s" if report.dataset else "runs\n/s"
    columns: dict[str, Column] = {
        "file": partial(timed_name, report),
        "size\nKiB": lambda file: figure(file.artifact.size_bytes / 1024),
    }
    for place, item in enumerate(report.files[0].latency.percentiles):
        columns[f"{percent_name(item.percent)}\nµs"] = partial(_percentile, report, place)
    columns[f"time over\n{report.baseline}"] = partial(_ratio, report)
    columns[rate] = lambda file: f"{file.latency.images_per_second:,.0f}"
    title = "Latency of one image" if report.dataset else "Latency of one run on random inputs"
    return TextTable.of(report.files, columns, title, (rate,))


def _start(report: Report) -> TextTable:
    columns: dict[str, Column] = {
        "file": partial(timed_name, report),
        "import\nms": lambda file: figure(file.latency.import_ns / 1e6),
        "load\nms": lambda file: figure(file.latency.load_ns / 1e6),
        "first\ninference ms": lambda file: figure(file.latency.first_ns / 1e6),
        "memory\npeak MiB": lambda file: f"{file.latency.peak_memory_bytes / 2**20:.0f}",
        "memory\nsteady MiB": lambda file: f"{file.latency.steady_memory_bytes / 2**20:.0f}",
    }
    return TextTable.of(report.files, columns, "Start and memory of the process")


def _percentile(report: Report, place: int, file: FileResult) -> str:
    item = file.latency.percentiles[place]
    if item.value_ns is None:
        return f"needs {item.needed_runs:,}"
    return figure(item.value_ns / 1e3) + ("~" if _near_resolution(report, item.value_ns) else "")


def _ratio(report: Report, file: FileResult) -> str:
    if file.name == report.baseline:
        return "1"
    ratio = file.latency.ratio
    return f"{_times(ratio.estimate)} ({_times(ratio.low)}-{_times(ratio.high)})" if ratio else "one launch"


def _times(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio < 9.995 else f"{ratio:.1f}" if ratio < 99.95 else f"{ratio:,.0f}"


def _accuracy(report: Report) -> TextTable:
    columns: dict[str, Callable[[tuple[FileResult, Accuracy]], str]] = {
        "file": lambda of: of[0].name,
        "gate": lambda of: gate(report, of[0]),
        "right\n%": lambda of: f"{100 * of[1].accuracy:.2f}",
        "drop\npoints": lambda of: f"{100 * of[1].drop.estimate:+.2f}",
        "drop\n95 %": lambda of: points_text(of[1].drop),
        "lost": lambda of: f"{of[1].lost:,}",
        "gained": lambda of: f"{of[1].gained:,}",
        "agree\n%": lambda of: f"{100 * of[1].agreement.estimate:.2f}",
        "confid.\nmoved": lambda of: f"{of[1].largest_confidence_change:.3f}",
        "Brier\nincrease": lambda of: f"{of[1].brier_increase.estimate:+.4f}" if of[1].brier_increase else "not measured",
    }
    measured = [(file, file.accuracy) for file in report.files if file.accuracy]
    assert len(measured) == len(report.files)  # noqa: S101  # `read_report` and `benchmark` see to it: all files or none.
    less = ("confid.\nmoved", "Brier\nincrease", "gained", "lost")
    return TextTable.of(measured, columns, f"Accuracy compared with {report.reference}", less)


def _accepted(report: Report) -> TextTable:
    """Return how many answers each file's threshold accepts, and how many of those are wrong, on the images that judge it."""
    of_accepted = ("accepted\n%", "wrong of\naccepted %", "wrong of\naccepted, 95 %")
    headings, rows = ("file", "accepts from", *of_accepted, "asked\n%", "wrong of\nall %"), []
    for file in report.files:
        accuracy, threshold = file.accuracy, file.artifact.threshold
        if accuracy is None or accuracy.accepted is None or threshold is None:
            continue
        asked, every = f"at most {100 * threshold.max_error:g}", f"{100 * (1 - accuracy.accuracy):.2f}"
        shares = accepted_shares(accuracy.images, accuracy.accepted, accuracy.accepted_wrong)
        rows.append((file.name, threshold.text, *shares, asked, every))
    return TextTable(headings, rows, 'Accepted answers; the others are "not sure"', ("wrong of\nall %",))


def accepted_text(images: int, accepted: int, wrong: int, max_error: float) -> str:
    """Return how many answers a file's threshold accepts, and how many of these are wrong, as a sentence."""
    share, errors, interval = accepted_shares(images, accepted, wrong)
    of_these = f", of which {errors} % are wrong (95 % interval {interval} %)" if accepted else ""
    return (
        f"Its threshold, set for at most {100 * max_error:g} % errors, accepts {accepted:,} of {counted(images, 'answer')} "
        f"({share} %){of_these}; the others are not sure."
    )


def accepted_shares(images: int, accepted: int, wrong: int) -> tuple[str, str, str]:
    """Return in percent which share of answers is accepted, which share of these is wrong, and the 95 % interval of that."""
    share = f"{100 * accepted / images:.2f}" if images else "-"
    if not accepted:
        return share, "-", "-"
    found = binomial.interval(wrong, accepted)
    return share, f"{100 * found.estimate:.2f}", f"{100 * found.low:.2f} to {100 * found.high:.2f}"


def points_text(interval: Interval) -> str:
    """Return the bounds of a share's interval in points."""
    return f"{100 * interval.low:+.2f} to {100 * interval.high:+.2f}"


def _rates(report: Report) -> TextTable:
    def batch(of: Callable[[Throughput], str]) -> Column:
        return lambda file: of(file.throughput) if file.throughput else ""

    def paced(of: Callable[[Paced], str]) -> Column:
        return lambda file: of(file.paced) if file.paced else ""

    columns: dict[str, Column] = {
        "file": partial(timed_name, report),
        "batch": batch(lambda run: f"{run.batch}{'*' if run.one_by_one else ''}"),
        "images\n/s" if report.dataset else "inputs\n/s": batch(lambda run: f"{run.images_per_second:,.0f}"),
        "frames\n/s": paced(lambda run: f"{run.rate:g}"),
        "frames": paced(lambda run: f"{run.frames:,}"),
        "missed": paced(lambda run: f"{run.missed:,}"),
        "dropped": paced(lambda run: f"{run.dropped:,}"),
        "response\np50 µs": paced(lambda run: _response(run, 50)),
        "response\np90 µs": paced(lambda run: _response(run, 90)),
    }
    return TextTable.of(report.files, columns, "Throughput of batches, and a fixed rate")


def _response(run: Paced, percent: float) -> str:
    item = percentile_of_launches([[run.response.unpack()]], percent)
    return f"needs {item.needed_runs}" if item.value_ns is None else figure(item.value_ns / 1e3)


def _sustained(report: Report) -> TextTable:
    def hottest(file: FileResult) -> str:
        known = [window.temperature_celsius for window in file.sustained if window.temperature_celsius is not None]
        return f"{max(known):.0f}" if known else "not reported"

    columns: dict[str, Column] = {
        "file": partial(timed_name, report),
        "seconds": lambda file: f"{file.sustained[-1].seconds:.0f}",
        "first\np50 µs": lambda file: figure(file.sustained[0].p50_ns / 1e3),
        "last\np50 µs": lambda file: figure(file.sustained[-1].p50_ns / 1e3),
        "slowest\np50 µs": lambda file: figure(max(window.p50_ns for window in file.sustained) / 1e3),
        "longest\nrun µs": lambda file: figure(max(window.max_ns for window in file.sustained) / 1e3),
        "hottest\n°C": hottest,
    }
    return TextTable.of([file for file in report.files if file.sustained], columns, "Sustained")


def _profile(report: Report, file: FileResult) -> TextTable:
    assert file.profile  # noqa: S101  # The caller has looked.
    rows = tuple(
        (item.op, f"{100 * item.share:.1f}", f"{item.microseconds:.2f}" if item.microseconds >= 1 else "< 1")
        for item in file.profile.ops
    )
    title = (
        f"{timed_name(report, file)} by op: {file.profile.profiler}, {file.profile.runs} runs, "
        f"{file.profile.total_microseconds:.1f} µs in all, {p50_ns(file.launches) / 1e3:.1f} without it (p50)"
    )
    return TextTable(("op", "share\n%", "µs"), rows, title)
