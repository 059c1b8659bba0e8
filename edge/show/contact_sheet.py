"""A picture of a dataset: a few images of each class."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgecnn.edge.data.dataset import IMAGES, find, load_dataset
from edgecnn.edge.data.folder_options import NO_OPTIONS, FolderOptions
from edgecnn.edge.data.image_file import fitted, read_fitted
from edgecnn.edge.data.image_folder import list_images
from edgecnn.edge.errors import ArtifactError, MissingDependency
from edgecnn.edge.model.preprocess import Images
from edgecnn.edge.packages import install_command

SIDE = 64
CLASSES = 300
_GAP = 4
_TITLE = 20
_MARGIN = 16
# This many images of a class are tried before fewer are shown, since broken ones are skipped.
_TRIES = 20


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
            return read_fitted(found.path / names[number], (SIDE, SIDE, 3), "letterbox")

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
    return _draw(shown, rows, each, note)


def _some(read: Callable[[int], Images], numbers: Sequence[int], count: int) -> list[Images]:
    """Read `count` images spread over the class, and skip broken ones."""
    spread = [numbers[place * len(numbers) // count] for place in range(count)] if len(numbers) > count else list(numbers)
    images: list[Images] = []
    for number in [*spread, *(other for other in numbers if other not in set(spread))][:_TRIES]:
        if len(images) == count:
            break
        try:
            images.append(read(number))
        except ArtifactError:
            continue
    return images


def _draw(names: Sequence[str], rows: Sequence[Sequence[Images]], each: int, note: str) -> bytes:
    try:
        from PIL import Image, ImageDraw
    except ModuleNotFoundError as error:
        raise MissingDependency(f"Pillow, which draws the images, is not installed: {install_command('image')}") from error
    font = _font(14)
    width, height = each * (SIDE + _GAP) + _MARGIN, _TITLE + SIDE + _MARGIN
    # Enough columns for a sheet that is not much higher than wide.
    columns = next(count for count in range(1, len(names) + 1) if -(-len(names) // count) * height <= 1.5 * count * width)
    lines = -(-len(names) // columns)
    sheet = Image.new("RGB", (columns * width + _MARGIN, lines * height + _MARGIN + (_TITLE if note else 0)), "white")
    draw = ImageDraw.Draw(sheet)
    for number, (name, images) in enumerate(zip(names, rows, strict=True)):
        # Filled column by column, as people read a list of names.
        left, top = _MARGIN + number // lines * width, _MARGIN + number % lines * height
        draw.text((left, top), _cut(name, font, width - _MARGIN), "black", font)
        for place, image in enumerate(images):
            sheet.paste(Image.fromarray(image), (left + place * (SIDE + _GAP), top + _TITLE))
    draw.text((_MARGIN, lines * height + _MARGIN), note, "black", font)
    data = io.BytesIO()
    sheet.save(data, "PNG")
    return data.getvalue()


def _font(size: int) -> Any:
    """Return a font. Pillow's own has ASCII alone; DejaVu Sans comes with matplotlib and has most alphabets."""
    from PIL import ImageFont

    try:
        import matplotlib as mpl
    except ModuleNotFoundError:
        return ImageFont.load_default(size)
    return ImageFont.truetype(Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", size)


def _cut(name: str, font: Any, width: int) -> str:
    if font.getlength(name) <= width:
        return name
    kept = next(end for end in range(len(name), -1, -1) if font.getlength(name[:end] + "...") <= width)
    return name[:kept] + "..."
