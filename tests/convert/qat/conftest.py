"""A network that 8 bits spoil less than `bad_network`, so that it can learn to bear them."""

from typing import Any

import keras
import numpy as np
import pytest

from edgecnn.convert.tflite.converter import to_tflite
from tests.bad_network import WILD, BadNetwork

_SHARE = 0.3


def tamed(bad_network: BadNetwork) -> Any:
    """Return the Keras model of `bad_network` with a channel 300 times as large as others, not 1000."""
    model = keras.models.clone_model(bad_network.model)
    model.set_weights(bad_network.model.get_weights())
    kernel, bias = model.get_layer(WILD).get_weights()
    channel = int(np.abs(kernel).max(axis=(0, 1, 2)).argmax())
    kernel[..., channel] *= _SHARE
    bias[channel] *= _SHARE
    model.get_layer(WILD).set_weights([kernel, bias])
    kernel, bias = model.get_layer("following").get_weights()
    kernel[:, :, channel] /= _SHARE
    model.get_layer("following").set_weights([kernel, bias])
    return model


@pytest.fixture(scope="session")
def spoilt(bad_network: BadNetwork) -> tuple[BadNetwork, bytes]:
    """The network of `bad_network`, and the float .tflite file of its tamed form."""
    return bad_network, to_tflite(tamed(bad_network), "float32", (12, 12, 1), "float32")
