"""The dataset that most trainings here take."""

from pathlib import Path

import pytest

from edgecnn.edge.data.dataset import Dataset, load_dataset


@pytest.fixture(scope="session")
def bars(idx_folder: Path) -> Dataset:
    """240 training and 60 test images (12, 12, 1) of 3 classes, without validation images."""
    return load_dataset(idx_folder)
