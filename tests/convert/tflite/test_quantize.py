"""An int8 .tflite file is integers from end to end, close to the float file, and keeps the requested operators in float."""

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from edgecnn.convert.export.converters import Ranges
from edgecnn.convert.tflite.calibrate import calibrate_tflite
from edgecnn.convert.tflite.converter import to_tflite
from edgecnn.convert.tflite.quantize import (
    activations,
    open_tflite,
    quantize_tflite,
    tflite_scales,
    with_narrow_weights,
)
from edgecnn.edge.compatibility.tflite_graph import from_object, to_object
from edgecnn.edge.errors import ConversionError
from edgecnn.edge.formats import IoName
from edgecnn.edge.runtimes import opener_for
from tests.convert.conftest import RandomInputs, noise_ratio
from tests.convert.tflite.conftest import kinds, real_outputs


def snr_db(float32: bytes, quantized: bytes, inputs: NDArray[np.float32]) -> float:
    return noise_ratio(real_outputs(quantized, inputs), real_outputs(float32, inputs))


def test_a_model_that_gives_nan_can_not_be_calibrated(float32: bytes, random_inputs: RandomInputs) -> None:
    inputs = random_inputs(3)
    inputs[1, 4, 4, 1] = np.nan
    with pytest.raises(ConversionError, match=r"TFLite: .*not finite.*calibration image"):
        calibrate_tflite(float32, inputs)


def test_a_quantizer_that_fails_is_named(float32: bytes, ranges: Ranges) -> None:
    with pytest.raises(ConversionError, match=r"TFLite:.*litert-quantizer can't quantize.*int8 .*omit int8"):
        quantize_tflite(float32, "int8", dict(list(ranges.items())[:1]))
    with pytest.raises(ValueError, match="precision must be one of"):
        quantize_tflite(float32, "dynamic", ranges)


def test_a_recurrent_layer_is_refused_in_one_line() -> None:
    layers = keras.layers
    model = keras.Sequential([keras.Input((6, 4)), layers.LSTM(3), layers.Dense(2)])
    float32 = to_tflite(model, "float32", (6, 4), "float32")
    inputs = np.random.default_rng(0).random((5, 6, 4), np.float32)
    with pytest.raises(ConversionError, match=r"TFLite:.*litert-quantizer can't quantize.*int8 .*lstm.*omit int8"):
        quantize_tflite(float32, "int8", calibrate_tflite(float32, inputs))


def test_a_layer_that_is_never_on_is_quantized_like_any_other(random_inputs: RandomInputs) -> None:
    off = keras.layers.Conv2D(2, 3, activation="relu", bias_initializer=keras.initializers.Constant(-1000.0))
    layers = [keras.Input((8, 8, 3)), off, keras.layers.Conv2D(2, 3), keras.layers.Flatten(), keras.layers.Dense(4)]
    float32 = to_tflite(keras.Sequential(layers), "float32", (8, 8, 3), "float32")
    ranges = calibrate_tflite(float32, random_inputs(20))
    assert (0.0, 0.0) in ranges.values()
    runtime = opener_for("tflite").open_model(quantize_tflite(float32, "int8", ranges), 1)
    assert runtime.run(np.zeros((1, 8, 8, 3), np.int8)).shape == (1, 4)


def test_ranges_are_the_smallest_and_largest_value_of_any_image(float32: bytes, random_inputs: RandomInputs) -> None:
    inputs = random_inputs(20)
    inputs[7, 0, 0, 0], inputs[9, 0, 0, 0] = -300, 700
    ranges = calibrate_tflite(float32, inputs)
    assert next(iter(ranges.values())) == (-300, 700)
    names = [name for _, name, _ in activations(open_tflite(float32))]
    assert list(ranges) == names


@pytest.mark.parametrize(("precision", "dtype", "least_db"), [("int8", "int8", 25), ("int16x8", "int16", 40)])
def test_it_is_integers_from_end_to_end_and_close_to_the_float_file(
    float32: bytes, ranges: Ranges, random_inputs: RandomInputs, precision: str, dtype: str, least_db: float
) -> None:
    data = quantize_tflite(float32, precision, ranges)
    runtime = opener_for("tflite").open_model(data, 1)
    assert runtime.input_spec.dtype == runtime.output_spec.dtype == dtype
    assert snr_db(float32, data, random_inputs(20)) > least_db


