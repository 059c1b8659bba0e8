"""A matplotlib figure as a .png file."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edgecnn.edge.errors import MissingDependency
from edgecnn.edge.files import staged
from edgecnn.edge.packages import install_command


@contextmanager
def png_figure(path: Path, width: float, height: float) -> Iterator[Any]:
    """Yield an empty figure, and write what was drawn, whole or not at all.

    Args:
        path: Path of the .png file.
        width: Width in inches of 120 pixels each.
        height: Height in inches of 120 pixels each.

    Raises:
        ConfigError: If the file can't be written.
        MissingDependency: If matplotlib is not installed.
    """
    try:
        import matplotlib.style
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise MissingDependency(f"matplotlib, which draws figures, is not installed: {install_command('report')}") from error
    # The defaults first: a user's matplotlibrc must not change the figure. A `$` in a name is a dollar.
    with matplotlib.style.context(["default", {"text.parse_math": False}]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph .* missing from font", UserWarning)
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure
        with staged(path) as temporary:
            figure.savefig(temporary, dpi=120, format="png")
