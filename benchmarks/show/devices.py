"""DeviceResults -> text: tables with a column for each device, then a paragraph for each."""

from collections.abc import Callable, Sequence
from textwrap import wrap

from edgecnn.benchmarks.results.devices import DeviceResult, DeviceResults
from edgecnn.benchmarks.results.records import FileResult, Report
from edgecnn.benchmarks.show.remarks import remarks, unstable_lines
from edgecnn.benchmarks.show.remarks import verdict as verdict_lines
from edgecnn.benchmarks.show.tables import figure, percent_name, unstable
from edgecnn.edge.show.table import TextTable, table_text
from edgecnn.edge.text import WIDTH, counted, paragraph, paragraphs, printable_lines

_HEADING_WIDTH = 24
_SHOWN = (50.0, 90.0)
_ABSENT = "not measured"

Cell = Callable[[Report, FileResult], str]


def devices_text(results: DeviceResults, width: int = WIDTH, verbose: bool = False) -> str:
    """Return how many devices are within the limits, the tables and what they rest on.

    What a device says can't steer a terminal.

    Args:
        results: What was measured.
        width: Columns of a line.
        verbose: Also say what was timed, and give every reason why times are unstable.
    """
    measured = [(device.host, device.result) for device in results.devices if device.result]
    passed = sum(not report.verdict.refuses for _, report in measured)
    blocks = [f"Within the limits: {passed} of {counted(results.devices, 'device')}."]
    if measured:
        labelled = any(report.dataset for _, report in measured)
        noun = "image" if labelled else "run on random inputs"
        blocks.append(_table(f"Latency of one {noun}, p50 µs (p90 in brackets)", measured, _latency, width))
        blocks.append(_table("Right %, and the gate" if labelled else "The gate", measured, _judged, width))
    blocks += ["\n".join(_hanging(line, width) for line in _device(device, verbose)) for device in results.devices]
    if legend := _legend(measured, verbose):
        blocks.append("\n".join(paragraphs(legend, width)))
    return printable_lines("\n\n".join(blocks))


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
    return f"{100 * file.accuracy.accuracy:.2f} {file.verdict.status}" if file.accuracy else file.verdict.status


def _device(device: DeviceResult, verbose: bool) -> list[str]:
    """Return what a device is, what it ran and what is unstable; or why it gave nothing."""
    report = device.result
    if report is None:
        return [f"{device.host}: NO RESULT: {device.error}"]
    machine, after = report.machine, report.after
    parts = [machine.board, machine.cpu, machine.machine, f"{counted(machine.cores, 'core')}", f"Python {machine.python}"]
    lines = [f"{device.host}: {report.verdict.status}. {', '.join(part for part in parts if part)}."]
    state = [f"at least {counted(min(file.latency.runs for file in report.files), 'run')} of each file"]
    if report.before.governors:
        state.append(f"governor {', '.join(report.before.governors)}")
    if after.temperature_celsius is not None:
        state.append(f"{after.temperature_celsius:.0f} °C at the end")
    if after.throttled is not None:
        state.append(f"throttled {after.throttled:#x}")
    if report.load:
        state.append(f"other processes used {report.load.others_cores:.2f} cores")
    lines.append(f"  Ran on {', '.join(sorted({file.runtime for file in report.files}))}; {'; '.join(state)}.")
    noise = [f"{item.text} ({item.name})" for item in report.noise]
    lines += [f"  {line}" for line in unstable_lines("Unstable times, marked with !:", noise, verbose)]
    if report.allowed:
        lines.append(f"  Judged anyway, as asked: {', '.join(report.allowed)}.")
    lines += [f"  {line}" for line in remarks(report)]
    if report.verdict.refuses:
        lines += [f"  {line}" for line in verdict_lines(report)]
    return lines


def _legend(measured: Sequence[tuple[str, Report]], verbose: bool) -> list[str]:
    lines = []
    if measured:
        first = measured[0][1]
        if any(
            item.value_ns is None
            for _, report in measured
            for file in report.files
            for item in file.latency.percentiles
            if item.percent in _SHOWN
        ):
            lines.append(f"-: too few runs for {' or '.join(map(percent_name, _SHOWN))}. Measure more of them.")
        if first.dataset and first.files[0].accuracy:
            images = first.files[0].accuracy.images
            lines.append(f"Right: of {counted(images, 'test image')} of {first.dataset.name}, compared with {first.reference}.")
        if verbose:
            lines.append(f"Timed: {first.timed_region}.")
    return lines


def _hanging(line: str, width: int) -> str:
    return paragraph(line, width, indent="    " if line.startswith("  ") else "  ")
