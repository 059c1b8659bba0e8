"""A prediction as a picture, drawn by Pillow, which a board has for its image files."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgecnn.edge.data.image_file import load_pillow
from edgecnn.edge.files import write_bytes
from edgecnn.edge.model.preprocess import Images

MOST_IMAGES = 200
"""How many images are drawn; a note says how many are not."""

_SIDE, _GAP, _COLUMNS = 224, 16, 5
_FONT, _LINE = 16, 22


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
