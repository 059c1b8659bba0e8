"""A sweep as text and as a picture."""

from collections.abc import Callable
from pathlib import Path

from edgecnn.benchmarks.gate.gate import UNJUDGED
from edgecnn.benchmarks.results.records import Report
from edgecnn.benchmarks.results.sweep import Rung, Sweep, SweepRow
from edgecnn.benchmarks.show.remarks import causes, choosing_remarks, unstable_lines, verdict
from edgecnn.benchmarks.show.svg import Point, log_axis, place_labels
from edgecnn.benchmarks.show.tables import figure, points_text, unstable
from edgecnn.edge.show.pictures import png_figure
from edgecnn.edge.show.table import TextTable, table_text
from edgecnn.edge.text import WIDTH, counted, paragraphs

_ON, _OFF, _REACH = "#c2410c", "#6b7280", "#2563eb"


def sweep_text(sweep: Sweep, width: int = WIDTH, verbose: bool = False) -> str:
    """Return which networks to take, the table and what limits it; of a sweep that was read without its report, their names.

    `verbose` gives every reason why times are unstable, not the first few.
    """
    report = sweep.report
    if report is None:
        return ", ".join(row.network.name for row in sweep.rows)
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
    elif sweep.trained > 1 and sweep.most_accurate:
        notes.append(
            "No validation images: the best of several was chosen on the test images that it was measured on. Expect a little "
            "less on others."
        )
    notes += [
        f"{row.network.name} was not trained by this sweep, and is never chosen: it may have learned the images that compare."
        for row in sweep.rows
        if row.network.beside
    ]
    notes += [row.network.qat.of(row.network.name) for row in sweep.rows if row.network.qat]
    notes += [*chosen, *map(rung_text, sweep.rungs)]
    notes += unstable_lines("Unstable times, marked with !:", causes(report.noise, verbose), verbose)
    answer, rest = ("\n".join(paragraphs(block, width, "    ")) for block in (_answer(sweep, report), notes))
    text = "\n\n".join((answer, table_text(_table(sweep, report, sweep.settings["file"]), width), rest))
    return f"{text}\nPicture: {sweep.picture}" if sweep.picture else text


def _answer(sweep: Sweep, report: Report) -> list[str]:
    lines = verdict(report)
    if sweep.most_accurate:
        lines.append(f"Most accurate {sweep.most_accurate}, balanced {sweep.balanced}, fastest {sweep.fastest}.")
    elif all(
        row.network.beside or any(check.status == UNJUDGED for check in file.verdict.checks)
        for row, file in zip(sweep.rows, report.files, strict=True)
    ):
        lines.append("No network is the best, since none can be judged: train them for more epochs.")
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
        sure = "95 %" if sweep.trained == 1 else f"95 %, of all {sweep.trained} files at once"
        lines.append(f"{found} shown to be right on at least {100 * sweep.reach:.2f} % ({sure}).")
    return lines


def _reached(sweep: Sweep, reach: float) -> str:
    share = f"right on at least {100 * reach:.2f} %"
    if sweep.smallest_chosen is None:
        return f"No file is shown by the validation images to be {share} (95 %)."
    confirmed = "the test images confirm it" if sweep.smallest else "the test images do not confirm it"
    return f"{sweep.smallest_chosen} is the smallest file that the validation images show to be {share} (95 %); {confirmed}."


