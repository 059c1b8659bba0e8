"""Report -> text. Pure functions."""

import io
from textwrap import fill

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.gate import PASS
from benchmarks.run import FileResult, Report

WIDTH = 100


def to_table(report: Report) -> str:
    """Return the table, the verdict and how it was measured, at most `WIDTH` columns wide."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("file", no_wrap=True)
    for heading in ("size\nKiB", "load\nms", "p50\nµs", "p90\nµs", "images\n/s", "memory\nMiB", "accuracy\n%", "drop\npoints"):
        table.add_column(heading, justify="right")
    table.add_column("agree\n%", justify="right")
    table.add_column("gate")
    for result in report.files:
        table.add_row(*_row(result))
    console = Console(file=io.StringIO(), width=WIDTH, highlight=False, markup=False, soft_wrap=False)
    console.print(table)
    text = console.file.getvalue()  # type: ignore[attr-defined]  # The file is the StringIO of the line above.
    rows = [line.rstrip() for line in text.splitlines() if line.strip()]
    return "\n".join([*rows, "", *(fill(line, WIDTH) for line in _footer(report))])


def _row(result: FileResult) -> tuple[str, ...]:
    summary, accuracy = result.summary, result.accuracy
    return (
        result.artifact.path,
        _figure(result.artifact.size_bytes / 1024),
        _figure(result.load_ns / 1e6),
        _figure(summary.p50_ns / 1e3),
        _figure(summary.p90_ns / 1e3),
        f"{summary.images_per_second:,.0f}",
        f"{result.peak_memory_bytes / 2**20:.0f}",
        f"{100 * accuracy.accuracy:.2f}",
        f"{accuracy.drop_points:+.2f}",
        f"{100 * accuracy.agreement:.2f}",
        result.verdict.status,
    )


def _figure(value: float) -> str:
    return f"{value:.1f}" if value < 1000 else f"{value:,.0f}"


def _footer(report: Report) -> list[str]:
    host, images = report.before, report.files[0].accuracy.images
    runtimes = sorted({result.runtime for result in report.files})
    runs = min(result.summary.runs for result in report.files)
    machine = ", ".join(part for part in (host.board, host.cpu, host.machine, f"{host.cores} cores") if part)
    threads = f"{report.threads} thread{'s' if report.threads > 1 else ''}"
    lines = [
        f"Times: {report.timed_region}.",
        f"At least {runs:,} runs a file after {report.plan.warmup_runs} of warm-up, {threads}.",
        "Load: from the file's bytes to a model that can run, without the package's import. Memory: the process's peak.",
        f"Accuracy: {images:,} test images of {report.dataset.name}; drop and agreement against the float Keras model.",
        f"Machine: {machine}; load {host.load:.1f} before, {report.after.load:.1f} after.",
        f"Runtimes: {', '.join(runtimes)}. {host.time}.",
        "",
    ]
    if report.verdict.status == PASS:
        lines.append(f"{PASS}: every file is within {report.budget.max_drop_points:.2f} points of the float Keras model.")
    else:
        lines += [f"{report.verdict.status}: {reason}" for reason in report.verdict.reasons]
    return lines
