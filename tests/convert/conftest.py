"""A network like a user's."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray


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
