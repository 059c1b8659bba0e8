"""Report -> figures as SVG text, for a page that loads nothing.

Every figure is 480 units wide, so that its text is as large as the page's on half a desktop and on a whole phone. Colours
are the page's CSS variables: the same figure is readable on white and on black. Files differ by dashes and markers too.
"""

import re
import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.pareto import typical_ns
from benchmarks.results import FileResult, Report, Window
from benchmarks.summary import round_medians
from edge.errors import MissingDependency

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH, _HEIGHT = 480, 300
# No more than the figure has pixels, whatever the runs; the slowest are kept one by one.
_POINTS = 600
_SLOWEST = 200
# Stand-ins that matplotlib takes; `_svg` puts the CSS variables in their place.
_INK, _LINE, _CARD = "#010203", "#010204", "#010205"
_SERIES = tuple(f"#0102{16 + index:02x}" for index in range(6))
_VARIABLES = {_INK: "--ink", _LINE: "--line", _CARD: "--card"} | {
    color: f"--series-{index}" for index, color in enumerate(_SERIES)
}
_DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.5, 1.5)))
_MARKERS = "osD^vP"
_STYLE = {
    "svg.fonttype": "none",  # Text stays text: small, to be searched, and in the page's own font.
    "text.parse_math": False,  # A `$` in a file's name is a dollar.
    "font.family": "DejaVu Sans",  # Comes with matplotlib: the same layout everywhere.
    "font.size": 10.5,
    "text.color": _INK,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.labelcolor": _INK,
    "axes.edgecolor": _LINE,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.unicode_minus": True,
    "grid.color": _LINE,
    "grid.linewidth": 0.6,
    "xtick.color": _LINE,
    "ytick.color": _LINE,
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "legend.frameon": False,
    "legend.fontsize": 10,
    "lines.linewidth": 1.6,
}


def distribution(report: Report) -> str:
    """Draw the share of runs that took no longer than so long, each file's whole."""
    with _figure(report, "distribution", "Share of runs that took no longer, by time") as (figure, done):
        axes = figure.add_subplot(title="share of runs that took no longer (%)", xlabel="time of one run (µs, log scale)")
        for index, file in enumerate(report.files):
            times, shares = _ecdf(_times_ns(file) / 1e3)
            axes.step(times, 100 * shares, where="post", **_line(index))
        axes.set_ylim(0, 101)
        axes.set_yticks((0, 25, 50, 75, 90, 100))
        _log_axis(axes.xaxis)
    return done()


def slowest(report: Report) -> str:
    """Draw the share of runs that took longer than so long: the tail, where p90 and p99 are."""
    with _figure(report, "slowest", "Share of runs that took longer, by time, with p50, p90 and p99") as (figure, done):
        axes = figure.add_subplot(title="share of runs that took longer (log scale)", xlabel="time of one run (µs, log scale)")
        fewest = min(file.latency.runs for file in report.files)
        for index, file in enumerate(report.files):
            times, shares = _ecdf(_times_ns(file) / 1e3)
            axes.step(times[:-1], 100 * (1 - shares[:-1]), where="post", **_line(index))
            for percent in (50, 90, 99):
                at = (
                    float(np.percentile(times, 100)) if percent == 100 else float(times[np.searchsorted(shares, percent / 100)])
                )
                if fewest * (100 - percent) >= 100:
                    axes.plot(at, 100 - percent, _MARKERS[index % len(_MARKERS)], color=_color(index), markersize=4.5)
        axes.set_yscale("log")
        axes.set_ylim(top=100)
        ticks = {50: "p50: 50 %", 10: "p90: 10 %", 1: "p99: 1 %", 0.1: "p99.9: 0.1 %", 0.01: "0.01 %", 0.001: "0.001 %"}
        shown = {share: name for share, name in ticks.items() if share >= axes.get_ylim()[0]}
        _ticks(axes.yaxis, shown)
        _log_axis(axes.xaxis)
    return done()


