"""Weights of a network of keras.applications, made here."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras.src.applications import mobilenet


def write_weights(path: Path, shape: tuple[int, int, int]) -> str:
    """Write random weights of MobileNet with a quarter of its filters, without its last layers, and return the path."""
    keras.utils.set_random_seed(5)
    model = keras.applications.MobileNet(shape, alpha=0.25, include_top=False, weights=None)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0  # The statistics of one batch: without any, random layers let no signal through.
    model(np.random.default_rng(1).uniform(-1, 1, (32, *shape)).astype(np.float32), training=True)
    model.save_weights(path)
    return str(path)


def shorten_mobilenet(patch: pytest.MonkeyPatch) -> None:
    """Leave MobileNet its first blocks alone: each training is traced, and each network built, much sooner."""
    block = mobilenet._depthwise_conv_block

    def first(inputs: Any, *given: Any, block_id: int, **named: Any) -> Any:
        return block(inputs, *given, block_id=block_id, **named) if block_id <= 2 else inputs

    patch.setattr(mobilenet, "_depthwise_conv_block", first)
