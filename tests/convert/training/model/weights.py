"""Weights of a network of keras.applications, made here."""

from pathlib import Path

import keras
import numpy as np


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
