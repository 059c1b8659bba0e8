"""A search within limits as text and as a picture."""

from collections.abc import Callable
from pathlib import Path

from edgecnn.benchmarks.gate.gate import PASS
from edgecnn.benchmarks.results.fit import Fit, FittedFile, NetworkCost, TriedNetwork
from edgecnn.benchmarks.show.svg import Point, log_axis, place_labels
from edgecnn.benchmarks.show.tables import figure
from edgecnn.edge.show.pictures import png_figure
from edgecnn.edge.show.table import TextTable, table_text
from edgecnn.edge.text import WIDTH, counted, paragraphs

_CHOSEN, _OTHER, _LIMIT = "#c2410c", "#6b7280", "#2563eb"


def fit_text(fit: Fit, width: int = WIDTH, verbose: bool = False) -> str:
    """Return the file to ship, the tables of what was trained and exported, and how to go on."""
    shown = [network for network in fit.networks if verbose or network.epochs is not None]
    columns: dict[str, Callable[[TriedNetwork], str]] = {
        "network": lambda row: row.cost.name,
        "within\nlimits": lambda row: "yes" if row.is_within else "no",
        "parameters": lambda row: f"{row.cost.parameters:,}",
        "MACs": lambda row: f"{row.cost.macs:,}",
        "precision": lambda row: row.cost.precision,
        "file\nKiB": lambda row: f"{row.cost.size_bytes / 1024:.1f}",
        _time_heading(fit): lambda row: _time(row.cost),
        "trained\nepochs": lambda row: "" if row.epochs is None else f"{row.epochs}",
        "validation\n% right": _validation,
    }
    networks = TextTable.of(
        shown, columns, f"Networks, measured before training on {fit.machine}", ("MACs", "parameters", "precision")
    )
    of_files: dict[str, Callable[[FittedFile], str]] = {
        "file": lambda row: row.file,
        "verdict": lambda row: row.status,
        "file\nKiB": lambda row: f"{row.size_bytes / 1024:.1f}",
        _time_heading(fit): _time,
        "validation\n% right": lambda row: f"{100 * row.val_correct / row.val_images:.2f}",
    }
    files = TextTable.of(fit.files, of_files, "Their files, measured again after training", ())
    chose = (
        f"{counted(fit.chose, 'other test image')} chose its layers in float" if fit.chose else "the test images chose nothing"
    )
    notes = [f"The validation images chose; {chose}."]
    if left := len(fit.networks) - len(shown):
        notes.append(
            f"{counted(left, 'more network')} {'was' if left == 1 else 'were'} measured and not trained: fit.json has them."
        )
    notes += [file.qat.of(file.name) for file in fit.files if file.qat]
    notes += [f"{file.file}: {file.status}: {reason}" for file in fit.files if file.status != PASS for reason in file.reasons]
    notes.append(f"Again: {fit.command}")
    answer, rest = ("\n".join(paragraphs(block, width, "    ")) for block in (_answer(fit), notes))
    text = "\n\n".join((answer, table_text(networks, width), table_text(files, width), rest))
    return f"{text}\nPicture: {fit.picture}" if fit.picture else text


def _on_core(fit: Fit) -> bool:
    return any(network.cost.instructions is not None for network in fit.networks)


def _time_heading(fit: Fit) -> str:
    return "million\ninstructions" if _on_core(fit) else "p90\nms"


def _time(of: NetworkCost | FittedFile) -> str:
    if of.limited is None:
        return ""
    # As many digits as its verdict shows: a limit may be far below 1 ms.
    return f"{of.limited / 1e6:.4g}" if of.limited < 1e7 else figure(of.limited / 1e6)


def _validation(row: TriedNetwork) -> str:
    return "" if row.val_images is None or row.val_correct is None else f"{100 * row.val_correct / row.val_images:.2f}"


def _limits(fit: Fit) -> str:
    slow = "" if fit.max_p90_ms is None else f"a p90 of at most {fit.max_p90_ms:g} ms"
    slow = slow if fit.max_instructions is None else f"at most {fit.max_instructions:,} instructions"
    large = "" if fit.max_size_kib is None else f"at most {fit.max_size_kib:g} KiB"
    return " and ".join(filter(None, (slow, large)))


