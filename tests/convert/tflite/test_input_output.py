"""An int8 file with uint8 or float32 ends computes what the int8 file computes."""

from typing import Any

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from edgecnn.convert.export.converters import Ranges
from edgecnn.convert.tflite.calibrate import calibrate_tflite
from edgecnn.convert.tflite.converter import to_tflite
from edgecnn.convert.tflite.quantize import activations, as_uint8, open_tflite, quantize_tflite, tflite_scales
from edgecnn.edge.errors import ConversionError
from edgecnn.edge.formats import IoName
from edgecnn.edge.runtimes import opener_for
from tests.convert.conftest import RandomInputs
from tests.convert.tflite.conftest import dequantized, kinds, real_outputs, run, stored
from tests.kept.make import KEPT


def ends(data: bytes) -> tuple[str, str]:
    model = opener_for("tflite").open_model(data, 1)
    return model.input_spec.dtype, model.output_spec.dtype


@pytest.fixture(scope="module")
def by_io(float32: bytes, ranges: Ranges) -> dict[IoName, bytes]:
    """An int8 file with each type of input and output."""
    types: tuple[IoName, ...] = ("int8", "uint8", "float32")
    return {io: quantize_tflite(float32, "int8", ranges, io=io) for io in types}


def test_uint8_is_int8_plus_128_at_both_ends(by_io: dict[IoName, bytes], random_inputs: RandomInputs) -> None:
    int8, uint8 = by_io["int8"], by_io["uint8"]
    assert ends(uint8) == ("uint8", "uint8")
    images = stored(int8, random_inputs(50))
    expected = run(int8, images).astype(np.int16) + 128
    assert np.array_equal(run(uint8, (images.astype(np.int16) + 128).astype(np.uint8)), expected)
    for spec in ("input_spec", "output_spec"):
        old, new = (getattr(opener_for("tflite").open_model(data, 1), spec) for data in (int8, uint8))
        assert (new.name, new.shape, new.quantization.scales) == (old.name, old.shape, old.quantization.scales)
        assert new.quantization.zero_points[0] == old.quantization.zero_points[0] + 128


def test_float32_ends_give_the_numbers_of_int8(by_io: dict[IoName, bytes], random_inputs: RandomInputs) -> None:
    int8, real = by_io["int8"], by_io["float32"]
    assert ends(real) == ("float32", "float32")
    assert (kinds(real)[0], kinds(real)[-1]) == ("QUANTIZE", "DEQUANTIZE")
    inputs = random_inputs(50)
    assert np.array_equal(run(real, inputs), real_outputs(int8, inputs))


@pytest.mark.parametrize("io", ["uint8", "float32"])
def test_a_file_whose_first_layers_are_float_takes_it_too(
    io: IoName, float32: bytes, ranges: Ranges, random_inputs: RandomInputs
) -> None:
    first = [name for _, name, kind in activations(open_tflite(float32)) if kind != "INPUT"][:3]
    int8, other = (quantize_tflite(float32, "int8", ranges, first, one) for one in ("int8", io))
    assert ends(other) == (io, io)
    inputs = random_inputs(50)
    images = stored(int8, inputs)
    real = run(other, inputs if io == "float32" else (images.astype(np.int16) + 128).astype(np.uint8))
    if io == "uint8":
        assert np.array_equal(real, run(int8, images).astype(np.int16) + 128)
    else:
        assert "QUANTIZE" not in kinds(other)[:3]  # The float layer reads the float input.
        int8_real = dequantized(int8, run(int8, images))
        assert np.abs(real - int8_real).max() < 0.1 * np.abs(int8_real).max()


@pytest.fixture(scope="module", params=["logits", "softmax", "reshaped", "sigmoid"])
def ended(request: pytest.FixtureRequest, residual: Any, random_inputs: RandomInputs) -> tuple[bytes, Ranges, Any]:
    """A float file that ends in one of these, its ranges for 20 inputs, and the outputs that Keras gives for them."""
    softmax, reshaped = keras.layers.Softmax(), keras.layers.Reshape((4,))
    sigmoid = keras.layers.Activation("sigmoid")
    end = {"logits": [], "softmax": [softmax], "reshaped": [softmax, reshaped], "sigmoid": [sigmoid]}[request.param]
    model = keras.Sequential([keras.Input((8, 8, 3)), residual, *end])
    float32 = to_tflite(model, "float32", (8, 8, 3), "float32")
    return float32, calibrate_tflite(float32, random_inputs(20)), np.asarray(model(random_inputs(20)))


