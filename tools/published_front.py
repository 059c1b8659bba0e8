"""python -m tools.published_front picture.png SWEEP.json...: MNIST networks of sweeps beside those that others published.

Accuracy on the 10,000 test images against parameters, and against the bytes of weights for those who publish bytes;
published_front.json names the source of each published number. An
interval is that of one file by itself (Clopper and Pearson, 95 %): a network chosen on the test images is expected to be a
little worse on others, and its mark is hollow.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgecnn.benchmarks.show.svg import Point as Mark
from edgecnn.benchmarks.show.svg import log_axis, place_labels
from edgecnn.benchmarks.statistics.binomial import interval
from edgecnn.edge.graph.summary import summarize
from edgecnn.edge.model_file import read_model
from edgecnn.edge.show.pictures import png_figure

_PUBLISHED = Path(__file__).with_suffix(".json")
_TEST_IMAGES = 10_000
# Color, marker and its area. Two networks may be in the same place: ours are smaller, with their names on the left.
_OURS, _THEIRS = ("#c2410c", "s", 25), ("#2563eb", "o", 80)


@dataclass(frozen=True)
class Point:
    """A network in the picture.

    Attributes:
        name: Its label.
        parameters: Number of parameters of the float model; None if only bytes are published.
        weight_bytes: Size of the weights of what is shipped; None if that is not published.
        right: Number of test images classified right.
        chosen_on_test: Whether the test images chose it among others.
        ours: Whether a sweep of edgecnn trained it; then `right` is its exported file's.
    """

    name: str
    parameters: int | None
    weight_bytes: int | None
    right: int
    chosen_on_test: bool
    ours: bool


def published() -> list[Point]:
    """Return the networks of others."""
    found = json.loads(_PUBLISHED.read_text(encoding="utf-8"))
    return [
        Point(
            row["name"],
            row.get("parameters"),
            row.get("weight_bytes"),
            round(row["accuracy"] * _TEST_IMAGES),
            row["chosen_on"] == "test images",
            ours=False,
        )
        for row in found
    ]


def swept(path: Path) -> list[Point]:
    """Return the networks of a sweep.json on MNIST, all of its test images measured."""
    found = []
    for row in json.loads(path.read_text(encoding="utf-8"))["rows"]:
        network: dict[str, Any] = row["network"]
        if row["images"] != _TEST_IMAGES:
            raise SystemExit(f"{path}: measured on {row['images']:,} images, not on MNIST's {_TEST_IMAGES:,}: sweep MNIST")
        words = [network["network"].rpartition(":")[2], ",".join(map(str, network["filters"])), *network.get("arguments", ())]
        name, file = " ".join(filter(None, words)), path.parent / network["file"]
        weights = summarize(file.name, read_model(file)).weight_bytes
        found.append(Point(name, network["parameters"], weights, row["correct"], network.get("val_images") is None, ours=True))
    return found


def draw(path: Path, points: Sequence[Point]) -> None:
    """Draw the picture into a .png file."""
    panels = (
        ("parameters of the float model", [point.parameters for point in points]),
        ("bytes of weights as shipped", [point.weight_bytes for point in points]),
    )
    with png_figure(path, 12, 5) as figure:
        first: Any = None
        labels = list[tuple[Any, list[Mark]]]()
        for place, (label, sizes) in enumerate(panels, 1):
            axes = figure.add_subplot(1, 2, place, xlabel=label, xscale="log", sharey=first)
            first = first or axes
            marks = [_marked(axes, point, size) for point, size in zip(points, sizes, strict=True) if size is not None]
            axes.grid(color="#e5e7eb", linewidth=0.6)
            axes.margins(x=0.3)
            log_axis(axes.xaxis)
            axes.spines[["top", "right"]].set_visible(False)
            labels.append((axes, marks))
        first.set_ylabel("test images right (%)")
        for label, (color, marker, area) in (("edgecnn sweep, exported file", _OURS), ("published", _THEIRS)):
            first.scatter((), (), area, color=color, marker=marker, label=label)
        first.scatter((), (), area, facecolor="white", edgecolor="#6b7280", label="chosen on the test images")
        first.legend(loc="lower right", fontsize=8)
        for axes, marks in labels:
            place_labels(figure, axes, marks)


def _marked(axes: Any, point: Point, size: int) -> Mark:
    color, marker, area = _OURS if point.ours else _THEIRS
    found = interval(point.right, _TEST_IMAGES)
    share, low, high = (100 * value for value in (found.estimate, found.low, found.high))
    axes.plot((size, size), (low, high), color=color, linewidth=1, alpha=0.5)
    face = "white" if point.chosen_on_test else color
    axes.scatter(size, share, area, facecolor=face, edgecolor=color, marker=marker, zorder=3)
    return Mark(size, share, low, high, area**0.5 / 2, point.name, color)


if __name__ == "__main__":
    draw(Path(sys.argv[1]), [*published(), *(point for name in sys.argv[2:] for point in swept(Path(name)))])
