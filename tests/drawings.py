"""A small dataset of three classes."""

import gzip
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SIDE = 12
CLASSES = 3


def drawings(count: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return images (count, 12, 12) and labels: a noisy bright bar whose height identifies the class."""
    rng = np.random.default_rng(seed)
    labels = (np.arange(count) % CLASSES).astype(np.uint8)
    images = rng.integers(0, 60, (count, SIDE, SIDE)).astype(np.uint8)
    for image, label in zip(images, labels, strict=True):
        top = 2 + 3 * int(label)
        image[top : top + 2, 2:-2] = rng.integers(150, 256, (2, SIDE - 4))
    return images, labels


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
