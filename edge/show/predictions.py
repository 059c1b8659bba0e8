"""Predictions as text, and as a picture drawn by Pillow, which a board has for its image files."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgecnn.edge.files import write_bytes
from edgecnn.edge.inference.predictions import Predicted, PredictedImage
from edgecnn.edge.model.preprocess import Images
from edgecnn.edge.packages import load_pillow
from edgecnn.edge.text import WIDTH, printable

MOST_IMAGES = 200
"""How many images are drawn; a note says how many are not."""

_SIDE, _GAP, _COLUMNS = 224, 16, 5
_FONT, _LINE = 16, 22
# Larger images, which are photos, are not drawn with characters.
_DRAWN = 32
_SHADES = " ░▒▓█"


def save_predicted(predicted: Predicted, path: Path) -> None:
    """Draw the images with their labels into a .png file, at most the first `MOST_IMAGES`."""
    save_figure(path, predicted.pixels, [(Path(item.image).name, labels(item)) for item in predicted.images])


def save_figure(path: Path, images: Sequence[Images], titles: Sequence[tuple[str, str]]) -> None:
    """Draw images (h, w, c), five in a row, each under its two lines of title, into a .png file.

    Raises:
        ConfigError: If the file can't be written.
        MissingDependency: If Pillow is not installed.
    """
    pillow = load_pillow()
    from PIL import ImageDraw

    shown = list(zip(images, titles, strict=True))[:MOST_IMAGES]
    left_out = len(images) - len(shown)
    columns, font = min(_COLUMNS, len(shown)), _font()
    rows = -(-len(shown) // columns)
    wide, high = _SIDE + _GAP, _SIDE + 2 * _LINE + _GAP
    sheet = pillow.new("RGB", (columns * wide + _GAP, rows * high + _GAP + (_LINE if left_out else 0)), "white")
    draw = ImageDraw.Draw(sheet)
    for place, (image, lines) in enumerate(shown):
        left, top = _GAP + place % columns * wide, _GAP + place // columns * high
        for number, line in enumerate(lines):
            draw.text((left, top + number * _LINE), _cut(line, font), "black", font)
        sheet.paste(_enlarged(image, pillow), (left, top + 2 * _LINE))
    if left_out:
        draw.text((_GAP, rows * high + _GAP // 2), f"and {left_out:,} more", "black", font)
    data = io.BytesIO()
    sheet.save(data, "PNG")
    write_bytes(path, data.getvalue())


def _enlarged(image: Images, pillow: Any) -> Any:
    """Return an image as the model gets it, with its pixels to be seen, in a square of `_SIDE`."""
    height, width = image.shape[:2]
    factor = _SIDE / max(height, width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    way = pillow.Resampling.NEAREST if factor > 1 else pillow.Resampling.LANCZOS
    return pillow.fromarray(image if image.shape[2] == 3 else image[..., 0]).resize(size, way)


def _font() -> Any:
    """Return DejaVu where the system has it, since it has Greek and Cyrillic letters too; else the font in Pillow."""
    from PIL import ImageFont

    try:
        return ImageFont.truetype("DejaVuSans.ttf", _FONT)
    except OSError:
        return ImageFont.load_default(_FONT)


def _cut(text: str, font: Any) -> str:
    """Return a line that is as wide as an image at most."""
    while font.getlength(text) > _SIDE and len(text) > 4:
        text = f"{text[:-4]}..."
    return text


def predicted_text(predicted: Predicted, width: int = WIDTH) -> str:
    """Return each image with its labels and probabilities, small ones also drawn with characters, the runtime and the notes."""
    blocks = []
    for place, item in enumerate(predicted.images):
        block = f"{printable(item.image)}: {printable(labels(item))}\n{_bars(item, predicted.top)}"
        image = predicted.pixels[place] if predicted.pixels else None
        if image is not None and max(image.shape[:2]) <= _DRAWN:
            block = f"{drawn(image)}\n\n{block}"
        blocks.append(block)
    blocks.append("\n".join([f"{printable(predicted.file)}, {predicted.runtime}", *predicted.notes]))
    return "\n\n".join(blocks)


def drawn(image: Images) -> str:
    """Draw an image (h, w, c) with block characters, at most 64 columns; one character covers twice as many rows as columns."""
    grey = image.mean(axis=2)
    step = -(-grey.shape[1] // 64)
    rows, columns = -(-grey.shape[0] // (2 * step)), -(-grey.shape[1] // step)
    padded = np.zeros((rows * 2 * step, columns * step))
    padded[: grey.shape[0], : grey.shape[1]] = grey
    cells = padded.reshape(rows, 2 * step, columns, step).mean(axis=(1, 3))
    shades = (cells / 256 * len(_SHADES)).astype(int)
    return "\n".join("".join(_SHADES[shade] for shade in row).rstrip() for row in shades)


def _bars(item: PredictedImage, top: int) -> str:
    rows = sorted(item.probabilities.items(), key=lambda pair: -pair[1])[:top]
    rows = [(printable(label), value) for label, value in rows]
    wide = max(len(label) for label, _ in rows)
    lines = [f"  {label:>{wide}}  {value:7.2%}  {'█' * round(30 * value)}".rstrip() for label, value in rows]
    if len(item.probabilities) > top > 1:
        lines.append(f"  the {top} most probable of {len(item.probabilities)} classes")
    return "\n".join(lines)


def labels(item: PredictedImage) -> str:
    """Return the true label, if known, and the predicted one."""
    known = f"label {item.label}, " if item.label is not None else ""
    return f"{known}predicted {item.predicted} ({item.probabilities[item.predicted]:.1%}){', doubtful' if item.doubt else ''}"
