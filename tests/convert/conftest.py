"""Exports made now, and a network like a user's."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.kept.make import make_any_batch, make_bars


@pytest.fixture(autouse=True)
def _made_here(made_here: None) -> None:
    """No test here covers the trial of a new file."""


@pytest.fixture(scope="session")
def exported(idx_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As elsewhere, but made now, with `logs` and `checkpoint`, since training is tested here."""
    folder = tmp_path_factory.mktemp("made") / "bars"
    make_bars(idx_folder, folder)
    return folder


@pytest.fixture(scope="session")
def any_batch(exported: Path, idx_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As elsewhere, with every file, but made now."""
    folder = tmp_path_factory.mktemp("any") / "bars"
    make_any_batch(idx_folder, exported, folder)
    return folder


@pytest.fixture(scope="session")
def residual() -> Any:
    """An untrained network of a Rescaling, a residual, a depthwise and a dilated convolution, which computes logits.

    It maps float32 images (n, 8, 8, 3) from 0 to 255 to (n, 4).
    """
    keras.utils.set_random_seed(0)
    layers = keras.layers
    entry = layers.Input((8, 8, 3))
    start = layers.Conv2D(4, 3, padding="same", activation="relu")(layers.Rescaling(1 / 127.5, offset=-1)(entry))
    inner = layers.DepthwiseConv2D(3, padding="same", dilation_rate=2)(start)
    inner = layers.LeakyReLU()(layers.Conv2D(4, 1)(inner))
    end = layers.GlobalAveragePooling2D()(layers.Add()([start, inner]))
    return keras.Model(entry, layers.Dense(4)(end))


@pytest.fixture
def random_inputs() -> Callable[[int], NDArray[np.float32]]:
    """Return `count` inputs (n, 8, 8, 3) for `residual`."""
    return lambda count: np.random.default_rng(0).uniform(0, 255, (count, 8, 8, 3)).astype(np.float32)
