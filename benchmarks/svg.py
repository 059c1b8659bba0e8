"""A matplotlib figure -> SVG text for a page that loads nothing.

Every figure is 480 units wide, so that its text is as large as the page's on half a desktop and on a whole phone. Colours
are the page's CSS variables: the same figure is readable on white and on black. Lines differ by their dashes too.
"""

import io
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edge.errors import MissingDependency

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH, _HEIGHT = 480, 300
# Stand-ins that matplotlib takes; `_svg` puts the page's variables in their place.
INK, LINE, CARD = "#010203", "#010204", "#010205"
_SERIES = tuple(f"#0102{16 + index:02x}" for index in range(6))
_VARIABLES = {INK: "--ink", LINE: "--line", CARD: "--card"} | {
    color: f"--series-{index}" for index, color in enumerate(_SERIES)
}
_DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.5, 1.5)))
_STYLE = {
    "svg.fonttype": "none",  # Text stays text: small, to be searched, and in the page's own font.
    "text.parse_math": False,  # A `$` in a file's name is a dollar.
    "font.family": "DejaVu Sans",  # Comes with matplotlib: the same layout everywhere.
    "font.size": 10.5,
    "text.color": INK,
    "axes.titlesize": 10.5,
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
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "legend.frameon": False,
    "legend.fontsize": 10,
    "lines.linewidth": 1.6,
}


@dataclass(frozen=True)
class Point:
    """A marker that wants a label.

    Attributes:
        x: Where it is, in the data.
        y: Likewise.
        low: Where its error bar begins, in the data.
        high: Where that ends.
        radius: In points.
        text: The label.
        color: Of the label too: where labels are dense, it tells whose it is.
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


@contextmanager
def drawing(name: str, about: str, legend: Sequence[str] = (), panels: int = 0) -> Iterator[Drawing]:
    """Open a figure to draw on.

    Args:
        name: Different for each figure of a page.
        about: For those who hear the page.
        legend: A name for each line style, below the figure.
        panels: Small panels that the figure has below the main one.

    Raises:
        MissingDependency: If matplotlib is not installed.
    """
    try:
        import matplotlib.style
        from matplotlib.figure import Figure
        from matplotlib.lines import Line2D
    except ModuleNotFoundError as error:
        if error.name != "matplotlib":
            raise
        raise MissingDependency("matplotlib, which draws figures, is not installed: pip install 'edgecnn[report]'") from error
    # The defaults first: a user's own matplotlibrc must not change the page. The salt keeps each figure's ids its own.
    with matplotlib.style.context(["default", _STYLE | {"svg.hashsalt": name}]), warnings.catch_warnings():
        # Names in a script that DejaVu lacks: the browser has it.
        warnings.filterwarnings("ignore", r"Glyph .* missing from font", UserWarning)
        height = _HEIGHT + 90 * panels + 17 * -(-len(legend) // 2)
        made = Drawing(Figure(figsize=(_WIDTH / 72, height / 72), dpi=72, layout="constrained"))
        yield made
        if legend:
            handles = [Line2D([], [], **line(index)) for index in range(len(legend))]
            made.figure.legend(handles, list(map(label, legend)), loc="outside lower center", ncols=2, handlelength=3.2)
        made.svg = _svg(made.figure, about)


def color(index: int) -> str:
    """Return the colour of a series."""
    return _SERIES[index % len(_SERIES)]


def line(index: int) -> dict[str, Any]:
    """Return how a series is drawn; the first 12 differ."""
    return {"color": color(index), "linestyle": _DASHES[index % len(_DASHES)]}


def label(name: str) -> str:
    """Return a name that is one line of valid XML; a long one loses its end."""
    name = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in name)
    return name if len(name) <= 26 else f"{name[:25]}…"


def log_axis(axis: Any) -> None:
    """Make an axis logarithmic, with round numbers as ticks also where it spans less than a decade."""
    from matplotlib.ticker import MaxNLocator

    axis.axes.set(**{f"{axis.axis_name}scale": "log"})
    low, high = axis.get_view_interval()
    decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    found: list[float] = []
    for steps in ((1,), (1, 3), (1, 2, 5)):
        found = found if len(found) >= 4 else [step * 10.0**decade for decade in decades for step in steps]
        found = [tick for tick in found if low <= tick <= high]
    if len(found) < 3:
        found = [float(tick) for tick in MaxNLocator(4).tick_values(low, high) if low <= tick <= high]
    ticks(axis, {tick: f"{tick:,.0f}" if tick >= 1000 else f"{tick:.4g}" for tick in found})


def ticks(axis: Any, names: dict[float, str]) -> None:
    """Set an axis' ticks, and no others."""
    axis.set_ticks(list(names), labels=list(names.values()))
    axis.set_ticks([], minor=True)


def place_labels(figure: "Figure", axes: "Axes", points: Sequence[Point]) -> None:
    """Write each point's label where it covers no marker and no label before it, as long as such a place is free."""
    from matplotlib.transforms import Bbox

    figure.draw_without_rendering()  # Fixes the layout, in whose pixels labels are measured.
    figure.set_layout_engine("none")
    inside = axes.get_window_extent()
    taken, bars = [], []
    for point in points:
        x, y = axes.transData.transform((point.x, point.y))
        taken.append(Bbox.from_extents(x - point.radius, y - point.radius, x + point.radius, y + point.radius))
        low, high = (axes.transData.transform((point.x, end))[1] for end in (point.low, point.high))
        bars.append(Bbox.from_extents(x - 1, low, x + 1, high))
    for point in points:
        text = axes.annotate(point.text, (point.x, point.y), (0, 0), textcoords="offset points", va="center", zorder=4)
        text.set(fontsize=10, color=point.color)
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
    text = _in_tags(text, lambda tag: re.sub(r"#0102\w\w", lambda found: f"var({_VARIABLES[found[0]]})", tag))
    return text.replace("<svg ", f'<svg role="img" aria-label="{about}" ', 1).strip()


def _in_tags(text: str, change: Callable[[str], str]) -> str:
    return re.sub(r"<[^>]*>", lambda tag: change(tag[0]), text)
