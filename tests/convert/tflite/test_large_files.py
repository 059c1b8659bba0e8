"""LiteRT's quantizer writes the buffers of a file above 256 KiB behind the FlatBuffer: what we change must keep them."""

from collections.abc import Callable
from functools import partial

import keras
import numpy as np
import pytest
from ai_edge_litert.schema_py_generated import ModelT

from edgecnn.convert.export.program_files import Description
from edgecnn.convert.tflite import quantize
from edgecnn.convert.tflite.calibrate import calibrate_tflite
from edgecnn.convert.tflite.converter import to_tflite
from edgecnn.convert.tflite.metadata import described
from edgecnn.convert.tflite.quantize import as_uint8, quantize_tflite
from edgecnn.edge.model.interface import SCHEMES
from edgecnn.edge.runtimes import opener_for
from edgecnn.edge.runtimes.litert_fp16 import allow_float16

SHAPE = (8, 8, 3)
DESCRIPTION = Description("large", ("a", "b", "c"), SCHEMES["unit"], "probabilities", "ab" * 32, "0.1.0", 60, 57)


@pytest.fixture(scope="module")
def large() -> bytes:
    """An int8 file whose weights take 350 KiB."""
    keras.utils.set_random_seed(3)
    layers = [keras.layers.Flatten(), keras.layers.Dense(1800, "relu"), keras.layers.Dense(3, "softmax")]
    network = keras.Sequential([keras.Input(SHAPE), *layers])
    float32 = to_tflite(network, "float32", SHAPE, "float32")
    inputs = np.random.default_rng(0).random((20, *SHAPE), np.float32)
    with pytest.MonkeyPatch.context() as patch:  # As the quantizer wrote it: we write a file again at once.
        patch.setattr(quantize, "as_uint8", lambda data: data)
        data = quantize_tflite(float32, "int8", calibrate_tflite(float32, inputs), io="uint8")
    assert any(buffer.offset > 1 for buffer in ModelT.InitFromPackedBuf(data, 0).buffers)
    return data


@pytest.mark.parametrize(
    ("change", "step"),
    [(partial(described, description=DESCRIPTION), 0), (allow_float16, 0), (as_uint8, 128)],
    ids=["metadata", "float16", "uint8"],
)
def test_a_changed_file_computes_what_it_did(change: Callable[[bytes], bytes], step: int, large: bytes) -> None:
    pixels = np.random.default_rng(1).integers(-128, 128, (9, *SHAPE)).astype(np.int8)
    before, after = (opener_for("tflite").open_model(data, 1) for data in (large, change(large)))
    for image in pixels:
        given = (image.astype(np.int16) + step).astype(after.input_spec.dtype)[None]
        expected = before.run(image[None]).astype(np.int16) + step
        assert np.array_equal(after.run(given).astype(np.int16), expected)
