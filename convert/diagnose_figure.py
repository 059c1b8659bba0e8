"""A diagnosis as a picture."""

import warnings
from pathlib import Path

from convert.diagnose import Diagnosis
from edge.errors import MissingDependency
from edge.files import staged

_MOST = 20
_LONGEST = 40


def save_diagnosis(path: Path, diagnosis: Diagnosis, title: str) -> None:
    """Draw the worst layers into a .png file: how much of the signal each one loses beside what its input had lost.

    Args:
        path: The file.
        diagnosis: What was found.
        title: Above the figure.

    Raises:
        ConfigError: If the file can't be written.
        MissingDependency: If matplotlib is not installed.
    """
    try:
        import matplotlib.style
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise MissingDependency("matplotlib, which draws figures, is not installed: pip install 'edgecnn[report]'") from error
    layers = diagnosis.layers[:_MOST]
    places = range(len(layers))
    # The defaults first: a user's own matplotlibrc must not change the figure. A `$` in a layer's name is a dollar.
    with matplotlib.style.context(["default", {"text.parse_math": False}]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph .* missing from font", UserWarning)
        figure = Figure(figsize=(9, 1.5 + 0.32 * len(layers)), layout="constrained")
        axes = figure.add_subplot(xlabel="share of the signal that is lost (%), mean over the channels")
        before = [100 * layer.input_lost for layer in layers]
        here = [100 * layer.introduced for layer in layers]
        axes.barh(places, before, color="#bbbbbb", label="by the worst of its inputs")
        axes.barh(places, here, left=before, color="#c2410c", label="by this layer")
        axes.set_yticks(places, [f"{_short(layer.label)}  {layer.operator}" for layer in layers], fontsize=9)
        axes.invert_yaxis()
        axes.set_xlim(0, None)  # A good file loses so little that 0 to 100 would show nothing.
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_title(title, loc="left", fontsize=11)
        figure.legend(loc="outside lower right", ncols=2, frameon=False, fontsize=9)
        with staged(path) as temporary:
            figure.savefig(temporary, dpi=120, format="png")


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else f"…{name[1 - _LONGEST :]}"
