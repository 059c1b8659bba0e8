"""DeviceResults -> text: tables with a column for each device, then a paragraph for each."""

from collections.abc import Callable, Sequence
from textwrap import fill, wrap

from benchmarks.gate import PASS, UNJUDGED
from benchmarks.remote import DeviceResult, DeviceResults
from benchmarks.report import WIDTH, grid_text, remarks
from benchmarks.report import verdict as verdict_lines
from benchmarks.results import FileResult, Report
from benchmarks.tables import Grid, figure, percent_name, unstable

_GAP = 2  # Between the columns of `grid_text`.
_NAME_WIDTH = 30
_HEADING_WIDTH = 24
_SHOWN = (50.0, 90.0)
_ABSENT = "not measured"

Cell = Callable[[Report, FileResult], str]


def devices_text(results: DeviceResults) -> str:
    """Return the tables and what they rest on, at most `WIDTH` columns wide; what a device says can't steer a terminal."""
    measured = [(device.host, device.result) for device in results.devices if device.result]
    blocks = []
    if measured:
        labelled = any(report.dataset for _, report in measured)
        noun = "image" if labelled else "run on random inputs"
        blocks += _tables(f"Latency of one {noun}, p50 µs (p90 in brackets)", measured, _latency)
        blocks += _tables("Right %, and the gate" if labelled else "The gate", measured, _judged)
    blocks += [_device(device) for device in results.devices]
    blocks.append("\n".join(fill(line, WIDTH) for line in _legend(measured, results)))
    return "\n\n".join("".join(char if char.isprintable() or char == "\n" else "?" for char in block) for block in blocks)


def _tables(title: str, measured: Sequence[tuple[str, Report]], cell: Cell) -> list[str]:
    """Return as many tables as the devices need to be at most `WIDTH` wide."""
    names = list(dict.fromkeys(file.name for _, report in measured for file in report.files))
    columns = []
    for host, report in measured:
        files = {file.name: file for file in report.files}
        cells = [cell(report, files[name]) if name in files else _ABSENT for name in names]
        columns.append(("\n".join(wrap(host, _HEADING_WIDTH)), cells))
    shown = [name if len(name) <= _NAME_WIDTH else f"{name[: _NAME_WIDTH - 1]}…" for name in names]
    tables: list[str] = []
    while columns:
        taken = _fitting(columns, max(map(len, ["file", *shown])))
        rows = tuple((name, *(cells[i] for _, cells in taken)) for i, name in enumerate(shown))
        grid = Grid(title if not tables else f"{title}, continued", ("file", *(heading for heading, _ in taken)), rows)
        tables.append(grid_text(grid))
        columns = columns[len(taken) :]
    return tables


def _fitting(columns: list[tuple[str, list[str]]], used: int) -> list[tuple[str, list[str]]]:
    """Return the first columns that fit; one at least."""
    taken: list[tuple[str, list[str]]] = []
    used += 1  # The table's own margin.
    for heading, cells in columns:
        used += _GAP + max(map(len, [*heading.split("\n"), *cells]))
        if taken and used > WIDTH:
            break
        taken.append((heading, cells))
    return taken


def _latency(report: Report, file: FileResult) -> str:
    times = {item.percent: item for item in file.latency.percentiles}
    p50, p90 = (
        figure(item.value_ns / 1e3) if (item := times.get(percent)) and item.value_ns is not None else "-" for percent in _SHOWN
    )
    return f"{p50} ({p90}){' !' if unstable(report, file) else ''}"


def _judged(report: Report, file: FileResult) -> str:
    return f"{100 * file.accuracy.accuracy:.2f} {file.verdict.status}" if file.accuracy else file.verdict.status


def _device(device: DeviceResult) -> str:
    """Return what a device is, what it ran and what is unstable; or why it gave nothing."""
    report = device.result
    if report is None:
        return _hanging(f"{device.host}: NO RESULT: {device.error}")
    machine, after = report.machine, report.after
    parts = [machine.board, machine.cpu, machine.machine, f"{machine.cores} cores", f"Python {machine.python}"]
    lines = [f"{device.host}: {report.verdict.status}. {', '.join(part for part in parts if part)}."]
    state = [f"{min(file.latency.runs for file in report.files):,} runs a file or more"]
    if report.before.governors:
        state.append(f"governor {', '.join(report.before.governors)}")
    if after.temperature_celsius is not None:
        state.append(f"{after.temperature_celsius:.0f} °C at the end")
    if after.throttled is not None:
        state.append(f"throttled {after.throttled:#x}")
    if report.load:
        state.append(f"others used {report.load.others_cores:.2f} cores")
    lines.append(f"  Ran on {', '.join(sorted({file.runtime for file in report.files}))}; {'; '.join(state)}.")
    lines += [f"  ! {item.text} ({item.name})" for item in report.noise]
    if report.allowed:
        lines.append(f"  Judged all the same, as asked: {', '.join(report.allowed)}.")
    lines += [f"  {line}" for line in remarks(report)]
    if report.verdict.status not in (PASS, UNJUDGED):
        lines += [f"  {line}" for line in verdict_lines(report)]
    return "\n".join(map(_hanging, lines))


def _legend(measured: Sequence[tuple[str, Report]], results: DeviceResults) -> list[str]:
    lines = []
    if measured:
        first = measured[0][1]
        lines.append(f"Times: {first.timed_region}. !: unstable, see the device.")
        if any(
            item.value_ns is None
            for _, report in measured
            for file in report.files
            for item in file.latency.percentiles
            if item.percent in _SHOWN
        ):
            lines.append(f"-: too few runs for {' or '.join(map(percent_name, _SHOWN))}: raise --min-runs.")
        if first.dataset and first.files[0].accuracy:
            images = first.files[0].accuracy.images
            lines.append(f"Right: of {images:,} test images of {first.dataset.name}; judged beside {first.reference}.")
    passed = sum(report.verdict.status in (PASS, UNJUDGED) for _, report in measured)
    counts = f"{passed} of {len(results.devices)} device{'s' if len(results.devices) > 1 else ''}"
    return [*lines, f"Within the limits: {counts}."]


def _hanging(line: str) -> str:
    return fill(line, WIDTH, subsequent_indent="  " if not line.startswith("  ") else "    ", break_on_hyphens=False)
