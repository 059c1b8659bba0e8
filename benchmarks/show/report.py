"""Report -> text for the terminal, Markdown and CSV; DeviceResults -> text, with a column for each device."""

from collections.abc import Callable, Sequence
from textwrap import wrap
from typing import Any

from edgecnn.benchmarks.gate.accuracy import Accuracy
from edgecnn.benchmarks.results.choice import choose
from edgecnn.benchmarks.results.records import DeviceResult, DeviceResults, FileResult, Latency, Report
from edgecnn.benchmarks.show.remarks import causes, other_wishes, remarks, ship_line, unstable_lines, verdict
from edgecnn.benchmarks.show.tables import empty_call_ns, figure, gate, grids, marks, percent_name, unstable
from edgecnn.edge.export_records import Interval
from edgecnn.edge.show.table import TextTable, escaped, table_csv, table_markdown, table_text
from edgecnn.edge.text import WIDTH, counted, paragraph, paragraphs, printable_lines

_HEADING_WIDTH = 24
_SHOWN = (50.0, 90.0)
_ABSENT = "not measured"
_UNSTABLE = "Unstable times, marked with !:"

Cell = Callable[[Report, FileResult], str]


def to_text(report: Report, width: int = WIDTH, verbose: bool = False) -> str:
    """Return the verdict, the file to ship, the tables and what limits them; `verbose` adds how it was measured."""
    blocks = ["\n".join(paragraphs(answer(report), width, "  "))]
    blocks += [table_text(grid, width) for grid in grids(report)]
    unstable = unstable_lines(_UNSTABLE, causes(report.noise, verbose), verbose)
    for lines in ([*remarks(report), *unstable, *limits(report)], how_measured(report) if verbose else []):
        blocks += ["\n".join(paragraphs(lines, width, "    "))] if lines else []
    return "\n\n".join(blocks)


def to_markdown(report: Report) -> str:
    """Return the same as Markdown, with how it was measured."""
    lines = ["# edgecnn bench", "", *(f"**{escaped(line)}**  " for line in answer(report)), ""]
    for grid in grids(report):
        lines += [f"## {escaped(grid.title)}", "", *table_markdown(grid), ""]
    lines += [f"- {escaped(line)}" for line in (*remarks(report), *([_UNSTABLE] if report.noise else []))]
    lines += [f"  - {escaped(reason)}" for reason in causes(report.noise)]
    lines += [f"- {escaped(line)}" for line in (*limits(report), *how_measured(report))]
    return "\n".join([*lines, ""])


def to_csv(report: Report) -> str:
    """Return one row for each file, in plain numbers: times in nanoseconds, shares 0 to 1."""
    return table_csv(file_rows(report))


def answer(report: Report) -> list[str]:
    """Return the verdict, and which file to ship, one per line."""
    return [*verdict(report), ship_line(report), *other_wishes(report)]


def limits(report: Report) -> list[str]:
    """Return which noise was judged anyway, what the marks in the tables mean, and whether there were too many threads."""
    lines = [f"Judged anyway, as asked: {', '.join(report.allowed)}."] if report.allowed else []
    lines += [f"{mark}: {meaning}." for mark, meaning in marks(report)]
    if max(file.threads for file in report.files) > report.machine.cores:
        lines.append(f"More threads were asked for than this machine's {counted(report.machine.cores, 'core')}.")
    return lines


def how_measured(report: Report) -> list[str]:
    """Return how it was measured, a paragraph a line."""
    plan, accuracy = report.plan, report.files[0].accuracy
    runs = min(result.latency.runs for result in report.files)
    threads = sorted({result.threads for result in report.files})
    at_once = " and hold for all files at once, whichever is the fastest" if len(report.files) > 2 else ""
    lines = [
        f"Timed: {report.timed_region}. An empty call takes {empty_call_ns(report) / 1e3:.2f} µs in the same loop.",
        f"At least {counted(runs, 'run')} of each file, in {counted(plan.launches, 'launch')} of "
        f"{counted(plan.rounds, 'round')}, with {' or '.join(map(str, threads))} thread{'s' if threads != [1] else ''}. "
        "Percentiles are of all runs; each launch counts equally. Ratios compare the files' medians round by round, and their "
        f"intervals (95 %) are over the launches{at_once}.",
    ]
    if plan.chosen:
        lines.append(f"{plan.chosen[0].upper()}{plan.chosen[1:]}.")
    lines.append(
        "Import: of the runtime's package. Load: from the file's bytes to a model that can run. Both are medians over the "
        "launches. Memory is the resident memory of the process."
    )
    if accuracy and report.dataset:
        lines.append(
            f"Accuracy: {counted(accuracy.images, report.dataset.kind)} of {report.dataset.name}, the same for every file. "
            "Confid. moved: the largest change in the probability of the reference's class."
        )
    if any(file.paced for file in report.files):
        lines.append(
            "Fixed rate: frames arrive for at least 5 s. Missed: answered after the next frame was due, or dropped because "
            "that frame came first. Response: from when a frame was due to its answer; dropped frames have none."
        )
    lines += [f"By op: {caveat}." for caveat in sorted({file.profile.caveat for file in report.files if file.profile})]
    runtimes = ", ".join(sorted({file.runtime for file in report.files}))
    measured = f"Runtimes: {runtimes}. Measured at {report.before.time}."
    return [*lines, f"Machine: {_machine(report)}; {_state(report)}.", measured]


