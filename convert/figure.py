"""A prediction as a picture."""

from pathlib import Path

from edge.errors import MissingDependency
from edge.files import staged
from edge.preprocess import Images


def save_figure(path: Path, images: Images, titles: list[str]) -> None:
    """Draw images (n, h, w, c), five in a row, each under its title, into a .png file.

    Raises:
        ConfigError: If the file can't be written.
        MissingDependency: If matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise MissingDependency("matplotlib, which draws figures, is not installed: pip install 'edgecnn[report]'") from error
    columns = min(5, len(images))
    rows = -(-len(images) // columns)
    figure = Figure(figsize=(3.2 * columns, 3.5 * rows), layout="constrained")
    for place, (image, title) in enumerate(zip(images, titles, strict=True)):
        axes = figure.add_subplot(rows, columns, place + 1)
        axes.imshow(image[..., 0] if image.shape[2] == 1 else image, cmap="gray", vmin=0, vmax=255)
        axes.set_title(title, fontsize=11, parse_math=False)
        axes.set_axis_off()
    with staged(path) as temporary:
        figure.savefig(temporary, dpi=120, format="png")
