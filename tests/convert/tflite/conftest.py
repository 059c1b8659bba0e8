"""A float file of a small residual network, and the ranges of its activations."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgecnn.convert.export.converters import Ranges
from edgecnn.convert.tflite.calibrate import calibrate_tflite
from edgecnn.convert.tflite.converter import to_tflite
from edgecnn.convert.tflite.quantize import open_tflite, operators_of
from edgecnn.edge.runtimes import opener_for
from tests.convert.conftest import RandomInputs


@pytest.fixture(scope="session")
def float32(residual: Any) -> bytes:
    return to_tflite(residual, "float32", (8, 8, 3), "float32")


@pytest.fixture(scope="session")
def ranges(float32: bytes, random_inputs: RandomInputs) -> Ranges:
    return calibrate_tflite(float32, random_inputs(20))


def kinds(data: bytes) -> list[str]:
    """Return a file's operators in the order in which they run."""
    return [operator["op_name"] for operator in operators_of(open_tflite(data))]


def run(data: bytes, images: NDArray[Any]) -> NDArray[Any]:
    """Return a file's outputs for images in its own type."""
    model = opener_for("tflite").open_model(data, 1)
    return np.concatenate([model.run(image[np.newaxis]) for image in images])


def stored(data: bytes, inputs: NDArray[np.float32]) -> NDArray[Any]:
    """Return inputs in the type of a file's input."""
    spec = opener_for("tflite").open_model(data, 1).input_spec
    if spec.quantization is None:
        return inputs
    limits, values = np.iinfo(spec.dtype), np.rint(inputs / spec.quantization.scales[0]) + spec.quantization.zero_points[0]
    found: NDArray[Any] = np.clip(values, limits.min, limits.max).astype(spec.dtype)
    return found


def dequantized(data: bytes, outputs: NDArray[Any]) -> NDArray[np.float32]:
    """Return outputs of a file as real numbers."""
    found = opener_for("tflite").open_model(data, 1).output_spec.quantization
    real = outputs.astype(np.float32)
    return (real - found.zero_points[0]) * np.float32(found.scales[0]) if found else real


def real_outputs(data: bytes, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what a file computes of inputs, whatever its types, as real numbers."""
    return dequantized(data, run(data, stored(data, inputs)))
