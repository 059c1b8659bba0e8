"""A sweep as a picture."""

from pathlib import Path

from benchmarks.svg import log_axis
from benchmarks.sweep import Sweep
from edge.errors import MissingDependency
from edge.files import staged

_ON, _OFF, _REACH = "#c2410c", "#6b7280", "#2563eb"


def save_sweep(path: Path, sweep: Sweep, kind: str) -> None:
    """Draw accuracy against time, size and multiply-accumulates into a .png file; filled and joined on the front.

    Args:
        path: The file.
        sweep: What was found.
        kind: What the files are called, as `int8.tflite`.

    Raises:
        ConfigError: If the file can't be written.
        MissingDependency: If matplotlib is not installed.
    """
    try:
        import matplotlib.style
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise MissingDependency("matplotlib, which draws figures, is not installed: pip install 'edgecnn[report]'") from error
    panels = (
        ("p50 of one image (µs)", [row.p50_ns / 1e3 for row in sweep.rows]),
        ("size of the file (KiB)", [row.size_bytes / 1024 for row in sweep.rows]),
        ("multiply-accumulates of one image (thousands)", [row.network.macs / 1e3 for row in sweep.rows]),
    )
    right = [100 * row.accuracy for row in sweep.rows]
    # The defaults first: a user's own matplotlibrc must not change the figure.
    with matplotlib.style.context("default"):
        figure = Figure(figsize=(13.5, 4.6), layout="constrained")
        for place, (label, values) in enumerate(panels):
            axes = figure.add_subplot(1, 3, place + 1, xlabel=label, xscale="log")
            on_front = sorted(
                (value, share) for value, share, row in zip(values, right, sweep.rows, strict=True) if row.on_front
            )
            axes.plot(*zip(*on_front, strict=True) if on_front else ((), ()), color=_ON, linewidth=1, alpha=0.6)
            for value, share, row in zip(values, right, sweep.rows, strict=True):
                color = _ON if row.on_front else _OFF
                axes.scatter(value, share, 55, facecolor=_ON if row.on_front else "white", edgecolor=color, zorder=3)
                text = axes.annotate(row.network.name, (value, share), (0, 8), textcoords="offset points", ha="center")
                text.set(fontsize=8.5, color=color)
            if sweep.reach is not None:
                axes.axhline(100 * sweep.reach, color=_REACH, linewidth=1, linestyle=(0, (4, 3)))
            axes.margins(x=0.15, y=0.15)
            log_axis(axes.xaxis)
            axes.grid(color="#e5e7eb", linewidth=0.6)
            axes.spines[["top", "right"]].set_visible(False)
        figure.axes[0].set_ylabel(f"{sweep.rows[0].images:,} test images: right (%)")
        reach = "" if sweep.reach is None else f"; dashed: {100 * sweep.reach:.2f} %"
        title = f"{kind} by filters. Filled: on the front of accuracy, time and size{reach}"
        figure.suptitle(title, x=0.01, ha="left", fontsize=11)
        with staged(path) as temporary:
            figure.savefig(temporary, dpi=110, format="png")
