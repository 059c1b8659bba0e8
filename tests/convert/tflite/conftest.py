"""A float file of a small residual network, and the ranges of its activations."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgecnn.convert.export.converters import Ranges
from edgecnn.convert.tflite.converter import to_tflite
from edgecnn.convert.tflite.quantize import calibrate_tflite

RandomInputs = Callable[[int], NDArray[np.float32]]


@pytest.fixture(scope="module")
def float32(residual: Any) -> bytes:
    return to_tflite(residual, "float32", (8, 8, 3), "float32")


@pytest.fixture
def ranges(float32: bytes, random_inputs: RandomInputs) -> Ranges:
    return calibrate_tflite(float32, random_inputs(20))