def _machine(report: Report) -> str:
    host = report.machine
    return ", ".join(part for part in (host.board, host.cpu, host.machine, counted(host.cores, "core")) if part)


def _state(report: Report) -> str:
    before, after = report.before, report.after
    parts = []
    if report.load:
        parts.append(f"other processes used {report.load.others_cores:.2f} cores during the timing")
    if before.governors:
        parts.append(f"governor {', '.join(before.governors)}")
    if before.temperature_celsius is not None and after.temperature_celsius is not None:
        parts.append(f"{before.temperature_celsius:.0f} °C before, {after.temperature_celsius:.0f} °C after")
    if before.throttled is not None and after.throttled is not None:
        parts.append(f"throttled {before.throttled:#x} before, {after.throttled:#x} after")
    return "; ".join(parts) or "load, governor and temperature are not reported"


def file_rows(report: Report) -> list[dict[str, Any]]:
    """Return a row for each file."""
    return [_file_row(report, file) for file in report.files]


def _file_row(report: Report, file: FileResult) -> dict[str, Any]:
    """Return a file's figures by the names of the CSV's columns."""
    noise = [item for item in report.noise if item.file in (None, file.name)]
    return {
        **_fields(file, "file=name", "runtime", "threads"),
        **_fields(file.artifact, "size_bytes", "sha256"),
        **_times(report.baseline, file.latency),
        **(_answers(file.accuracy) if file.accuracy else {}),
        **_fields(file.throughput, "batch", "batch_images_per_second=images_per_second"),
        **_fields(file.paced, "rate", "frames", "missed", "dropped"),
        "noise": " ".join(item.name for item in noise),
        "noise_reasons": "; ".join(item.text for item in noise),
        "allowed": " ".join(report.allowed),
        "gate": file.verdict.status,
    }


def _fields(record: object, *columns: str) -> dict[str, object]:
    """Return columns that are called like a record's fields, or as `column=field`; each is None without a record."""
    named = [(column, field or column) for column, _, field in (text.partition("=") for text in columns)]
    return {column: None if record is None else getattr(record, field) for column, field in named}


def _times(baseline: str, latency: Latency) -> dict[str, object]:
    row = _fields(latency, "import_ns", "load_ns", "first_ns", "runs")
    for item in latency.percentiles:
        name = percent_name(item.percent)
        row |= _fields(item, f"{name}_ns=value_ns", f"{name}_low_ns=low_ns", f"{name}_high_ns=high_ns")
    memory = _fields(latency, "images_per_second", "peak_memory_bytes", "steady_memory_bytes")
    return row | {"baseline": baseline, **_ends("ratio", latency.ratio), **memory}


def _answers(accuracy: Accuracy) -> dict[str, object]:
    return {
        **_fields(accuracy, "images", "correct", "reference_correct", "lost", "gained"),
        **_ends("drop", accuracy.drop),
        "mcnemar_p": accuracy.mcnemar_p,
        "agreement": accuracy.agreement.estimate,
        **_fields(accuracy, "largest_confidence_change", "mean_confidence_change", "loss"),
        **_ends("right", accuracy.right),
        "reference_loss": accuracy.reference_loss,
        **_ends("brier_increase", accuracy.brier_increase),
        **_fields(accuracy, "calibration_error", "reference_calibration_error", "copies", "chose", "conflicting"),
        **_fields(accuracy, "learnt", "all_learnt", "accepted"),
        "accepted_wrong": None if accuracy.accepted is None else accuracy.accepted_wrong,
    }


def _ends(name: str, interval: Interval | None) -> dict[str, float | None]:
    values = (None, None, None) if interval is None else (interval.estimate, interval.low, interval.high)
    return dict(zip((name, f"{name}_low", f"{name}_high"), values, strict=True))


