"""Report -> text for the terminal, Markdown and CSV."""

import csv
import io
from textwrap import fill

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.gate import PASS, UNJUDGED
from benchmarks.noise import OTHERS_CORES
from benchmarks.pareto import candidates, pick
from benchmarks.results import FileResult, Report
from benchmarks.summary import summarize
from benchmarks.tables import Grid, empty_call_ns, grids, percent_name

WIDTH = 100


def to_text(report: Report) -> str:
    """Return the tables, how it was measured and the verdict, at most `WIDTH` columns wide."""
    blocks = [grid_text(grid) for grid in grids(report)]
    blocks += ["\n".join(fill(line, WIDTH) for line in lines) for lines in (footer(report), verdict(report)) if lines]
    return "\n\n".join(blocks)


def to_markdown(report: Report) -> str:
    """Return the same as Markdown."""
    lines = ["# edgecnn bench", "", *(f"**{line}**  " for line in verdict(report)), ""]
    for grid in grids(report):
        lines += [f"## {grid.title}", "", _markdown_row([heading.replace("\n", " ") for heading in grid.headings])]
        lines.append("|---|" + "---:|" * (len(grid.headings) - 1))
        lines += [*(_markdown_row(row) for row in grid.rows), ""]
    return "\n".join([*lines, *(f"  - {line.strip()}" if line.startswith(" ") else f"- {line}" for line in footer(report)), ""])


