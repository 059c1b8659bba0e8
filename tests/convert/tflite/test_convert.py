"""Keras networks become .tflite files that compute the same."""

from typing import Any

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from edgecnn.convert.export.converters import Ranges
from edgecnn.convert.tflite.calibrate import calibrate_tflite
from edgecnn.convert.tflite.converter import to_tflite
from edgecnn.convert.tflite.quantize import quantize_tflite
from edgecnn.edge.compatibility.requirements import read_needs
from edgecnn.edge.errors import ConversionError
from edgecnn.edge.runtimes import opener_for
from tests.convert.conftest import RandomInputs
from tests.convert.tflite.conftest import kinds, run


def test_what_the_converter_can_not_do_is_an_error_that_names_it() -> None:
    entry = keras.Input((4, 4, 1))
    model = keras.Model(entry, keras.layers.Lambda(lambda image: keras.ops.fft2((image, image))[0])(entry))
    with pytest.raises(ConversionError, match=r"TFLite float32:.*can't convert.*no Complex, FFT2D"):
        to_tflite(model, "float32", (4, 4, 1), "float32")


@pytest.mark.parametrize("precision", ["int8", "int16x8", "float64"])
def test_only_what_the_converter_makes_is_asked_of_it(residual: Any, precision: str) -> None:
    with pytest.raises(ValueError, match="precision must be one of"):
        to_tflite(residual, precision, (8, 8, 3), "float32")


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-5), ("float16", 1e-2), ("dynamic", 5e-2)])
def test_it_computes_what_keras_computes(residual: Any, random_inputs: RandomInputs, precision: str, tolerance: float) -> None:
    inputs = random_inputs(8)
    outputs = run(to_tflite(residual, precision, (8, 8, 3), "float32"), inputs)
    assert np.abs(outputs - np.asarray(residual(inputs, training=False))).max() < tolerance


def test_it_takes_one_image_named_image(float32: bytes) -> None:
    assert Interpreter(model_content=float32).get_signature_list()["serving_default"]["inputs"] == ["image"]
    assert opener_for("tflite").open_model(float32, 1).input_spec.shape == (1, 8, 8, 3)
    assert not {"SHAPE", "STRIDED_SLICE", "PACK"} & set(kinds(float32))


def test_pixels_may_be_the_input() -> None:
    entry = keras.Input((4, 4, 1), dtype="uint8")
    model = keras.Model(entry, keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 255)(entry)))
    runtime = opener_for("tflite").open_model(to_tflite(model, "float32", (4, 4, 1), "uint8"), 1)
    assert runtime.input_spec.dtype == "uint8"
    assert runtime.run(np.full((1, 4, 4, 1), 51, np.uint8)) == pytest.approx(0.2)


def test_the_oldest_runtime_is_that_of_the_quantized_operators(float32: bytes, ranges: Ranges) -> None:
    assert read_needs(float32, "tflite").oldest_runtime() == "tensorflow-lite>=1.13.1"  # LEAKY_RELU.
    for precision in ("int8", "int16x8"):
        quantized = read_needs(quantize_tflite(float32, precision, ranges), "tflite")
        assert quantized.written == "1.13.1"  # The float file's version, which the quantizer does not change.
        assert quantized.oldest_runtime() == "tensorflow-lite>=2.10.0"  # Because of the dense layer with a scale per output.


def test_weights_of_4_bits_need_a_runtime_that_has_kernels_for_them(float32: bytes, ranges: Ranges) -> None:
    int4, int8 = (quantize_tflite(float32, precision, ranges) for precision in ("int4", "int8"))
    needs = read_needs(int4, "tflite")
    assert needs.oldest_runtime() == "ai-edge-litert>=1.1.2"
    assert "4-bit weights" in (needs.lack("tflite-runtime", "2.14.0") or "")
    assert needs.lack("ai-edge-litert", "1.2.0") is None
    assert len(int4) < len(int8)


@pytest.mark.parametrize(("precision", "oldest"), [("float16", "1.15.0"), ("dynamic", "2.4.0")])
def test_the_oldest_runtime_of_what_the_converter_quantized(precision: str, oldest: str) -> None:
    layers = keras.layers
    model = keras.Sequential([keras.Input((16, 16, 4)), layers.Conv2D(32, 3), layers.Conv2D(32, 3)])
    needs = read_needs(to_tflite(model, precision, (16, 16, 4), "float32"), "tflite")
    assert needs.oldest_runtime() == f"tensorflow-lite>={oldest}"
    # TensorFlow's list has 1.15.0 and 2.4.0 too; 2.3.0 has no CONV_2D of version 5.
    assert needs.written == oldest


def test_the_oldest_runtime_of_an_integer_operator_without_a_known_release_is_not_known() -> None:
    entry = keras.Input((4, 4, 1))
    model = keras.Model(entry, keras.layers.Activation("gelu")(entry))
    float32 = to_tflite(model, "float32", (4, 4, 1), "float32")
    ranges = calibrate_tflite(float32, np.linspace(-1, 1, 16, dtype=np.float32).reshape(1, 4, 4, 1))
    oldest = {
        name: read_needs(quantize_tflite(float32, name, ranges), "tflite").oldest_runtime() for name in ("int8", "int16x8")
    }
    assert oldest == {"int8": "tensorflow-lite>=2.9.0", "int16x8": None}


def test_augmentation_inside_is_inactive() -> None:
    layers = keras.layers
    model = keras.Sequential([keras.Input((4, 4, 1)), layers.RandomFlip(), layers.RandomRotation(0.5), layers.Flatten()])
    runtime = opener_for("tflite").open_model(to_tflite(model, "float32", (4, 4, 1), "float32"), 1)
    image = np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1)
    for _ in range(5):
        assert runtime.run(image).tolist() == [list(range(16))]