def devices_text(results: DeviceResults, width: int = WIDTH, verbose: bool = False) -> str:
    """Return how many devices are within the limits, the tables and what they rest on; no device's text can steer a terminal.

    `verbose` adds what was timed, and gives every reason why times are unstable.
    """
    measured = [(device.host, device.result) for device in results.devices if device.result]
    passed = sum(not report.verdict.refuses for _, report in measured)
    lines = [f"Within the limits: {passed} of {counted(results.devices, 'device')}."]
    if len(measured) > 1:
        lines.append(_for_all([report for _, report in measured]))
    blocks = ["\n".join(paragraphs(lines, width, "  "))]
    if measured:
        labelled = any(report.dataset for _, report in measured)
        noun = "image" if labelled else "run on random inputs"
        blocks.append(_table(f"Latency of one {noun}, p50 µs (p90 in brackets)", measured, _latency, width))
        blocks.append(_table("Right %, and the gate" if labelled else "The gate", measured, _judged, width))
    for device in results.devices:
        first, *others = _device(device, verbose)
        lines = [paragraph(first, width, "  "), *paragraphs((f"  {line}" for line in others), width, "    ")]
        blocks.append("\n".join(lines))
    if legend := _legend(measured, verbose):
        blocks.append("\n".join(paragraphs(legend, width)))
    return printable_lines("\n\n".join(blocks))


def _for_all(reports: Sequence[Report]) -> str:
    """Return which file to ship to all devices."""
    choice, all_of_them = choose(reports), f"to all {len(reports)} devices"
    if choice.file:
        return f"Ship {choice.file} {all_of_them}. It is {choice.reason}."
    if choice.closest is None:
        return f"No file is named to ship {all_of_them}: {choice.reason}."
    return f"Ship none {all_of_them}: the closest is {choice.closest}, which is {choice.status} on one or more of them."


def _table(title: str, measured: Sequence[tuple[str, Report]], cell: Cell, width: int) -> str:
    """Return a table of a row for each file and a column for each device."""
    reports = [(report, {file.name: file for file in report.files}) for _, report in measured]
    rows = [
        (name, *(cell(report, files[name]) if name in files else _ABSENT for report, files in reports))
        for name in dict.fromkeys(name for _, files in reports for name in files)
    ]
    headings = ("file", *("\n".join(wrap(host, _HEADING_WIDTH, break_on_hyphens=False)) for host, _ in measured))
    return table_text(TextTable(headings, rows, title), width)


def _latency(report: Report, file: FileResult) -> str:
    times = {item.percent: item for item in file.latency.percentiles}
    p50, p90 = (
        figure(item.value_ns / 1e3) if (item := times.get(percent)) and item.value_ns is not None else "-" for percent in _SHOWN
    )
    return f"{p50} ({p90}){' !' if unstable(report, file) else ''}"


def _judged(report: Report, file: FileResult) -> str:
    status = gate(report, file)
    return f"{100 * file.accuracy.accuracy:.2f} {status}" if file.accuracy else status


def _device(device: DeviceResult, verbose: bool) -> list[str]:
    """Return what a device is, what it ran and what is unstable; or why it gave nothing."""
    report = device.result
    if report is None:
        return [f"{device.host}: NO RESULT: {device.error}"]
    after = report.after
    lines = [f"{device.host}: {report.verdict.status}. {_machine(report)}, Python {report.machine.python}."]
    state = [f"at least {counted(min(file.latency.runs for file in report.files), 'run')} of each file"]
    if report.before.governors:
        state.append(f"governor {', '.join(report.before.governors)}")
    if after.temperature_celsius is not None:
        state.append(f"{after.temperature_celsius:.0f} °C at the end")
    if after.throttled is not None:
        state.append(f"throttled {after.throttled:#x}")
    if report.load:
        state.append(f"other processes used {report.load.others_cores:.2f} cores")
    lines.append(f"Ran on {', '.join(sorted({file.runtime for file in report.files}))}; {'; '.join(state)}.")
    lines += unstable_lines(_UNSTABLE, causes(report.noise, verbose), verbose)
    if report.allowed:
        lines.append(f"Judged anyway, as asked: {', '.join(report.allowed)}.")
    lines += [*remarks(report), *(verdict(report) if report.verdict.refuses else [])]
    return [*lines, ship_line(report)]


def _legend(measured: Sequence[tuple[str, Report]], verbose: bool) -> list[str]:
    if not measured:
        return []
    lines, first = [], measured[0][1]
    percentiles = [item for _, report in measured for file in report.files for item in file.latency.percentiles]
    if any(item.value_ns is None for item in percentiles if item.percent in _SHOWN):
        lines.append(f"-: too few runs for {' or '.join(map(percent_name, _SHOWN))}. Measure more of them.")
    if first.dataset and first.files[0].accuracy:
        images = counted(first.files[0].accuracy.images, first.dataset.kind)
        lines.append(f"Right: of {images} of {first.dataset.name}, compared with {first.reference}.")
    return [*lines, f"Timed: {first.timed_region}."] if verbose else lines
