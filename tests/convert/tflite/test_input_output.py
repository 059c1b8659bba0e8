"""An int8 file with uint8 or float32 ends computes what the int8 file computes."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from edgecnn.convert.export.converters import Ranges
from edgecnn.convert.tflite.converter import to_tflite
from edgecnn.convert.tflite.quantize import activations, as_uint8, calibrate_tflite, open_tflite, quantize_tflite, tflite_scales
from edgecnn.edge.errors import ConversionError
from edgecnn.edge.formats import IoName
from edgecnn.edge.runtimes import opener_for
from tests.kept.make import KEPT

RandomInputs = Callable[[int], NDArray[np.float32]]


def kinds(data: bytes) -> list[str]:
    return [operator["op_name"] for operator in open_tflite(data)._get_ops_details() if operator["op_name"] != "DELEGATE"]


def ends(data: bytes) -> tuple[str, str]:
    model = opener_for("tflite").open_model(data, 1)
    return model.input_spec.dtype, model.output_spec.dtype


def run(data: bytes, images: NDArray[Any]) -> NDArray[Any]:
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


def test_uint8_is_int8_plus_128_at_both_ends(float32: bytes, ranges: Ranges, random_inputs: RandomInputs) -> None:
    int8, uint8 = (quantize_tflite(float32, "int8", ranges, io=io) for io in ("int8", "uint8"))
    assert ends(uint8) == ("uint8", "uint8")
    images = stored(int8, random_inputs(50))
    expected = run(int8, images).astype(np.int16) + 128
    assert np.array_equal(run(uint8, (images.astype(np.int16) + 128).astype(np.uint8)), expected)
    for spec in ("input_spec", "output_spec"):
        old, new = (getattr(opener_for("tflite").open_model(data, 1), spec) for data in (int8, uint8))
        assert (new.name, new.shape, new.quantization.scales) == (old.name, old.shape, old.quantization.scales)
        assert new.quantization.zero_points[0] == old.quantization.zero_points[0] + 128


def test_float32_ends_give_the_numbers_of_int8(float32: bytes, ranges: Ranges, random_inputs: RandomInputs) -> None:
    int8, real = (quantize_tflite(float32, "int8", ranges, io=io) for io in ("int8", "float32"))
    assert ends(real) == ("float32", "float32")
    assert (kinds(real)[0], kinds(real)[-1]) == ("QUANTIZE", "DEQUANTIZE")
    inputs = random_inputs(50)
    output = opener_for("tflite").open_model(int8, 1).output_spec.quantization
    assert output
    expected = (run(int8, stored(int8, inputs)).astype(np.float32) - output.zero_points[0]) * np.float32(output.scales[0])
    assert np.array_equal(run(real, inputs), expected)


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
        found = opener_for("tflite").open_model(int8, 1).output_spec.quantization
        assert found
        int8_real = (run(int8, images).astype(np.float32) - found.zero_points[0]) * np.float32(found.scales[0])
        assert np.abs(real - int8_real).max() < 0.1 * np.abs(int8_real).max()


def layers(end: str) -> list[Any]:
    """Return the last layers of a network of four logits."""
    softmax, reshaped = keras.layers.Softmax(), keras.layers.Reshape((4,))
    return {
        "logits": [],
        "softmax": [softmax],
        "reshaped": [softmax, reshaped],
        "sigmoid": [keras.layers.Activation("sigmoid")],
    }[end]


@pytest.mark.parametrize(("precision", "io"), [("int8", "int8"), ("int8", "uint8"), ("int8", "float32"), ("int16x8", "int8")])
@pytest.mark.parametrize("end", ["logits", "softmax", "reshaped", "sigmoid"])
def test_the_ends_stay_whichever_layers_are_float(
    end: str, precision: str, io: IoName, residual: Any, random_inputs: RandomInputs
) -> None:
    model, inputs = keras.Sequential([keras.Input((8, 8, 3)), residual, *layers(end)]), random_inputs(20)
    float32 = to_tflite(model, "float32", (8, 8, 3), "float32")
    ranges = calibrate_tflite(float32, inputs)
    names = [name for _, name, kind in activations(open_tflite(float32)) if kind != "INPUT"]
    expected = specs(quantize_tflite(float32, precision, ranges, io=io))
    for keep in (names[-1:], names[-2:], names[:1], names):
        data = quantize_tflite(float32, precision, ranges, keep, io)
        assert specs(data) == expected
    # With every operator in float, only the ends round.
    ours = dequantized(data, run(data, stored(data, inputs)))
    assert np.abs(ours - model.predict(inputs, verbose=0)).max() < 0.02 * max(1, np.abs(ours).max())


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


def test_scales_are_those_of_the_int8_file(float32: bytes, ranges: Ranges) -> None:
    int8, uint8, real = (tflite_scales(quantize_tflite(float32, "int8", ranges, io=io)) for io in ("int8", "uint8", "float32"))
    assert sorted(set(int8.values())) == sorted(set(uint8.values())) == sorted(set(real.values()))


def test_a_signature_names_the_new_ends(float32: bytes, ranges: Ranges) -> None:
    interpreter = Interpreter(model_content=quantize_tflite(float32, "int8", ranges, io="uint8"))
    runner = interpreter.get_signature_runner()
    (entry,) = runner.get_input_details().values()
    (output,) = runner.get_output_details().values()
    assert entry["dtype"] is output["dtype"] is np.uint8


def test_int16x8_files_stay_as_they_are(float32: bytes, ranges: Ranges) -> None:
    for io in ("int8", "uint8", "float32"):
        assert ends(quantize_tflite(float32, "int16x8", ranges, io=io)) == ("int16", "int16")


def test_a_float_file_has_no_end_to_change_and_several_graphs_are_refused(float32: bytes) -> None:
    assert ends(as_uint8(float32)) == ("float32", "float32")
    with pytest.raises(ConversionError, match="several graphs"):
        as_uint8((KEPT / "foreign" / "two.tflite").read_bytes())
