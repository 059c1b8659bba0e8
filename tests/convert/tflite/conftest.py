"""A float file of a small residual network, and the ranges of its activations."""

from typing import Any

import pytest

from edgecnn.convert.export.converters import Ranges
from edgecnn.convert.tflite.calibrate import calibrate_tflite
from edgecnn.convert.tflite.converter import to_tflite
from edgecnn.convert.tflite.quantize import open_tflite
from tests.convert.conftest import RandomInputs


@pytest.fixture(scope="session")
def float32(residual: Any) -> bytes:
    return to_tflite(residual, "float32", (8, 8, 3), "float32")


@pytest.fixture(scope="session")
def ranges(float32: bytes, random_inputs: RandomInputs) -> Ranges:
    return calibrate_tflite(float32, random_inputs(20))


def kinds(data: bytes) -> list[str]:
    """Return a file's operators in the order in which they run."""
    return [operator["op_name"] for operator in open_tflite(data)._get_ops_details() if operator["op_name"] != "DELEGATE"]