def _table(sweep: Sweep, report: Report, kind: str) -> TextTable:
    own = "float" if any(row.network.beside for row in sweep.rows) else "Keras"
    columns: dict[str, Callable[[SweepRow], str]] = {
        "network": lambda row: row.network.name,
        "file": lambda row: Path(row.network.file).stem,
        "gate": lambda row: row.status,
        "parameters": lambda row: f"{row.network.parameters:,}",
        "MACs": lambda row: f"{row.network.macs:,}",
        "file\nKiB": lambda row: f"{row.size_bytes / 1024:.1f}",
        f"{own}\n% right": lambda row: f"{100 * row.keras_correct / row.images:.2f}",
        "file\n% right": lambda row: f"{100 * row.accuracy:.2f}",
        "drop\n95 %, points": lambda row: points_text(row.drop),
        "validation\n% right": lambda row: f"{100 * row.comparing[1] / row.comparing[0]:.2f}",
        "p50\nµs": lambda row: figure(row.p50_ns / 1e3) + ("!" if row.network.file in noisy else ""),
        "time over\nthe first": lambda row: f"{row.ratio.estimate:.2f}" if row.ratio else "1",
        "front": lambda row: "*" if row.on_front else "",
    }
    noisy = {file.name for file in report.files if unstable(report, file)}
    if sweep.rows[0].network.val_images is None:
        del columns["validation\n% right"]
    if len(set(map(columns["file"], sweep.rows))) == 1:
        del columns["file"]
    less = ("parameters", f"{own}\n% right", "time over\nthe first", "drop\n95 %, points")
    return TextTable.of(sweep.rows, columns, f"Networks by size, {kind}", less)


def rung_text(rung: Rung) -> str:
    """Return which networks went on, as one line."""
    going = ", ".join(
        f"{network.name} ({100 * network.val_correct / network.val_images:.2f} %)"
        for network in rung.networks
        if network.goes_on
    )
    left = ", ".join(network.name for network in rung.networks if not network.goes_on)
    return f"After {counted(rung.epochs, 'epoch')} went on: {going}; not: {left}"


def save_sweep(path: Path, sweep: Sweep, kind: str) -> None:
    """Draw accuracy against time, size and multiply-accumulates into a .png file; filled and joined on the front.

    Accuracy is that on the validation images, if there are some: the front rests on it. The title calls the files `kind`.

    Raises:
        ConfigError: If the file can't be written.
        MissingDependency: If matplotlib is not installed.
    """
    panels = (
        ("p50 of one image (µs)", [row.p50_ns / 1e3 for row in sweep.rows]),
        ("size of the file (KiB)", [row.size_bytes / 1024 for row in sweep.rows]),
        ("multiply-accumulates of one image (thousands)", [row.network.macs / 1e3 for row in sweep.rows]),
    )
    right = [100 * right / images for images, right in (row.comparing for row in sweep.rows)]
    kind_of_images = "test" if sweep.rows[0].network.val_images is None else "validation"
    with png_figure(path, 13.5, 4.6) as figure:
        from matplotlib.patheffects import withStroke  # Not above: png_figure says so where matplotlib is missing.

        for place, (label, values) in enumerate(panels):
            axes = figure.add_subplot(1, 3, place + 1, xlabel=label, xscale="log")
            on_front = sorted(
                (value, share) for value, share, row in zip(values, right, sweep.rows, strict=True) if row.on_front
            )
            axes.plot(*zip(*on_front, strict=True) if on_front else ((), ()), color=_ON, linewidth=1, alpha=0.6)
            for value, share, row in zip(values, right, sweep.rows, strict=True):
                color = _ON if row.on_front else _OFF
                axes.scatter(value, share, 55, facecolor=_ON if row.on_front else "white", edgecolor=color, zorder=3)
            if sweep.reach is not None:
                axes.axhline(100 * sweep.reach, color=_REACH, linewidth=1, linestyle=(0, (4, 3)))
            axes.margins(x=0.15, y=0.15)
            log_axis(axes.xaxis)
            axes.grid(color="#e5e7eb", linewidth=0.6)
            axes.spines[["top", "right"]].set_visible(False)
        figure.axes[0].set_ylabel(f"{sweep.rows[0].comparing[0]:,} {kind_of_images} images: right (%)")
        reach = "" if sweep.reach is None else f"; dashed: {100 * sweep.reach:.2f} %"
        title = f"{kind} by network. Filled: on the front of accuracy, time and size{reach}"
        figure.suptitle(title, x=0.01, ha="left", fontsize=11)
        for axes, (_, values) in zip(figure.axes, panels, strict=True):
            rows = zip(values, right, sweep.rows, strict=True)
            points = [Point(x, y, y, y, 4, row.network.name, _ON if row.on_front else _OFF) for x, y, row in rows]
            place_labels(figure, axes, points)
            for text in axes.texts:
                text.set_path_effects([withStroke(linewidth=3, foreground="white")])  # Lines end where a label begins.
