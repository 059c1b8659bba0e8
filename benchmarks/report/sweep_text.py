"""A sweep as text."""

from pathlib import Path

from edgecnn.benchmarks.report.remarks import choosing_remarks, unstable_lines, verdict
from edgecnn.benchmarks.report.sweep import Sweep
from edgecnn.benchmarks.report.tables import Grid, figure, grid_text, unstable
from edgecnn.benchmarks.results.records import Report
from edgecnn.edge.text import WIDTH, counted, paragraphs


def sweep_text(sweep: Sweep, report: Report, kind: str, width: int = WIDTH, verbose: bool = False) -> str:
    """Return which networks to take, the table and what limits what may be believed.

    Args:
        sweep: What was found.
        report: What it was measured in.
        kind: What the files are called, as `int8.tflite`.
        width: Columns of a line.
        verbose: Give every reason why times are unstable, not the first few.
    """
    noise = [f"{item.text} ({item.name})" for item in report.noise]
    notes = [
        f"{counted(sweep.rows[0].images, 'test image')}. *: on the Pareto front: no other file is at least as accurate, fast "
        "and small, and better in one of the three."
    ]
    chosen = choosing_remarks(report)
    if sweep.rows[0].network.val_images is not None and sweep.most_accurate:
        less = "only layers of tuned files" if chosen else "nothing"
        notes.append(
            "The validation images chose each network's epoch, the front and the networks named above; the test images chose "
            f"{less}."
        )
    elif len(sweep.rows) > 1:
        notes.append(
            "No validation images: the best of several was chosen on the test images that it was measured on. Expect a little "
            "less on others."
        )
    notes += [*chosen, *(rung.to_text() for rung in sweep.rungs)]
    notes += unstable_lines("Unstable times, marked with !:", noise, verbose)
    blocks = (_answer(sweep, report), [grid_text(_table(sweep, report, kind), width)], notes)
    return "\n\n".join("\n".join(block if at == 1 else paragraphs(block, width, "    ")) for at, block in enumerate(blocks))


def _answer(sweep: Sweep, report: Report) -> list[str]:
    lines = verdict(report)
    if sweep.most_accurate:
        lines.append(f"Most accurate {sweep.most_accurate}, balanced {sweep.balanced}, fastest {sweep.fastest}.")
    if sweep.chosen:
        shares = "; ".join(
            f"{network.name} {100 * network.accuracy.estimate:.2f} % ({100 * network.accuracy.low:.2f} to "
            f"{100 * network.accuracy.high:.2f} %)"
            for network in sweep.chosen
        )
        images, _ = sweep.rows[0].comparing
        lines.append(f"Chosen on {counted(images, 'validation image')}. Test images right, 95 % for all at once: {shares}.")
    if sweep.reach is not None and sweep.rows[0].network.val_images is not None:
        lines.append(_reached(sweep, sweep.reach))
    elif sweep.reach is not None:
        found = f"{sweep.smallest} is the smallest file that is" if sweep.smallest else "No file is"
        sure = "95 %" if len(sweep.rows) == 1 else f"95 %, of all {len(sweep.rows)} files at once"
        lines.append(f"{found} shown to be right on at least {100 * sweep.reach:.2f} % ({sure}).")
    return lines


def _reached(sweep: Sweep, reach: float) -> str:
    share = f"right on at least {100 * reach:.2f} %"
    if sweep.smallest_chosen is None:
        return f"No file is shown by the validation images to be {share} (95 %)."
    confirmed = "the test images confirm it" if sweep.smallest else "the test images do not confirm it"
    return f"{sweep.smallest_chosen} is the smallest file that the validation images show to be {share} (95 %); {confirmed}."


def _table(sweep: Sweep, report: Report, kind: str) -> Grid:
    validated = sweep.rows[0].network.val_images is not None
    headings = (
        "network",
        "file",
        "gate",
        "parameters",
        "MACs",
        "file\nKiB",
        "Keras\n% right",
        "file\n% right",
        "drop\n95 %, points",
        *(("validation\n% right",) if validated else ()),
        "p50\nµs",
        "time over\nthe first",
        "front",
    )
    cells = []
    for row, file in zip(sweep.rows, report.files, strict=True):
        drop = f"{100 * row.drop.low:+.2f} to {100 * row.drop.high:+.2f}"
        images, right = row.comparing
        cells.append(
            (
                row.network.name,
                Path(row.network.file).stem,
                row.status,
                f"{row.network.parameters:,}",
                f"{row.network.macs:,}",
                f"{row.size_bytes / 1024:.1f}",
                f"{100 * row.keras_correct / row.images:.2f}",
                f"{100 * row.accuracy:.2f}",
                drop,
                *((f"{100 * right / images:.2f}",) if validated else ()),
                figure(row.p50_ns / 1e3) + ("!" if unstable(report, file) else ""),
                f"{row.ratio.estimate:.2f}" if row.ratio else "1",
                "*" if row.on_front else "",
            )
        )
    less = ("parameters", "Keras\n% right", "time over\nthe first", "drop\n95 %, points")
    one_name = len({name for _, name, *_ in cells}) == 1
    shown = [cell[:1] + cell[2:] for cell in (headings, *cells)] if one_name else [headings, *cells]
    return Grid(f"Networks by size, {kind}", shown[0], tuple(shown[1:]), less)
