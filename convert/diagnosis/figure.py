"""A diagnosis as a picture."""

from pathlib import Path

from edgecnn.convert.diagnosis.diagnose import Diagnosis
from edgecnn.edge.rendering.figure import png_figure

_MOST = 20
_LONGEST = 40


def save_diagnosis(path: Path, diagnosis: Diagnosis, title: str) -> None:
    """Draw the worst layers into a .png file: how much of the signal each loses, and how much its input had lost.

    Args:
        path: Path of the file.
        diagnosis: The diagnosis.
        title: Title of the figure.

    Raises:
        ConfigError: If the file can't be written.
        MissingDependency: If matplotlib is not installed.
    """
    layers = diagnosis.layers[:_MOST]
    places = range(len(layers))
    with png_figure(path, 9, 1.5 + 0.32 * len(layers)) as figure:
        axes = figure.add_subplot(xlabel="share of the signal lost (%), mean over the channels")
        before = [100 * layer.input_lost for layer in layers]
        here = [100 * layer.introduced for layer in layers]
        axes.barh(places, before, color="#bbbbbb", label="lost before, in the worst of its inputs")
        axes.barh(places, here, left=before, color="#c2410c", label="lost by this layer")
        axes.set_yticks(places, [f"{_short(layer.label)}  {layer.operator}" for layer in layers], fontsize=9)
        axes.invert_yaxis()
        axes.set_xlim(0, None)  # A good file loses so little that 0 to 100 would show nothing.
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_title(title, loc="left", fontsize=11)
        figure.legend(loc="outside lower right", ncols=2, frameon=False, fontsize=9)


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else f"…{name[1 - _LONGEST :]}"