def _answer(fit: Fit) -> list[str]:
    chosen = next((file for file in fit.files if file.file == fit.chosen), None)
    if chosen is None:
        return [f"No file is shown to be right more often than a guess and within the limits: {_limits(fit)}."]
    path = fit.folder / chosen.file if fit.folder else Path(chosen.file)
    found = [
        f"Ship {path}: of those within {_limits(fit)}, the most accurate on {counted(chosen.val_images, 'validation image')}."
    ]
    if fit.accuracy:
        share = fit.accuracy
        found.append(
            f"It is right on {100 * share.estimate:.2f} % of {counted(fit.images, 'test image')} (95 %: {100 * share.low:.2f} "
            f"to {100 * share.high:.2f} %)."
        )
        found += [f"Doubtful: {fit.doubt}"] if fit.doubt else []
    else:
        found.append("No test image judges it: all are copies of training images.")
    found.append(f"{_cost(chosen)} on {fit.machine}.")
    more = next((file for file in fit.files if file.file == fit.more), None)
    if all(network.is_within or network.epochs is None for network in fit.networks):
        found.append("No network that takes up to 10 % more was trained.")
    elif more is None and not all(file.is_within for file in fit.files):
        found.append("No network that takes up to 10 % more was found to be more accurate.")
    elif more:
        found.append(
            f"With up to 10 % more, {more.name} is right on {100 * more.val_correct / more.val_images:.2f} % of the validation "
            f"images, this one on {100 * chosen.val_correct / chosen.val_images:.2f} %: {_cost(more)}."
        )
    return found


def _cost(file: FittedFile) -> str:
    slow = "" if file.p90_ns is None else f"p90 {_time(file)} ms, "
    slow = slow if file.instructions is None else f"{file.instructions:,} instructions, "
    return f"{slow}{file.size_bytes / 1024:.1f} KiB"


def save_fit(path: Path, fit: Fit) -> None:
    """Draw the accuracy of what was trained against its time and size into a .png file, with the limits.

    Raises:
        ConfigError: If the file can't be written.
        MissingDependency: If matplotlib is not installed.
    """
    rows = [row for row in fit.networks if row.val_images is not None and row.val_correct is not None]
    right = [100 * (row.val_correct or 0) / (row.val_images or 1) for row in rows]
    chosen = next((file.name for file in fit.files if file.file == fit.chosen), None)
    label, limit = "p90 of one image (ms)", fit.max_p90_ms
    if _on_core(fit):
        label, limit = "instructions of one image (millions)", fit.max_instructions and fit.max_instructions / 1e6
    panels = (
        (label, [row.cost.limited / 1e6 for row in rows], limit),
        ("size of the file (KiB)", [row.cost.size_bytes / 1024 for row in rows], fit.max_size_kib),
    )
    with png_figure(path, 9.5, 4.6) as figure_:
        for place, (label, values, limit) in enumerate(panels):
            axes = figure_.add_subplot(1, 2, place + 1, xlabel=label, xscale="log")
            for value, share, row in zip(values, right, rows, strict=True):
                color = _CHOSEN if row.cost.name == chosen else _OTHER
                axes.scatter(value, share, 55, facecolor=color if row.is_within else "white", edgecolor=color, zorder=3)
            if limit is not None:
                axes.axvline(limit, color=_LIMIT, linewidth=1, linestyle=(0, (4, 3)))
            axes.margins(x=0.15, y=0.15)
            axes.set_ylim(top=min(axes.get_ylim()[1], 100.5))
            log_axis(axes.xaxis)
            axes.grid(color="#e5e7eb", linewidth=0.6)
            axes.spines[["top", "right"]].set_visible(False)
        figure_.axes[0].set_ylabel(f"{rows[0].val_images:,} validation images: right (%)")
        figure_.suptitle("Trained networks; dashed: the limits; red: the chosen one", x=0.01, ha="left", fontsize=11)
        for axes, (_, values, _) in zip(figure_.axes, panels, strict=True):
            points = [
                Point(x, y, y, y, 4, row.cost.name, _CHOSEN if row.cost.name == chosen else _OTHER)
                for x, y, row in zip(values, right, rows, strict=True)
            ]
            place_labels(figure_, axes, points)