def rounds(report: Report) -> str:
    """Draw each round's median beside the file's own, in the order of time: a slope is drift."""
    with _figure(report, "rounds", "Median of each round, in the order of time") as (figure, done):
        axes = figure.add_subplot(title="median of the round, % of the file's own", xlabel="round, in the order of time")
        for index, file in enumerate(report.files):
            medians = round_medians(file.launches)
            values = 100 * medians.ravel() / typical_ns(file.launches)
            marker = {"marker": _MARKERS[index % len(_MARKERS)], "markersize": 3.5}
            axes.plot(np.arange(1, len(values) + 1), values, **_line(index), **marker)
        launches, per_launch = round_medians(report.files[0].launches).shape
        for launch in range(1, launches):
            axes.axvline(launch * per_launch + 0.5, color=_LINE, linewidth=1.2, linestyle=(0, (2, 2)), zorder=0)
        axes.xaxis.get_major_locator().set_params(integer=True)
        low, high = axes.get_ylim()
        axes.set_ylim(min(low, 90), max(high, 110))
    return done()


def tradeoff(report: Report, on_front: Iterable[str], off_front: Iterable[str]) -> str:
    """Draw accuracy against time: filled on the Pareto front, hollow off it, dashed where it could not be picked.

    Args:
        report: All files.
        on_front: Names of those on the front.
        off_front: Names of those that another one beats.
    """
    on_front, off_front = set(on_front), set(off_front)
    with _figure(report, "tradeoff", "Accuracy against time and size", legend=False) as (figure, done):
        axes = figure.add_subplot(title="right (%), with the drop's 95 % interval", xlabel="p50 (µs, log scale)")
        largest = max(file.artifact.size_bytes for file in report.files)
        points = []
        for index, file in enumerate(report.files):
            accuracy, time = file.accuracy, typical_ns(file.launches) / 1e3
            share, drop = 100 * accuracy.accuracy, accuracy.drop
            reach = [[max(100 * (drop.high - drop.estimate), 0)], [max(100 * (drop.estimate - drop.low), 0)]]
            axes.errorbar(time, share, yerr=reach, color=_color(index), linewidth=1.2, capsize=3)
            area = 30 + 470 * file.artifact.size_bytes / largest
            face = _color(index) if file.name in on_front else _CARD
            dashes = "-" if file.name in on_front | off_front else (0, (2, 1.5))
            axes.scatter(
                time, share, s=area, facecolor=face, edgecolor=_color(index), linestyle=dashes, linewidth=1.6, zorder=3
            )
            size = f"{file.artifact.size_bytes / 1024:,.1f} KiB"
            points.append((time, share, area**0.5 / 2, f"{_label(file.name)}, {size}", 100 * reach[0][0]))
        reference = report.files[0].accuracy
        right = 100 * reference.reference_correct / reference.images
        axes.axhline(right, color=_INK, linewidth=0.8, linestyle=(0, (1, 2)), zorder=0)
        axes.margins(x=0.25, y=0.3)
        _log_axis(axes.xaxis)
        axes.ticklabel_format(axis="y", useOffset=False, style="plain")
        _place(figure, axes, [point[:4] for point in points])
    return done()


def sustained(report: Report) -> str:
    """Draw the windows of sustained runs over time, and the machine's temperature and clock where it says them."""
    panels: list[tuple[str, Callable[[Window], float | None]]] = [
        ("temperature (°C)", lambda window: window.temperature_celsius),
        ("clock (MHz)", lambda window: None if window.clock_khz is None else window.clock_khz / 1e3),
    ]
    windows = [window for file in report.files for window in file.sustained]
    panels = [panel for panel in panels if any(panel[1](window) is not None for window in windows)]
    with _figure(report, "sustained", "Sustained run: time of one run, over the seconds", len(panels)) as (figure, done):
        ratios = [2] + [1] * len(panels)
        above, *below = np.atleast_1d(figure.subplots(1 + len(panels), sharex=True, gridspec_kw={"height_ratios": ratios}))
        above.set_title("p50 (line) and p90 (thin) of one run (µs)")
        for index, file in enumerate(report.files):
            seconds = [window.seconds for window in file.sustained]
            above.plot(seconds, [window.p50_ns / 1e3 for window in file.sustained], **_line(index))
            above.plot(seconds, [window.p90_ns / 1e3 for window in file.sustained], **_line(index, "") | {"linewidth": 0.7})
            for axes, (title, value) in zip(below, panels, strict=True):
                axes.set_title(title)
                values = [np.nan if (at := value(window)) is None else at for window in file.sustained]
                axes.plot(seconds, values, **_line(index, ""))
        above.set_yscale("log")
        _log_axis(above.yaxis)
        (below or [above])[-1].set_xlabel("seconds since the run's start")
    return done()


