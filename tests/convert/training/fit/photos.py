"""Image files that differ in every pixel."""

from pathlib import Path

import numpy as np
from PIL import Image

from edgecnn.edge.data.splits import FileSplit, Shape
from edgecnn.edge.model.preprocess import Images

SHAPE: Shape = (20, 24, 3)


def split_of(folder: Path, count: int, seed: int = 0) -> FileSplit:
    """Write JPEGs of noise into a folder, and return them as a split of images (20, 24, 3)."""
    folder.mkdir()
    rng = np.random.default_rng(seed)
    names = tuple(f"{number}.jpg" for number in range(count))
    for name in names:
        Image.fromarray(rng.integers(0, 256, (40, 48, 3)).astype(np.uint8)).save(folder / name)
    return FileSplit(folder, names, np.arange(count) % 2, SHAPE, "letterbox")


def numbered(count: int) -> Images:
    """Return images (count, 2, 2, 1), each of its own value."""
    return np.repeat(np.arange(count, dtype=np.uint8), 4).reshape(count, 2, 2, 1)
