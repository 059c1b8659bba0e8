"""A network and a module of networks like a user's."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.convert.training.own_nets import MODULE


@pytest.fixture(autouse=True)
def _made_here(made_here: None) -> None:
    """No test here covers the trial of a new file."""


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


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory with `own_nets.py`."""
    (tmp_path / "own_nets.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    sys.modules.pop("own_nets", None)
    yield tmp_path / "own_nets.py"
    sys.modules.pop("own_nets", None)
