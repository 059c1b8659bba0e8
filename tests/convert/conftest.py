"""A network as users bring them."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray


@pytest.fixture(scope="session")
def residual() -> Any:
    """An untrained network of a Rescaling, a residual, a depthwise and a dilated convolution, that gives logits.

    Args and returns as Keras has them: float32 images (n, 8, 8, 3) from 0 to 255 -> (n, 4).
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
    """Return so many inputs (n, 8, 8, 3) for `residual`."""
    return lambda count: np.random.default_rng(0).uniform(0, 255, (count, 8, 8, 3)).astype(np.float32)
