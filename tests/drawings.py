"""Small datasets of three classes: bars as arrays, and letters as pictures of several sizes."""

import gzip
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgecnn.edge.data.splits import ArraySplit

SIDE = 12
CLASSES = 3
LETTERS = "AKO"


def drawings(count: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return images (count, 12, 12) and labels: a noisy bright bar whose height identifies the class."""
    rng = np.random.default_rng(seed)
    labels = (np.arange(count) % CLASSES).astype(np.uint8)
    images = rng.integers(0, 60, (count, SIDE, SIDE)).astype(np.uint8)
    for image, label in zip(images, labels, strict=True):
        top = 2 + 3 * int(label)
        image[top : top + 2, 2:-2] = rng.integers(150, 256, (2, SIDE - 4))
    return images, labels


def bar_weights() -> NDArray[np.float32]:
    """Return weights (pixels, classes) of a dense layer that finds these bars in pixels from 0 to 1."""
    weights = np.zeros((SIDE, SIDE, CLASSES), np.float32)
    for label in range(CLASSES):
        weights[2 + 3 * label : 4 + 3 * label, 2:-2, label] = 6 / 16
    return weights.reshape(-1, CLASSES)


def blank_split(channels: int = 1, side: int = SIDE, counts: tuple[int, ...] = (20, 20, 20)) -> ArraySplit:
    """Return black images (n, side, side, channels), so many of each class."""
    return ArraySplit(np.zeros((sum(counts), side, side, channels), np.uint8), np.repeat(np.arange(len(counts)), counts))


def write_idx(path: Path, array: NDArray[np.uint8]) -> None:
    """Write an IDX file, gzipped if its name says so."""
    data = struct.pack(f">{1 + array.ndim}I", 0x800 + array.ndim, *array.shape) + array.tobytes()
    path.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)


def write_idx_folder(folder: Path, train: int = 240, test: int = 60) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for prefix, count, seed in (("train", train, 1), ("t10k", test, 2)):
        images, labels = drawings(count, seed)
        write_idx(folder / f"{prefix}-images-idx3-ubyte.gz", images)
        write_idx(folder / f"{prefix}-labels-idx1-ubyte.gz", labels)
    return folder


def write_letters(folder: Path, count: int, seed: int = 0) -> Path:
    """Write `count` colour JPEGs of 34 to 60 pixels a side for each of three letters, in a folder each."""
    from PIL import Image, ImageDraw, ImageFont  # noqa: PLC0415 - A board that tests arrays may have no Pillow.

    rng = np.random.default_rng(seed)
    for letter in LETTERS:
        (folder / letter).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            width, height = map(int, rng.integers(34, 60, 2))
            size = int(min(width, height) * rng.uniform(0.6, 0.9))
            colours = [tuple(map(int, rng.integers(low, low + 80, 3))) for low in rng.permutation((0, 175))]
            picture = Image.new("RGB", (width, height), colours[0])
            place = (width * rng.uniform(0.4, 0.6), height * rng.uniform(0.4, 0.6))
            ImageDraw.Draw(picture).text(place, letter, colours[1], ImageFont.load_default(size), anchor="mm")
            picture.save(folder / letter / f"{number:03}.jpg", quality=90)
    return folder
