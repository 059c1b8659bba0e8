"""An int8 .onnx file is QDQ, close to the float file, and keeps the requested operators in float."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from edgecnn.convert.export.converters import Ranges
from edgecnn.convert.onnx import converter as module
from edgecnn.convert.onnx.convert import to_onnx
from edgecnn.convert.onnx.converter import (
    CALIBRATIONS,
    calibrate_onnx,
    onnx_scales,
    prepare_onnx,
    quantize_dynamic_onnx,
    quantize_onnx,
)
from edgecnn.edge.errors import ConversionError
from edgecnn.edge.formats import CalibrationName
from edgecnn.edge.runtimes import opener_for
from tests.convert.conftest import RandomInputs, noise_ratio


@pytest.fixture(scope="module")
def prepared(residual: Any) -> bytes:
    return prepare_onnx(to_onnx(residual, (8, 8, 3), "float32", "logits"))


@pytest.fixture
def ranges(prepared: bytes, random_inputs: RandomInputs) -> Ranges:
    return calibrate_onnx(prepared, random_inputs(20), "minmax")


def nodes(data: bytes) -> dict[str, onnx.NodeProto]:
    """Return the node of each output."""
    return {node.output[0]: node for node in onnx.load_from_string(data).graph.node}


def test_a_model_that_gives_nan_can_not_be_calibrated(prepared: bytes, random_inputs: RandomInputs) -> None:
    inputs = random_inputs(3)
    inputs[1, 4, 4, 1] = np.inf
    with pytest.raises(ConversionError, match=r"ONNX: .*not finite.*calibration image"):
        calibrate_onnx(prepared, inputs, "minmax")


def test_a_quantizer_that_fails_is_named() -> None:
    with pytest.raises(ConversionError, match=r"ONNX int8:.*can't prepare.*: omit int8"):
        prepare_onnx(b"no model")


@pytest.mark.parametrize("method", CALIBRATIONS)
def test_it_is_close_to_the_float_file(prepared: bytes, random_inputs: RandomInputs, method: CalibrationName) -> None:
    inputs = random_inputs(20)
    data = quantize_onnx(prepared, calibrate_onnx(prepared, inputs, method))
    outputs, expected = (opener_for("onnx").open_model(file, 1).run(inputs) for file in (data, prepared))
    assert noise_ratio(outputs, expected) > 20


def test_a_dynamic_file_takes_its_ranges_at_run_time(prepared: bytes, random_inputs: RandomInputs) -> None:
    data, inputs = quantize_dynamic_onnx(prepared), random_inputs(20)
    kinds = {node.op_type for node in nodes(data).values()}
    assert {"ConvInteger", "MatMulInteger", "DynamicQuantizeLinear"} <= kinds
    assert "Conv" not in kinds
    for images in (inputs, inputs * 50):
        outputs, expected = (opener_for("onnx").open_model(file, 1).run(images) for file in (data, prepared))
        assert noise_ratio(outputs, expected) > 20


def test_operators_without_names_are_quantized_too(random_inputs: RandomInputs) -> None:
    entry = keras.Input((8, 8, 3))
    scores = keras.layers.Dense(4, activation="softmax")(keras.layers.Flatten()(keras.layers.Conv2D(3, 3)(entry)))
    model = onnx.load_from_string(prepare_onnx(to_onnx(keras.Model(entry, scores), (8, 8, 3), "float32", "probabilities")))
    for node in model.graph.node:
        node.name = ""
    prepared = model.SerializeToString()
    data = quantize_onnx(prepared, calibrate_onnx(prepared, random_inputs(20), "minmax"))
    assert {"QuantizeLinear", "DequantizeLinear"} <= {node.op_type for node in nodes(data).values()}


@pytest.mark.parametrize("quantize", [lambda data: quantize_onnx(data, {}), quantize_dynamic_onnx], ids=["int8", "dynamic"])
def test_a_file_of_which_nothing_is_quantized_is_refused(quantize: Callable[[bytes], bytes]) -> None:
    entry = keras.Input((8, 8, 3))
    sums = keras.ops.sum(keras.ops.exp(entry), axis=(1, 2))
    model = keras.Model(entry, keras.layers.Softmax()(sums))
    data = prepare_onnx(to_onnx(model, (8, 8, 3), "float32", "probabilities"))
    with pytest.raises(ConversionError, match="quantizes none"):
        quantize(data)


def test_a_layer_that_is_used_twice_is_close_to_the_float_file(random_inputs: RandomInputs) -> None:
    entry, twice = keras.Input((8, 8, 3)), keras.layers.Conv2D(3, 3, padding="same", activation="relu")
    model = keras.Model(entry, keras.layers.Dense(4)(keras.layers.Flatten()(twice(twice(entry)))))
    prepared, inputs = prepare_onnx(to_onnx(model, (8, 8, 3), "float32", "logits")), random_inputs(20)
    data = quantize_onnx(prepared, calibrate_onnx(prepared, inputs, "minmax"))
    outputs, expected = (opener_for("onnx").open_model(file, 1).run(inputs) for file in (data, prepared))
    assert noise_ratio(outputs, expected) > 20


def test_each_method_has_ranges_of_its_own(prepared: bytes, random_inputs: RandomInputs) -> None:
    inputs = np.abs(random_inputs(200) / 255 - 0.5) ** 3 * 2000
    found = [calibrate_onnx(prepared, inputs, method) for method in CALIBRATIONS]
    for first, second in ((0, 1), (0, 2), (1, 2)):
        assert found[first] != found[second]


def test_minmax_is_the_smallest_and_largest_value_of_any_image(prepared: bytes, random_inputs: RandomInputs) -> None:
    inputs = random_inputs(20)  # More than one batch.
    inputs[7, 0, 0, 0], inputs[19, 0, 0, 0] = -300, 700
    assert calibrate_onnx(prepared, inputs, "minmax")["image"] == (-300, 700)


def test_few_activations_are_in_memory_at_a_time(
    prepared: bytes, random_inputs: RandomInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[int] = []
    reader = module._reader

    def noting(calibrator: Any, batch: NDArray[Any]) -> Any:
        batches.append(len(batch))
        return reader(calibrator, batch)

    monkeypatch.setattr(module, "_reader", noting)
    calibrate_onnx(prepared, random_inputs(20), "minmax")
    assert batches == [8, 8, 4]


def test_every_convolution_reads_integers(prepared: bytes, ranges: Ranges) -> None:
    made = nodes(quantize_onnx(prepared, ranges))
    for node in made.values():
        if node.op_type in ("Conv", "Gemm"):
            assert {made[name].op_type for name in node.input[:2]} == {"DequantizeLinear"}


def test_the_operators_to_keep_are_float_and_no_others(prepared: bytes, ranges: Ranges) -> None:
    readers = {entry: name for name, node in nodes(prepared).items() for entry in node.input}
    first = next(name for name, node in nodes(prepared).items() if node.op_type == "Conv" and "depthwise" in name)
    second = readers[first]
    made = nodes(quantize_onnx(prepared, ranges, (first, second)))
    assert made[second].input[0] == first
    assert {entry in made for entry in (*made[first].input[1:], *made[second].input[1:])} == {False}  # Float constants.
    others = [node for name, node in made.items() if node.op_type == "Conv" and name not in (first, second)]
    assert others
    assert {made[entry].op_type for node in others for entry in node.input[:2]} == {"DequantizeLinear"}


def test_probabilities_are_not_quantized_and_logits_are(bad_network: Any, prepared: bytes, ranges: Ranges) -> None:
    probabilities = prepare_onnx(bad_network.float32["onnx"])
    found = calibrate_onnx(probabilities, bad_network.inputs[:20], "minmax")
    assert nodes(quantize_onnx(probabilities, found))["probabilities"].op_type == "Softmax"
    assert nodes(quantize_onnx(prepared, ranges))["logits"].op_type == "DequantizeLinear"


def test_reshaped_probabilities_are_not_quantized_either() -> None:
    layers = keras.layers
    model = keras.Sequential([keras.Input((3, 3, 2)), layers.Flatten(), layers.Dense(4, "softmax"), layers.Reshape((2, 2))])
    made = prepare_onnx(to_onnx(model, (3, 3, 2), "float32", "probabilities"))
    images = np.random.default_rng(0).random((20, 3, 3, 2), np.float32)
    quantized = nodes(quantize_onnx(made, calibrate_onnx(made, images, "minmax")))
    end = quantized["probabilities"]
    assert (end.op_type, quantized[end.input[0]].op_type) == ("Reshape", "Softmax")


def test_scales_are_those_of_the_ranges(prepared: bytes, ranges: Ranges) -> None:
    name = "image/channels_first"
    scales = onnx_scales(quantize_onnx(prepared, dict(ranges) | {name: (0.0, 510.0)}))
    assert scales[name] == pytest.approx(2)
