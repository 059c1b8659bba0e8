"""A Keras model in a format whose files take one image with channels first."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecnn.convert.export.converters import Conversion, Converter, converter_for
from edgecnn.convert.keras.runtime import KerasRuntime
from edgecnn.edge.runtimes import opener_for


def converter_of(model_format: str, model: Any, any_batch: bool = False) -> Converter:
    return converter_for(model_format, Conversion(KerasRuntime(model), "logits", "minmax", None, any_batch, "float32"))


def outputs(model_format: str, data: bytes, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what a file computes of inputs (n, h, w, c)."""
    runtime = opener_for(model_format).open_model(data, 1)
    return np.concatenate([runtime.run(image.transpose(2, 0, 1)[None]) for image in inputs])


def noise_ratio(found: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """Return the signal-to-noise ratio in decibels."""
    return float(10 * np.log10((expected**2).sum() / ((found - expected) ** 2).sum()))
