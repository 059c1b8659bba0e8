"""Renders a matplotlib figure as SVG text for a page that loads nothing.

Every figure is 380 units wide: about the width of a phone, and a little less than half of a desktop page, so its text is
readable on both. Colours are the page's CSS variables: the same figure is readable on white and on black. Lines differ by
their dashes too. Pointing at a place marked by `Drawing.hover` shows its text.
"""

import html
import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edgecnn.edge.show.pictures import empty_figure
from edgecnn.edge.text import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH, _HEIGHT = 380, 270
# Radius of a place that shows its text on hover.
_REACH = 7
# A name of this length leaves room for another one next to it in a legend; a longer one is truncated.
_SHORT, _LONG = 16, 40
# Placeholder colours for matplotlib; `_svg` replaces them by the page's variables.
INK, LINE, CARD = "#010203", "#010204", "#010205"
_SERIES = tuple(f"#0102{16 + index:02x}" for index in range(6))
_VARIABLES = {INK: "ink", LINE: "line", CARD: "card"} | {color: f"series-{index}" for index, color in enumerate(_SERIES)}
_DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.5, 1.5)))
_STYLE = {
    "svg.fonttype": "none",  # Text stays text: small, to be searched, and in the page's own font.
    "figure.dpi": 72,
    "font.family": "DejaVu Sans",  # Comes with matplotlib: the same layout everywhere.
    "font.size": 12,
    "text.color": INK,
    "axes.titlesize": 12,
    "axes.titlelocation": "left",
    "axes.labelcolor": INK,
    "axes.edgecolor": LINE,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 12,
    "ytick.labelsize": 12,
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "legend.frameon": False,
    "legend.fontsize": 12,
    "lines.linewidth": 1.6,
}


@dataclass(frozen=True)
class Point:
    """A marker with a label.

    Attributes:
        x: Position in the data.
        y: Position in the data.
        low: Start of its error bar, in the data.
        high: End of its error bar, in the data.
        radius: Radius in points.
        text: Text of the label.
        color: Colour of marker and label: if labels are dense, it shows which marker they belong to.
    """

    x: float
    y: float
    low: float
    high: float
    radius: float
    text: str
    color: str


class Drawing:
    """A figure that is open, and its SVG once it is closed."""

    def __init__(self, figure: "Figure") -> None:
        self.figure = figure
        self.svg = ""
        self._hovers: list[tuple[Axes, float, float, str]] = []

    def hover(self, axes: "Axes", x: float, y: float, text: str) -> None:
        """Show a text on hover at a place in the data of `axes`."""
        self._hovers.append((axes, x, y, text))

    def close(self, about: str) -> None:
        """Make the SVG."""
        self.figure.draw_without_rendering()  # Fixes the layout, which determines the hover places.
        self.figure.set_layout_engine("none")
        height = self.figure.bbox.height
        marks = []
        for axes, in_data, value, text in self._hovers:
            x, y = axes.transData.transform((in_data, value))
            title = html.escape(printable(text))
            marks.append(
                f'<circle class="hover" cx="{x:.1f}" cy="{height - y:.1f}" r="{_REACH}"><title>{title}</title></circle>'
            )
        self.svg = _svg(self.figure, about).removesuffix("</svg>") + "\n".join([*marks, "</svg>"])