def paced(report: Report) -> str:
    """Draw the response times at a fixed rate, and the moment that the next frame was due."""
    with _figure(report, "paced", "Fixed rate: share of answers that came no later") as (figure, done):
        axes = figure.add_subplot(
            title="share of answers that came no later (%)", xlabel="from a frame's due time to its answer (µs, log scale)"
        )
        for index, file in enumerate(report.files):
            if file.paced and file.paced.response.count:
                times, shares = _ecdf(file.paced.response.unpack() / 1e3)
                axes.step(times, 100 * shares, where="post", **_line(index))
        rates = sorted({file.paced.rate for file in report.files if file.paced})
        for rate in rates:
            axes.axvline(1e6 / rate, color=_INK, linewidth=1, linestyle=(0, (2, 2)))
            axes.text(1e6 / rate, 2, f"next frame at {rate:g}/s ", ha="right", fontsize=9.5)
        axes.set_ylim(0, 101)
        _log_axis(axes.xaxis)
    return done()


def swatch(index: int) -> str:
    """Return the CSS variable of a file's colour, by its place in the report."""
    return _VARIABLES[_color(index)]


@contextmanager
def _figure(
    report: Report, name: str, about: str, more_panels: int = 0, *, legend: bool = True
) -> "Iterator[tuple[Figure, Callable[[], str]]]":
    """Give a figure to draw on; call what is given with it, after the block, for the SVG."""
    try:
        import matplotlib as mpl
        import matplotlib.style
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        if error.name != "matplotlib":
            raise
        raise MissingDependency("matplotlib, which draws figures, is not installed: pip install 'edgecnn[report]'") from error
    finished = []
    rows = -(-len(report.files) // 2) if legend else 0
    # The defaults first: a user's own matplotlibrc must not change the page. The salt keeps each figure's ids its own.
    with (
        mpl.style.context(["default", _STYLE | {"svg.hashsalt": name}]),
        warnings.catch_warnings(),
    ):
        # Names in a script that DejaVu lacks: the browser has it.
        warnings.filterwarnings("ignore", r"Glyph .* missing from font", UserWarning)
        height = _HEIGHT + 90 * more_panels + 17 * rows
        figure = Figure(figsize=(_WIDTH / 72, height / 72), dpi=72, layout="constrained")
        yield figure, finished.pop
        if legend:
            handles, labels = _legend(report)
            figure.legend(handles, labels, loc="outside lower center", ncols=2, handlelength=3.2)
        finished.append(_svg(figure, about))


def _legend(report: Report) -> tuple[list[Any], list[str]]:
    from matplotlib.lines import Line2D

    return [Line2D([], [], **_line(index)) for index in range(len(report.files))], [_label(file.name) for file in report.files]


def _svg(figure: "Figure", about: str) -> str:
    import io

    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata={"Creator": None, "Date": None, "Format": None, "Type": None})
    text = stream.getvalue()
    text = text[text.index("<svg ") :]
    # Group ids repeat from figure to figure, and nothing refers to them. Text has no "<" that is not escaped.
    text = re.sub(r"<!--.*?-->\s*|(?<=<g) id=\"[^\"]*\"", "", text, flags=re.DOTALL)
    text = re.sub(r"<[^>]*>", lambda tag: re.sub(r"#0102\w\w", lambda color: f"var({_VARIABLES[color[0]]})", tag[0]), text)
    return text.replace("<svg ", f'<svg role="img" aria-label="{about}" ', 1).strip()


