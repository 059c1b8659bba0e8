"""Pictures: figures drawn by matplotlib, and sheets of images drawn by Pillow, which a board has for its image files."""

import io
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from edgecnn.edge.data.dataset import IMAGES, find, load_dataset
from edgecnn.edge.data.folder_options import NO_OPTIONS, FolderOptions
from edgecnn.edge.data.image_file import ImageRule, fitted, read_image
from edgecnn.edge.data.image_folder import list_images
from edgecnn.edge.errors import ArtifactError, MissingDependency
from edgecnn.edge.files import staged, write_bytes
from edgecnn.edge.inference.predictions import Predicted
from edgecnn.edge.model.preprocess import Images
from edgecnn.edge.packages import install_command, load_pillow
from edgecnn.edge.show.predictions import labels
from edgecnn.edge.text import printable

SIDE = 64
CLASSES = 300
_GAP, _LINE, _MARGIN = 4, 20, 16
# This many images of a class are tried before fewer are shown, since broken ones are skipped.
_TRIES = 20
MOST_IMAGES = 200
"""How many predictions are drawn; a note says how many are not."""
_PICTURE, _COLUMNS = 224, 5

_Cell = tuple[Sequence[str], Sequence[Images]]  # Lines of title, and images (h, w, c).


@contextmanager
def empty_figure(width: float, height: float, style: Mapping[str, Any]) -> Iterator[Any]:
    """Yield an empty figure of this width and height in inches, while matplotlib has a style, whatever the user's settings.

    Raises:
        MissingDependency: If matplotlib is not installed.
    """
    try:
        import matplotlib.style
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        if str(error.name).partition(".")[0] != "matplotlib":
            raise
        raise MissingDependency(f"matplotlib, which draws figures, is not installed: {install_command('report')}") from error
    # The defaults first: a user's matplotlibrc must not change the figure. A `$` in a name is a dollar.
    with matplotlib.style.context(["default", {"text.parse_math": False, **style}]), warnings.catch_warnings():
        # Names in a script that DejaVu lacks: a browser has it.
        warnings.filterwarnings("ignore", r"Glyph .* missing from font", UserWarning)
        yield Figure(figsize=(width, height), layout="constrained")


@contextmanager
def png_figure(path: Path, width: float, height: float) -> Iterator[Any]:
    """Yield an empty figure, and write what was drawn into a .png file, whole or not at all.

    Width and height are in inches of 120 pixels each.

    Raises:
        ConfigError: If the file can't be written.
        MissingDependency: If matplotlib is not installed.
    """
    with empty_figure(width, height, {}) as figure:
        yield figure
        with staged(path) as temporary:
            figure.savefig(temporary, dpi=120, format="png")


