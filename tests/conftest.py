"""A small set of images, and the whole chain run once on it with the real libraries."""

import gzip
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from convert.dataset import load_dataset
from convert.export import ExportConfig, export
from convert.train import train
from convert.train_records import TrainConfig

SIDE = 12
CLASSES = 3


def drawings(count: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return images (count, 12, 12) and labels: a bright bar, noisy, at a height that tells the class."""
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


@pytest.fixture(scope="session")
def idx_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An IDX folder of 240 training and 60 test images (12, 12, 1) of 3 classes. Read it only."""
    return write_idx_folder(tmp_path_factory.mktemp("images") / "bars")


@pytest.fixture(scope="session")
def exported(idx_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a trained model and every file that edgecnn exports. Read it only; `artifacts` is yours."""
    folder = tmp_path_factory.mktemp("exported") / "bars"
    dataset = load_dataset(idx_folder)
    train(dataset, TrainConfig(epochs=12, batch_size=8, learning_rate=0.003), folder)
    export(folder / "model.keras", dataset, ExportConfig(("tflite",), ("float16", "dynamic", "int8", "int16x8")))
    export(folder / "model.keras", dataset, ExportConfig(("onnx",), ("int8",)))
    return folder


@pytest.fixture
def artifacts(exported: Path, tmp_path: Path) -> Path:
    """A copy of `exported` to break."""
    folder = tmp_path / "bars"
    shutil.copytree(exported, folder, ignore=shutil.ignore_patterns("logs", "checkpoint"))
    return folder