def _times_ns(file: FileResult) -> NDArray[np.int64]:
    return np.concatenate([item.measured.unpack() for launch in file.launches for item in launch.rounds])


def _ecdf(times: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return times in order and the shares that took no longer, thinned to what a figure can show."""
    ordered = np.sort(times)
    count = len(ordered)
    places = np.arange(count)
    if count > _POINTS:
        spread = np.linspace(0, count - 1, _POINTS - _SLOWEST).round().astype(np.int64)
        # As close to each other as the logarithm of the share that took longer draws them.
        tail = count - np.geomspace(1, count, _SLOWEST).round().astype(np.int64)
        places = np.unique(np.concatenate([spread, tail]))
    return ordered[places], (places + 1) / count


def _color(index: int) -> str:
    return _SERIES[index % len(_SERIES)]


def _line(index: int, _: str = "") -> dict[str, Any]:
    return {"color": _color(index), "linestyle": _DASHES[index % len(_DASHES)]}


def _label(name: str) -> str:
    """Return a name fit for one line of XML text; its end is cut if it is long."""
    name = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in name)
    return name if len(name) <= 26 else f"{name[:25]}…"


def _log_axis(axis: Any) -> None:
    """Make an axis logarithmic, with round numbers as ticks also where it spans less than a decade."""
    axis.axes.set(**{f"{axis.axis_name}scale": "log"})
    low, high = axis.get_view_interval()
    decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    for steps in ((1,), (1, 3), (1, 2, 5)):
        ticks = [step * 10.0**decade for decade in decades for step in steps if low <= step * 10.0**decade <= high]
        if len(ticks) >= 4:
            break
    if len(ticks) < 3:
        from matplotlib.ticker import MaxNLocator

        ticks = [float(tick) for tick in MaxNLocator(4).tick_values(low, high) if low <= tick <= high]
    _ticks(axis, {tick: f"{tick:,.0f}" if tick >= 1000 else f"{tick:.4g}" for tick in ticks})


def _ticks(axis: Any, ticks: dict[Any, str]) -> None:
    axis.set_ticks(list(ticks), labels=list(ticks.values()))
    axis.set_ticks([], minor=True)


def _place(figure: "Figure", axes: "Axes", points: Sequence[tuple[float, float, float, str]]) -> None:
    """Write each point's label where it covers no marker and no label, as long as one of ten places is free."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.transforms import Bbox

    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # Fixes the layout: labels are measured in its pixels.
    figure.set_layout_engine("none")
    inside = axes.get_window_extent()
    centers = [axes.transData.transform((x, y)) for x, y, _, _ in points]
    taken = [
        Bbox.from_bounds(x - radius, y - radius, 2 * radius, 2 * radius)
        for (x, y), (_, _, radius, _) in zip(centers, points, strict=True)
    ]
    for (x, y), (data_x, data_y, radius, label) in zip(centers, points, strict=True):
        gap = radius + 4
        places = [(gap, 0, "left"), (-gap, 0, "right")]
        places += [(dx, dy, side) for dy in (gap + 8, -gap - 8) for dx, side in ((0, "center"), (4, "left"), (-4, "right"))]
        places += [(gap, 14, "left"), (gap, -14, "left"), (-gap, 14, "right"), (-gap, -14, "right")]
        text = axes.annotate(label, (data_x, data_y), va="center", fontsize=10, textcoords="offset points", zorder=4)
        best: tuple[float, Any] | None = None
        for dx, dy, side in places:
            text.set(position=(dx, dy), ha=side)
            box = text.get_window_extent(canvas.get_renderer())
            outside = max(inside.x0 - box.x0, 0) + max(box.x1 - inside.x1, 0)
            outside += max(inside.y0 - box.y0, 0) + max(box.y1 - inside.y1, 0)
            hit = sum(1000 for other in taken if box.overlaps(other)) + outside
            if best is None or hit < best[0]:
                best = hit, (dx, dy, side, box)
            if not hit:
                break
        assert best  # noqa: S101  # There is at least one place.
        dx, dy, side, box = best[1]
        text.set(position=(dx, dy), ha=side)
        taken.append(box)
        del x, y