@contextmanager
def drawing(name: str, about: str, legend: Sequence[str] = (), panels: int = 0) -> Iterator[Drawing]:
    """Open a figure to draw on.

    Args:
        name: Name, different for each figure of a page.
        about: Description for screen readers.
        legend: Names of the line styles, below the figure.
        panels: Number of small panels below the main one.

    Raises:
        MissingDependency: If matplotlib is not installed.
    """
    names = list(map(label, legend))
    columns = 2 if all(len(name) <= _SHORT for name in names) else 1
    height = _HEIGHT + 90 * panels + 18 * -(-len(legend) // columns)
    # The salt makes the ids of each figure unique.
    with empty_figure(_WIDTH / 72, height / 72, _STYLE | {"svg.hashsalt": name}) as figure:
        made = Drawing(figure)
        yield made
        if legend:
            from matplotlib.lines import Line2D

            handles = [Line2D([], [], **line(index)) for index in range(len(legend))]
            made.figure.legend(handles, names, loc="outside lower center", ncols=columns, handlelength=3.2)
        made.close(about)


def color(index: int) -> str:
    """Return the colour of a series."""
    return _SERIES[index % len(_SERIES)]


def line(index: int) -> dict[str, Any]:
    """Return the style of a series; the first 12 differ."""
    return {"color": color(index), "linestyle": _DASHES[index % len(_DASHES)]}


def label(name: str) -> str:
    """Return a name that is one line of valid XML; a long one loses its end."""
    name = "".join(letter if letter.isprintable() else "\ufffd" for letter in name)
    return name if len(name) <= _LONG else f"{name[: _LONG - 1]}…"


def log_axis(axis: Any) -> None:
    """Make an axis logarithmic, with round numbers as ticks even if it spans less than a decade."""
    from matplotlib.ticker import MaxNLocator

    axis.axes.set(**{f"{axis.axis_name}scale": "log"})
    low, high = axis.get_view_interval()
    decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    found: list[float] = []
    for steps in ((1,), (1, 3), (1, 2, 5)):
        found = found if len(found) >= 3 else [step * 10.0**decade for decade in decades for step in steps]
        found = [tick for tick in found if low <= tick <= high]
    if len(found) < 3:
        found = [float(tick) for tick in MaxNLocator(4).tick_values(low, high) if low <= tick <= high]
    ticks(axis, {tick: f"{tick:,.0f}" if tick >= 1000 else f"{tick:.4g}" for tick in found})


def ticks(axis: Any, names: dict[float, str]) -> None:
    """Set an axis' ticks, and no others."""
    axis.set_ticks(list(names), labels=list(names.values()))
    axis.set_ticks([], minor=True)


def place_labels(figure: "Figure", axes: "Axes", points: Sequence[Point]) -> None:
    """Place each point's label where it covers no marker and no earlier label, as long as such a place is free."""
    from matplotlib.transforms import Bbox

    figure.draw_without_rendering()  # Fixes the layout, in whose pixels labels are measured.
    figure.set_layout_engine("none")
    inside = axes.get_window_extent()
    pixels = figure.dpi / 72  # In a point.
    taken, bars = [], []
    for point in points:
        x, y = axes.transData.transform((point.x, point.y))
        radius = pixels * point.radius
        taken.append(Bbox.from_extents(x - radius, y - radius, x + radius, y + radius))
        low, high = (axes.transData.transform((point.x, end))[1] for end in (point.low, point.high))
        bars.append(Bbox.from_extents(x - 1, low, x + 1, high))
    for point in points:
        text = axes.annotate(point.text, (point.x, point.y), (0, 0), textcoords="offset points", va="center", zorder=4)
        text.set_color(point.color)
        found = []
        for place in _places(point.radius + 4):
            text.set(position=place[:2], ha=place[2])
            box = text.get_window_extent()
            hidden = [sum(box.overlaps(other) for other in others) for others in (taken, bars)]
            outside = box.width * box.height - _area(Bbox.intersection(box, inside))
            found.append(((hidden[0] > 0, round(outside), *hidden), place, box))
        _, place, box = min(found, key=lambda item: item[0])
        text.set(position=place[:2], ha=place[2])
        taken.append(box)


def _places(gap: float) -> Iterator[tuple[float, float, str]]:
    for dy in (0.0, 14.0, -14.0):
        yield gap, dy, "left"
        yield -gap, dy, "right"
    for dy in (gap + 7, -gap - 7, gap + 21, -gap - 21):
        yield 0, dy, "center"
        yield 0, dy, "left"
        yield 0, dy, "right"


def _area(box: Any) -> float:
    return float(box.width * box.height) if box else 0.0


def _svg(figure: "Figure", about: str) -> str:
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    text = stream.getvalue()
    text = text[text.index("<svg ") :]
    # Group ids repeat from figure to figure, and nothing refers to them. Text has no "<" that is not escaped.
    text = re.sub(r"<!--.*?-->\s*|(?<=<g) id=\"[^\"]*\"", "", text, flags=re.DOTALL)
    text = re.sub(r"<[^>]*>", lambda tag: re.sub(r"#0102\w\w", lambda found: f"var(--{_VARIABLES[found[0]]})", tag[0]), text)
    return text.replace("<svg ", f'<svg role="img" aria-label="{about}" ', 1).strip()
