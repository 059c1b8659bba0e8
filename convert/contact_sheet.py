"""A picture of a data set: a few images of each class."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from convert.data_options import NO_OPTIONS, FolderOptions
from convert.dataset import IMAGES, find, load_dataset
from convert.image_folder import list_images
from edge.errors import ArtifactError, MissingDependency
from edge.images import fitted, read_fitted
from edge.preprocess import Images

SIDE = 64
CLASSES = 300
_GAP = 4
_TITLE = 20
_MARGIN = 16
# So many images of a class are tried before fewer are shown: broken ones are left out.
_TRIES = 20


def contact_sheet(data: str | Path | None, options: FolderOptions = NO_OPTIONS) -> bytes:
    """Return a PNG with a few training images of each class under its name, at most `CLASSES` of them.

    The images are letterboxed into squares of `SIDE` pixels. Files that can't be read are left out.

    Args:
        data: As in `convert.dataset.load_dataset`.
        options: Likewise.

    Raises:
        ConfigError: If there is no such thing, or options do not fit it.
        ArtifactError: If something else than an image file is broken.
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
    rows = [_some(read, np.flatnonzero(labels == index).tolist(), each) for index in range(len(shown))]
    note = f"and {len(classes) - len(shown)} more classes" if len(classes) > len(shown) else ""
    return _draw(shown, rows, each, note)


def _some(read: Callable[[int], Images], numbers: Sequence[int], count: int) -> list[Images]:
    """Read `count` images, from all over the class, passing over broken ones."""
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
        from PIL import Image, ImageDraw, ImageFont
    except ModuleNotFoundError as error:
        raise MissingDependency("Pillow, which draws the images, is not installed: pip install 'edgecnn[image]'") from error
    font = ImageFont.load_default(14)
    width, height = each * (SIDE + _GAP) + _MARGIN, _TITLE + SIDE + _MARGIN
    # As many columns as make a sheet that is not much higher than wide.
    columns = next(count for count in range(1, len(names) + 1) if -(-len(names) // count) * height <= 1.5 * count * width)
    lines = -(-len(names) // columns)
    sheet = Image.new("RGB", (columns * width + _MARGIN, lines * height + _MARGIN + (_TITLE if note else 0)), "white")
    draw = ImageDraw.Draw(sheet)
    for number, (name, images) in enumerate(zip(names, rows, strict=True)):
        # Down the columns, as a list of names is read.
        left, top = _MARGIN + number // lines * width, _MARGIN + number % lines * height
        draw.text((left, top), _cut(name, font, width - _MARGIN), "black", font)
        for place, image in enumerate(images):
            sheet.paste(Image.fromarray(image), (left + place * (SIDE + _GAP), top + _TITLE))
    draw.text((_MARGIN, lines * height + _MARGIN), note, "black", font)
    data = io.BytesIO()
    sheet.save(data, "PNG")
    return data.getvalue()


def _cut(name: str, font: Any, width: int) -> str:
    if font.getlength(name) <= width:
        return name
    kept = next(end for end in range(len(name), -1, -1) if font.getlength(name[:end] + "...") <= width)
    return name[:kept] + "..."
