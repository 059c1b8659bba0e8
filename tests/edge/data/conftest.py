"""Folders of small images."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from edgecnn.edge.data.dataset import load_dataset
from tests.edge.data.drawn.image_folders import write


@pytest.fixture
def folder(idx_folder: Path, tmp_path: Path) -> Path:
    """A copy of `idx_folder`, to be changed."""
    return Path(shutil.copytree(idx_folder, tmp_path / "bars"))


@pytest.fixture
def npz(idx_folder: Path, tmp_path: Path) -> Path:
    """The images of `idx_folder` as arrays, to be changed."""
    dataset = load_dataset(idx_folder)
    np.savez(
        tmp_path / "bars.npz",
        x_train=dataset.train.images(range(240)),
        y_train=dataset.train.labels,
        x_test=dataset.test.images(range(60)),
        y_test=dataset.test.labels,
    )
    return tmp_path / "bars.npz"


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """train/ and test/ of three classes."""
    for seed, (part, count) in enumerate((("train", 6), ("test", 2))):
        for name in ("dog", "cat", "Ant"):
            write(tmp_path / "pets" / part / name, count, seed=seed)
    return tmp_path / "pets"


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    """Three classes of 10, 5 and 2 images."""
    for name, count in (("a", 10), ("b", 5), ("c", 2)):
        write(tmp_path / "letters" / name, count)
    return tmp_path / "letters"
