"""Pictures to read."""

from pathlib import Path

import numpy as np
from PIL import Image

# A bright bar on black, of whole 8 x 8 blocks so that JPEG keeps it, and off the middle so that a turn shows.
BAR = np.zeros((24, 16), np.uint8)
BAR[8:16, 8:16] = 255
BAR[16:24, 8:16] = 128
SHAPE = (24, 16, 1)


def photo(height: int, width: int, suffix: str, path: Path, orientation: int = 1) -> Path:
    """Write smooth colours that differ at every corner."""
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    pixels = np.stack([255 * x, 255 * y, 127 + 120 * np.sin(9 * x + 5 * y)], axis=2).clip(0, 255).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(path / f"photo.{suffix}", exif=exif)
    return path / f"photo.{suffix}"