def contact_sheet(
    data: str | Path | None,
    options: FolderOptions = NO_OPTIONS,
    vary: Callable[[Images], Images] | None = None,
) -> bytes:
    """Return a PNG with a few training images of each class under the class name, at most `CLASSES` of them.

    The images are letterboxed into squares of `SIDE` pixels. Files that can't be read are left out.

    Args:
        data: A dataset, as in `edgecnn.edge.data.dataset.load_dataset`.
        options: How to read a folder, as in `load_dataset`.
        vary: Varies images uint8 (n, h, w, 3); then each class has one image, followed by variations of it.

    Raises:
        ConfigError: If there is no such dataset, or the options do not fit it.
        ArtifactError: If something other than an image file is broken.
        MissingDependency: If Pillow is not installed.
    """
    found = find(data)
    if found.kind == IMAGES:
        listing = list_images(found.path, options)
        names, labels, classes = listing.names["train"], listing.indices["train"], listing.classes

        def read(number: int) -> Images:
            return read_image(found.path / names[number], (SIDE, SIDE, 3), ImageRule("letterbox"))

    else:
        dataset = load_dataset(data, options)
        labels, classes = dataset.train.labels, dataset.class_names

        def read(number: int) -> Images:
            image = fitted(dataset.train.images([number])[0], SIDE, SIDE, "letterbox")
            return image if image.shape[2] == 3 else image.repeat(3, axis=2)

    shown = classes[:CLASSES]
    each = 8 if len(shown) <= 50 else 4
    numbers = [np.flatnonzero(labels == index).tolist() for index in range(len(shown))]
    if vary:
        first = [_some(read, some, 1) for some in numbers]
        rows = [[*images, *(vary(np.repeat(images, each - 1, axis=0)) if images else ())] for images in first]
    else:
        rows = [_some(read, some, each) for some in numbers]
    note = f"and {len(classes) - len(shown)} more classes" if len(classes) > len(shown) else ""
    width, height = each * (SIDE + _GAP) + _MARGIN, _LINE + SIDE + _MARGIN
    # Enough columns for a sheet that is not much higher than wide.
    columns = next(count for count in range(1, len(shown) + 1) if -(-len(shown) // count) * height <= 1.5 * count * width)
    return _sheet([((name,), images) for name, images in zip(shown, rows, strict=True)], SIDE, columns, note, down=True)


def _some(read: Callable[[int], Images], numbers: Sequence[int], count: int) -> list[Images]:
    """Read `count` images spread over the class, and skip broken ones."""
    spread = [numbers[place * len(numbers) // count] for place in range(count)] if len(numbers) > count else []
    images: list[Images] = []
    for number in [*dict.fromkeys([*spread, *numbers])][:_TRIES]:
        if len(images) < count:
            with suppress(ArtifactError):
                images.append(read(number))
    return images


def save_predicted(predicted: Predicted, path: Path) -> None:
    """Draw the images, five in a row, each under its name and its labels, into a .png file; at most `MOST_IMAGES`.

    Raises:
        ConfigError: If the file can't be written.
        MissingDependency: If Pillow is not installed.
    """
    shown = list(zip(predicted.images, predicted.pixels, strict=True))[:MOST_IMAGES]
    left_out = len(predicted.images) - len(shown)
    cells: list[_Cell] = [
        ((printable(Path(item.image).name), labels(item, predicted.refusal)), [image]) for item, image in shown
    ]
    note = f"and {left_out:,} more" if left_out else ""
    write_bytes(path, _sheet(cells, _PICTURE, min(_COLUMNS, len(shown)), note, down=False))


def _sheet(cells: Sequence[_Cell], side: int, columns: int, note: str, down: bool) -> bytes:
    """Return a PNG with cells in columns: each has its lines of title above its images, in squares of `side` pixels.

    The columns are filled one after the other if `down`, as people read a list of names, else at the same time.
    """
    pillow = load_pillow()
    from PIL import ImageDraw

    font, above = _font(14), _LINE * len(cells[0][0])
    width = max(1, *(len(images) for _, images in cells)) * (side + _GAP) + _MARGIN
    height, rows = above + side + _MARGIN, -(-len(cells) // columns)
    bottom = rows * height + _MARGIN
    sheet = pillow.new("RGB", (columns * width + _MARGIN, bottom + (_LINE if note else 0)), "white")
    draw = ImageDraw.Draw(sheet)
    for number, (lines, images) in enumerate(cells):
        column, row = divmod(number, rows) if down else (number % columns, number // columns)
        left, top = _MARGIN + column * width, _MARGIN + row * height
        for place, line in enumerate(lines):
            draw.text((left, top + place * _LINE), _cut(line, font, width - _MARGIN), "black", font)
        for place, image in enumerate(images):
            sheet.paste(_enlarged(image, side, pillow), (left + place * (side + _GAP), top + above))
    draw.text((_MARGIN, bottom), note, "black", font)
    data = io.BytesIO()
    sheet.save(data, "PNG")
    return data.getvalue()


def _enlarged(image: Images, side: int, pillow: Any) -> Any:
    """Return an image as the model gets it, with its pixels to be seen, in a square of `side`."""
    height, width = image.shape[:2]
    factor = side / max(height, width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    way = pillow.Resampling.NEAREST if factor > 1 else pillow.Resampling.LANCZOS
    return pillow.fromarray(image if image.shape[2] == 3 else image[..., 0]).resize(size, way)


def _font(size: int) -> Any:
    """Return DejaVu Sans, which has most alphabets, where the system or matplotlib has it; else the font in Pillow."""
    from PIL import ImageFont

    with suppress(OSError):
        return ImageFont.truetype("DejaVuSans.ttf", size)
    try:
        import matplotlib as mpl
    except ModuleNotFoundError:
        return ImageFont.load_default(size)
    return ImageFont.truetype(Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", size)


def _cut(text: str, font: Any, width: int) -> str:
    """Return the beginning of a text that is as wide as `width` pixels at most."""
    if font.getlength(text) <= width:
        return text
    kept = next(end for end in range(len(text), -1, -1) if font.getlength(text[:end] + "...") <= width)
    return text[:kept] + "..."