def test_only_an_operator_without_an_integer_kernel_or_to_be_kept_is_float(float32: bytes, ranges: Ranges) -> None:
    plain, quantized = kinds(float32), kinds(quantize_tflite(float32, "int8", ranges))
    place = plain.index("LEAKY_RELU")
    assert quantized == [*plain[:place], "DEQUANTIZE", "LEAKY_RELU", "QUANTIZE", *plain[place + 1 :]]
    kept = next(name for _, name, kind in activations(open_tflite(float32)) if kind == "CONV_2D")
    plain, mended = (kinds(quantize_tflite(float32, "int8", ranges, keep)) for keep in ((), (kept,)))
    place = plain.index("CONV_2D")
    assert plain.count("CONV_2D") == 2
    assert mended == [*plain[:place], "DEQUANTIZE", "CONV_2D", "QUANTIZE", *plain[place + 1 :]]


def test_weights_have_a_scale_for_each_channel(float32: bytes, ranges: Ranges) -> None:
    tensors = open_tflite(quantize_tflite(float32, "int8", ranges)).get_tensor_details()
    kernels = [tensor for tensor in tensors if tuple(tensor["shape"]) == (4, 3, 3, 3)]
    assert [len(kernel["quantization_parameters"]["scales"]) for kernel in kernels] == [4]


@pytest.mark.parametrize("precision", ["int8", "dynamic"])
def test_a_file_of_an_early_converter_is_quantized_like_any_other(float32: bytes, ranges: Ranges, precision: str) -> None:
    """It has the earlier of an operator's two codes alone, as the meter's digits of 2021 have."""
    model = to_object(float32)
    codes = [code.builtinCode for code in model.operatorCodes]
    for code in model.operatorCodes:
        code.builtinCode, code.deprecatedBuiltinCode = 0, code.builtinCode
    early = from_object(model)
    assert max(codes) > 0
    assert [code.builtinCode for code in to_object(early).operatorCodes] == codes
    made = [
        quantize_tflite(data, "int8", ranges) if precision == "int8" else with_narrow_weights(data, precision)
        for data in (float32, early)
    ]
    assert made[0] == made[1]


def test_16_bit_sums_take_scales_that_are_almost_powers_of_two() -> None:
    """Scales 2 / 32767 and 1 / 32767 look like powers of two, for which the kernel of ADD has other rules."""
    entry = keras.Input((4, 4, 1))
    model = keras.Model(entry, keras.layers.Rescaling(1 / 127.5, offset=-1)(entry))
    float32 = to_tflite(model, "float32", (4, 4, 1), "float32")
    inputs = np.linspace(0, 255, 64, dtype=np.float32).reshape(4, 4, 4, 1)
    assert snr_db(float32, quantize_tflite(float32, "int16x8", calibrate_tflite(float32, inputs)), inputs) > 60


@pytest.mark.parametrize("io", ["int8", "uint8", "float32"])
def test_openvino_opens_a_file_with_an_operator_in_float(float32: bytes, ranges: Ranges, io: IoName) -> None:
    kept = next(name for _, name, kind in activations(open_tflite(float32)) if kind == "CONV_2D")
    runtime = opener_for("openvino").open_model(quantize_tflite(float32, "int8", ranges, (kept,), io), 1)
    assert runtime.input_spec.dtype == io


def test_scales_are_those_of_the_ranges(float32: bytes, ranges: Ranges) -> None:
    scales = tflite_scales(quantize_tflite(float32, "int8", ranges))
    first = next(iter(ranges))
    assert scales[first] == pytest.approx((ranges[first][1] - min(ranges[first][0], 0)) / 255)
    wider = dict(ranges) | {first: (0.0, 510.0)}
    assert tflite_scales(quantize_tflite(float32, "int8", wider))[first] == pytest.approx(2)
