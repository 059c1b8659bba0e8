"""Turns a comparison into text of at most 100 columns, with a line about the target."""

from edgecnn.benchmarks.report.tables import Grid, figure, grid_text
from edgecnn.edge.text import WIDTH, paragraphs
from tools.peers.lineup import BASELINE, TARGET, THREADS, Comparison, Figures, Row


def to_text(comparison: Comparison) -> str:
    """Return the whole output of `make peers`."""
    rows = comparison.rows
    parts = [grid_text(grid) for grid in (_latency(rows), _start(rows), _predictions(rows))]
    failed = [row for row in rows if row.problem]
    if failed:
        parts.append("\n".join(["Not passed", *paragraphs((f"{row.entry.name}: {row.problem}" for row in failed), WIDTH)]))
    versions = ", ".join(f"{name} {version}" for name, version in comparison.versions.items())
    notes = [
        "Times: one call with one prepared image of the runtime's own kind: input passed, inference, output to keep. "
        f"Ratios: medians divided, round by round, by those of {BASELINE} with as many threads. Each file had "
        f"{comparison.rounds} "
        "processes for each number of threads, in rounds of shuffled order.",
        "Start: from starting a process to its first answer, including Python; import and load are parts of it. Memory: "
        "peak resident memory. Both with one thread.",
        f"Machine: {comparison.machine}. {comparison.time}.",
        f"Versions: {versions}.",
    ]
    parts.append("\n".join(paragraphs(notes, WIDTH)))
    parts.append(f"{len(rows) - len(failed)} of {len(rows)} rows passed.\n{target_line(rows)}")
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def target_line(rows: tuple[Row, ...]) -> str:
    """Return the time of int8.tflite relative to the best other int8 with one thread, and whether that meets the target.

    A row that did not pass is no competitor, however fast: it computes something else.
    """
    by_name = {row.entry.name: row for row in rows}
    ours = by_name.get(BASELINE)
    if ours is None or ours.problem or not ours.with_threads(1):
        return f"{BASELINE} did not pass: there is nothing to compare"
    others = [
        (found.ratio, row.entry.name)
        for row in rows
        if row.entry.precision == "int8" and row is not ours and not row.problem
        if (found := row.with_threads(1)) and found.ratio
    ]
    if not others:
        return f"no other int8 passed: {BASELINE} has nothing to be compared with"
    ratio, name = min(others)
    share = 1 / ratio
    verdict = "met" if share <= TARGET else "missed"
    # A third digit if two would hide on which side of the target it is.
    told = f"{share:.2f}" if (round(share, 2) <= TARGET) == (share <= TARGET) else f"{share:.3f}"
    line = f"{BASELINE} takes {told} of the time of the best other int8 ({name}): target at most {TARGET}, {verdict}"
    absent = [row.entry.name for row in rows if row.entry.precision == "int8" and row.problem]
    return f"{line}\nNot compared, since they did not pass: {', '.join(absent)}" if absent else line


def _latency(rows: tuple[Row, ...]) -> Grid:
    headings = ["file", "size\nKiB"]
    for threads in THREADS:
        count = f"{threads} thread{'s' if threads > 1 else ''}"
        headings += [f"{count}\np50 µs", "p90\nµs", "ratio\n"]
    cells = []
    for row in rows:
        line = [_label(row), "-" if row.size_bytes is None else figure(row.size_bytes / 1024)]
        for threads in THREADS:
            line += _times(row.with_threads(threads))
        cells.append(tuple(line))
    return Grid("Latency of one image", tuple(headings), tuple(cells))


def _times(found: Figures | None) -> list[str]:
    if found is None:
        return ["-", "-", "-"]
    return [figure(found.p50_ns / 1e3), figure(found.p90_ns / 1e3), "-" if found.ratio is None else figure(found.ratio)]


def _start(rows: tuple[Row, ...]) -> Grid:
    headings = ("file", "start to first\nanswer ms", "import\nms", "load\nms", "memory\npeak MiB")
    cells: list[tuple[str, ...]] = []
    for row in rows:
        found = row.with_threads(1)
        if found is None:
            cells.append((_label(row), "-", "-", "-", "-"))
            continue
        times = [f"{value / 1e6:,.0f}" for value in (found.start_ns, found.import_ns)]
        cells.append((_label(row), *times, figure(found.load_ns / 1e6), f"{found.peak_memory_bytes / 2**20:.0f}"))
    return Grid("Cold start and memory", headings, tuple(cells))


def _predictions(rows: tuple[Row, ...]) -> Grid:
    headings = ("file", "right\n%", "same class\nas Keras", "images\n", "largest\ndifference", "row\n")
    cells: list[tuple[str, ...]] = []
    for row in rows:
        found, verdict = row.agreement, "failed" if row.problem else "passed"
        if found is None:
            cells.append((_label(row), "-", "-", "-", "-", verdict))
            continue
        right = f"{100 * found.right / found.images:.2f}"
        counts = f"{found.same_class:,}", f"{found.images:,}"
        cells.append((_label(row), right, *counts, f"{found.largest_difference:.2g}", verdict))
    return Grid("Predictions compared with the float Keras model", headings, tuple(cells))


def _label(row: Row) -> str:
    name = f"{row.entry.file} ({row.entry.runtime})" if row.entry.file else row.entry.name
    return f"{name} !" if row.problem else name
