"""A sweep as a picture."""

from pathlib import Path

from edgecnn.benchmarks.report.svg import Point, log_axis, place_labels
from edgecnn.benchmarks.report.sweep import Sweep
from edgecnn.edge.rendering.figure import png_figure

_ON, _OFF, _REACH = "#c2410c", "#6b7280", "#2563eb"


def save_sweep(path: Path, sweep: Sweep, kind: str) -> None:
    """Draw accuracy against time, size and multiply-accumulates into a .png file; filled and joined on the front.

    Accuracy is that on the validation images, if there are some: the front rests on it.

    Args:
        path: The file.
        sweep: What was found.
        kind: Name of the files, for example `int8.tflite`.

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