def to_csv(report: Report) -> str:
    """Return one row for each file, in plain numbers: times in nanoseconds, shares 0 to 1."""
    rows = [_record(report, file) for file in report.files]
    stream = io.StringIO()
    writer = csv.DictWriter(stream, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def footer(report: Report) -> list[str]:
    """Return how it was measured, a sentence a line."""
    host, plan = report.machine, report.plan
    accuracy = report.files[0].accuracy
    runtimes = sorted({result.runtime for result in report.files})
    runs = min(result.latency.runs for result in report.files)
    machine = ", ".join(part for part in (host.board, host.cpu, host.machine, f"{host.cores} cores") if part)
    threads = sorted({result.threads for result in report.files})
    counts = f"{' or '.join(map(str, threads))} thread{'s' if threads != [1] else ''}"
    lines = [
        f"Times: {report.timed_region}. A call that does nothing takes {empty_call_ns(report) / 1e3:.2f} µs in the same loop.",
        f"{runs:,} runs a file or more in {plan.launches} launch{'es' if plan.launches > 1 else ''} of {plan.rounds} rounds, "
        f"{counts}. Ratios are of medians, round by round; intervals (95 %) are over launches.",
        "Import: of the runtime's package. Load: from the file's bytes to a model that can run. Medians over the launches; "
        "memory is the process's resident memory.",
        f"Machine: {machine}; {_state(report)}.",
        f"Runtimes: {', '.join(runtimes)}. {report.before.time}.",
    ]
    if accuracy and report.dataset:
        lines.insert(
            3,
            f"Accuracy: {accuracy.images:,} test images of {report.dataset.name}, paired. Confid. moved: the largest change of "
            "the probability of the reference's class.",
        )
    if max(threads) > host.cores:
        lines.append(f"More threads than this machine's {host.cores} cores were asked for.")
    if any("needs" in cell for grid in grids(report)[:1] for row in grid.rows for cell in row):
        lines.append("needs N: the runs that this percentile takes: raise --min-runs.")
    if any(file.paced for file in report.files):
        lines.append(
            "Frames come for 5 s or more. Missed: answered after the next one was due, or dropped because it was due before "
            "their turn. Response: from due to answered, of the frames that were not dropped."
        )
    if any(file.throughput and file.throughput.one_by_one for file in report.files):
        lines.append("*: the file takes a fixed number of images, its batches are loops.")
    if any("~" in cell for grid in grids(report)[:1] for row in grid.rows for cell in row):
        lines.append("~: near the loop's own cost.")
    caveats = sorted({file.profile.caveat for file in report.files if file.profile})
    lines += [f"By op: {caveat}." for caveat in caveats]
    lines += remarks(report)
    if report.noise:
        lines.append("!: these times are unstable:")
        lines += [f"  {item.text} ({item.name})" for item in report.noise]
    if report.allowed:
        lines.append(f"Judged all the same, as asked: {', '.join(report.allowed)}.")
    picks = pick(candidates(report))
    if picks:
        lines.append(f"Most accurate {picks.most_accurate.name}, balanced {picks.balanced.name}, fastest {picks.fastest.name}.")
    return lines


def remarks(report: Report) -> list[str]:
    """Return what is missing in the report, or unstable besides the rounds' times."""
    lines = [f"By op: not measured: {file.profile_problem}" for file in report.files if file.profile_problem]
    extras = any(file.throughput or file.paced or file.sustained or file.profile for file in report.files)
    if extras and report.extras_load and report.extras_load.others_cores > OTHERS_CORES:
        lines.append(
            f"While batches, rates, sustained runs and ops were measured, others used {report.extras_load.others_cores:.2f} "
            "cores: those figures are unstable."
        )
    lines += [
        f"{file.name} takes {file.images_per_run} images at a time: each of its runs is of {file.images_per_run} images."
        for file in report.files
        if file.images_per_run > 1
    ]
    if not report.dataset:
        lines.append(
            "Latency only: no labelled images were given. Inputs are random numbers of each model's own shape and type: "
            + ", ".join(f"{file.name} {file.artifact.input.shape}" for file in report.files)
            + "."
        )
    return [*lines, *_slower_than_float(report), *report.notes]


def _slower_than_float(report: Report) -> list[str]:
    """Return a line for each quantised file that is shown to take longer than the float32 file of its format."""
    floats = {(file.artifact.format, file.threads): file for file in report.files if file.artifact.precision == "float32"}
    lines = []
    for file in report.files:
        other = floats.get((file.artifact.format, file.threads), file)
        ratio = None if other is file else summarize(file.launches, other.launches, ()).ratio
        if ratio and ratio.low > 1:
            figures = f"{ratio.estimate:.2f} ({ratio.low:.2f}-{ratio.high:.2f})"
            lines.append(f"{file.name} is slower here than {other.name}, {figures} of its time: it saves size alone.")
    return lines


def verdict(report: Report) -> list[str]:
    """Return the judgement: a line for each limit that is not met, or one for all."""
    checks = [check for check in report.verdict.checks if check.status != PASS]
    if checks:
        return [f"{check.status}: {check.text}" for check in checks]
    if report.verdict.status == UNJUDGED:
        return [f"{UNJUDGED}: nothing was judged: set a limit, such as --max-p90-ms."]
    drops = sorted({file.budget.max_drop_points for file in report.files if file.budget.max_drop_points is not None})
    if not drops:
        return [f"{PASS}: every file is within its limits."]
    allowed = " or ".join(f"{drop:.2f}" for drop in drops)
    others = any(len(file.verdict.checks) > (file.budget.max_drop_points is not None) for file in report.files)
    more = ", and within its other limits" if others else ""
    return [f"{PASS}: every file is within {allowed} points of {report.reference} (95 %){more}."]


def _state(report: Report) -> str:
    before, after = report.before, report.after
    parts = []
    if report.load:
        parts.append(f"others used {report.load.others_cores:.2f} cores while timing")
    if before.governors:
        parts.append(f"governor {', '.join(before.governors)}")
    if before.temperature_celsius is not None and after.temperature_celsius is not None:
        parts.append(f"{before.temperature_celsius:.0f} °C before, {after.temperature_celsius:.0f} after")
    if before.throttled is not None and after.throttled is not None:
        parts.append(f"throttled {before.throttled:#x} before, {after.throttled:#x} after")
    return "; ".join(parts) or "it tells neither load, governor nor temperature"


def grid_text(grid: Grid) -> str:
    """Return one table, at most `WIDTH` columns wide."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(grid.headings[0], no_wrap=True)
    for heading in grid.headings[1:]:
        table.add_column(heading, justify="right")
    for row in grid.rows:
        table.add_row(*row)
    console = Console(file=io.StringIO(), width=WIDTH, highlight=False, markup=False, soft_wrap=False)
    console.print(table)
    text = console.file.getvalue()  # type: ignore[attr-defined]  # The file is the StringIO of the line above.
    return "\n".join([grid.title, *(line.rstrip() for line in text.splitlines() if line.strip())])


def _markdown_row(cells: list[str] | tuple[str, ...]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _record(report: Report, file: FileResult) -> dict[str, object]:
    latency, accuracy = file.latency, file.accuracy
    record: dict[str, object] = {
        "file": file.name,
        "runtime": file.runtime,
        "threads": file.threads,
        "size_bytes": file.artifact.size_bytes,
        "sha256": file.artifact.sha256,
        "import_ns": latency.import_ns,
        "load_ns": latency.load_ns,
        "first_ns": latency.first_ns,
        "runs": latency.runs,
    }
    for item in latency.percentiles:
        name = percent_name(item.percent)
        record |= {f"{name}_ns": item.value_ns, f"{name}_low_ns": item.low_ns, f"{name}_high_ns": item.high_ns}
    ratio = latency.ratio
    record |= {
        "baseline": report.baseline,
        "ratio": ratio.estimate if ratio else None,
        "ratio_low": ratio.low if ratio else None,
        "ratio_high": ratio.high if ratio else None,
        "images_per_second": latency.images_per_second,
        "peak_memory_bytes": latency.peak_memory_bytes,
        "steady_memory_bytes": latency.steady_memory_bytes,
    }
    if accuracy:
        record |= {
            "images": accuracy.images,
            "correct": accuracy.correct,
            "reference_correct": accuracy.reference_correct,
            "lost": accuracy.lost,
            "gained": accuracy.gained,
            "drop": accuracy.drop.estimate,
            "drop_low": accuracy.drop.low,
            "drop_high": accuracy.drop.high,
            "mcnemar_p": accuracy.mcnemar_p,
            "agreement": accuracy.agreement.estimate,
            "largest_confidence_change": accuracy.largest_confidence_change,
            "mean_confidence_change": accuracy.mean_confidence_change,
            "loss": accuracy.loss,
        }
    record |= {
        "batch": file.throughput.batch if file.throughput else None,
        "batch_images_per_second": file.throughput.images_per_second if file.throughput else None,
        "rate": file.paced.rate if file.paced else None,
        "frames": file.paced.frames if file.paced else None,
        "missed": file.paced.missed if file.paced else None,
        "dropped": file.paced.dropped if file.paced else None,
        "noise": " ".join(item.name for item in report.noise if item.file in (None, file.name)),
        "noise_reasons": "; ".join(item.text for item in report.noise if item.file in (None, file.name)),
        "allowed": " ".join(report.allowed),
        "gate": file.verdict.status,
    }
    return record