def test_float32_probabilities_are_computed_in_float(ended: tuple[bytes, Ranges, Any], random_inputs: RandomInputs) -> None:
    float32, ranges, outputs = ended
    data, int8 = (quantize_tflite(float32, "int8", ranges, io=io) for io in ("float32", "int8"))
    found = kinds(data)
    ending = found[len(found) - 1 - found[::-1].index("DEQUANTIZE") :]
    if outputs.min() < 0 or outputs.max() > 1:  # Logits.
        assert ending == ["DEQUANTIZE"]
        return
    assert ending in (["DEQUANTIZE", "SOFTMAX"], ["DEQUANTIZE", "SOFTMAX", "RESHAPE"], ["DEQUANTIZE", "LOGISTIC"])
    inputs = random_inputs(20)
    ours, coarse = run(data, inputs), real_outputs(int8, inputs)
    assert np.abs(ours - coarse).max() <= 1 / 256 + 1e-3
    assert (ours * 256 % 1 > 0.01).any()  # Between the steps of 8 bits.


@pytest.mark.parametrize(("precision", "io"), [("int8", "int8"), ("int8", "uint8"), ("int8", "float32"), ("int16x8", "int8")])
def test_the_ends_stay_whichever_layers_are_float(
    ended: tuple[bytes, Ranges, Any], precision: str, io: IoName, random_inputs: RandomInputs
) -> None:
    float32, ranges, outputs = ended
    names = [name for _, name, kind in activations(open_tflite(float32)) if kind != "INPUT"]
    expected = specs(quantize_tflite(float32, precision, ranges, io=io))
    for keep in (names[-1:], names[-2:], names[:1], names):
        data = quantize_tflite(float32, precision, ranges, keep, io)
        assert specs(data) == expected
    # With every operator in float, only the ends round.
    ours = real_outputs(data, random_inputs(20))
    assert np.abs(ours - outputs).max() < 0.02 * max(1, np.abs(ours).max())


def specs(data: bytes) -> list[tuple[str, tuple[int | None, ...], Any]]:
    model = opener_for("tflite").open_model(data, 1)
    return [(spec.dtype, spec.shape, spec.quantization) for spec in (model.input_spec, model.output_spec)]


def test_no_activation_counts_as_quantized_if_every_operator_is_float(float32: bytes, ranges: Ranges) -> None:
    every = [name for _, name, kind in activations(open_tflite(float32)) if kind != "INPUT"]
    for io in ("int8", "uint8"):
        data = quantize_tflite(float32, "int8", ranges, every, io)
        entry = opener_for("tflite").open_model(data, 1).input_spec.name
        assert set(tflite_scales(data)) == {entry}
    assert not tflite_scales(quantize_tflite(float32, "int8", ranges, every, "float32"))


def test_a_signature_names_the_new_ends_and_scales_are_those_of_the_int8_file(by_io: dict[IoName, bytes]) -> None:
    int8, uint8, real = (sorted(set(tflite_scales(data).values())) for data in by_io.values())
    assert int8 == uint8 == real
    runner = Interpreter(model_content=by_io["uint8"]).get_signature_runner()
    (entry,) = runner.get_input_details().values()
    (output,) = runner.get_output_details().values()
    assert entry["dtype"] is output["dtype"] is np.uint8


def test_int16x8_and_float_files_stay_as_they_are_and_several_graphs_are_refused(float32: bytes, ranges: Ranges) -> None:
    for io in ("int8", "uint8", "float32"):
        assert ends(quantize_tflite(float32, "int16x8", ranges, io=io)) == ("int16", "int16")
    assert ends(as_uint8(float32)) == ("float32", "float32")
    with pytest.raises(ConversionError, match="several graphs"):
        as_uint8((KEPT / "foreign" / "two.tflite").read_bytes())
