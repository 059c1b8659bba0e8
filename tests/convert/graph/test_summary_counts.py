"""Multiply-accumulates, parameters and peaks, against other tools and figures derived from the shapes."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import pytest
import tensorflow
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from onnxruntime import quantization
from tensorflow.python.framework import ops

from edgecnn.convert.tflite.converter import to_tflite
from edgecnn.edge.show.summary import summary_text
from tests.convert.graph.conftest import (
    FORMATS,
    Summarize,
    layers,
    summarized,
    written,
)
from tests.onnx_text import onnx_bytes

EXPECTED = {
    "convolutions": 15 * 15 * 8 * 9 * 2 + 8 * 8 * 16 * (9 + 6) + 8 * 8 * 6 * 9 * 5 + 16 * 16 * 4 * 9 * (5 + 1) + 4 * 3,
    "attention": 2 * 2 * 16 * 4 * 4 * 3 + 4 * (4 * 16 * 16) + 2 * (2 * 4 * 4 * 8) + 16 * 3,
    "solid": 4**3 * 4 * 3**3 * 2 + 4**3 * 4 * 2**3 * 3 + 8**3 * 3 * 3,
    "nested": 2 * (12 * 12 * 3 * 9 * 3) + 34 * 7 * 3 * 3 + 34 * 7 * 3,
}


@pytest.mark.parametrize("model_format", FORMATS)
@pytest.mark.parametrize("network", EXPECTED)
def test_every_kind_of_product_is_counted_the_same_in_each_format(summary: Summarize, network: str, model_format: str) -> None:
    found = summary(network, model_format)
    assert (found.macs, found.not_counted) == (EXPECTED[network], ())


@pytest.mark.parametrize("network", [*EXPECTED, "mission", "recurrent"])
def test_a_keras_model_has_as_many_parameters_as_keras_says(folder: Path, network: str) -> None:
    path = written(folder, network, "keras")
    found = summarized(path)
    assert found.parameters == keras.models.load_model(path).count_params()
    assert sum(layer.parameters for layer in found.layers) in (found.parameters, found.parameters - 2)  # A dropout's seed.


def test_a_cell_that_a_loop_runs_is_not_counted_once(folder: Path) -> None:
    found = summarized(written(folder, "recurrent", "keras"))
    cells = [layer for layer in found.layers if layer.kind.endswith("Cell")]
    assert cells
    assert {layer.macs for layer in cells} == {None}


def test_mobilenet_v2_has_its_published_300_million_which_is_half_of_tensorflows_own_count(folder: Path) -> None:
    model = keras.applications.MobileNetV2(weights=None)
    model.save(folder / "mobilenet.keras")
    found = summarized(folder / "mobilenet.keras")
    assert round(found.macs / 1e6, -1) == 300
    assert found.parameters == model.count_params()
    function = tensorflow.function(lambda image: model(image, training=False), autograph=False)
    graph = function.get_concrete_function(tensorflow.TensorSpec((1, 224, 224, 3))).graph
    kinds = ("Conv2D", "DepthwiseConv2dNative", "MatMul")
    operations = [item.node_def for item in graph.get_operations() if item.type in kinds]
    assert 2 * found.macs == sum(ops.get_stats_for_node_def(graph, item, "flops").value for item in operations)
    # The expanded image and its padded copy.
    assert found.peak_activation_bytes == 4 * 96 * (112 * 112 + 113 * 113)


class Calibration(quantization.CalibrationDataReader):  # type: ignore[misc]  # It has no types.
    def __init__(self) -> None:
        images = np.random.default_rng(0).uniform(0, 1, (4, 1, 28, 28, 1)).astype(np.float32)
        self._images = iter([{"image": image} for image in images])

    def get_next(self) -> Any:
        return next(self._images, None)


@pytest.fixture(scope="module")
def quantized(folder: Path) -> dict[str, Path]:
    """The mission's CNN as ONNX Runtime quantizes it, in three ways."""
    source, prepared = written(folder, "mission", "onnx"), folder / "prepared.onnx"
    quantization.shape_inference.quant_pre_process(source, prepared)
    made = {name: folder / f"{name}.onnx" for name in ("QDQ", "QOperator", "dynamic", "partly")}
    for name in ("QDQ", "QOperator"):
        quantization.quantize_static(prepared, made[name], Calibration(), quant_format=quantization.QuantFormat[name])
    first = next(node.name for node in onnx.load(prepared).graph.node if node.op_type == "Conv")
    quantization.quantize_static(prepared, made["partly"], Calibration(), nodes_to_exclude=[first])
    quantization.quantize_dynamic(prepared, made["dynamic"])
    return made


@pytest.mark.parametrize("name", ["QDQ", "QOperator"])
def test_onnx_integers_are_counted_as_the_float_file_is(quantized: dict[str, Path], name: str) -> None:
    found = summarized(quantized[name])
    assert (found.macs, found.parameters, found.not_counted) == (2_499_392, 34_506, ())
    # Biases have 32 bits.
    assert found.weight_bytes == 34_506 + 3 * (3 * 32 + 10)
    assert found.peak_activation_bytes == 28 * 28 * 32 + 14 * 14 * 32
    assert {"QDQ": "Conv", "QOperator": "QLinearConv"}[name] in {layer.kind for layer in found.layers}


def test_an_operator_left_in_float_among_integers_has_float_tensors(quantized: dict[str, Path]) -> None:
    found = summarized(quantized["partly"])
    assert found.macs == 2_499_392
    assert found.peak_activation_bytes is not None
    assert found.peak_activation_bytes >= 28 * 28 * 32 * 4
    first, *others = [layer.dtype for layer in found.layers if layer.kind == "Conv"]
    assert first == "float32"
    assert set(others) == {"int8"}


def test_dynamic_onnx_products_of_integers_are_counted(quantized: dict[str, Path]) -> None:
    found = summarized(quantized["dynamic"])
    assert (found.macs, found.not_counted) == (2_499_392, ())
    assert {"ConvInteger", "MatMulInteger"} <= {layer.kind for layer in found.layers}


def test_a_file_of_four_images_says_that_its_figures_are_for_four(folder: Path) -> None:
    model = onnx.load(written(folder, "mission", "onnx"))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 4
    del model.graph.value_info[:]
    for value in model.graph.initializer:  # The reshapes of tf2onnx may fix one image.
        numbers = onnx.numpy_helper.to_array(value)
        if numbers.dtype == np.int64 and numbers.size and numbers[0] == 1:
            value.CopyFrom(onnx.numpy_helper.from_array(np.array([4, *numbers[1:]]), value.name))
    onnx.save(model, folder / "four.onnx")
    found = summarized(folder / "four.onnx")
    assert (found.batch, found.macs) == (4, 4 * 2_499_392)
    assert "One inference of 4 images" in summary_text(found)


def test_the_peak_is_what_tflites_own_planner_finds_room_for(folder: Path) -> None:
    # Kernels of 1x1 and depthwise ones need no scratch buffer; without XNNPACK the arena is the interpreter's.
    entry = layers.Input((16, 16, 8))
    first = layers.Conv2D(8, 1)(entry)
    second = layers.DepthwiseConv2D(3, padding="same")(first)
    inner = layers.MaxPooling2D()(layers.Add()([first, second]))
    model = keras.Model(entry, layers.Conv2D(16, 1)(inner))
    path = folder / "arena.tflite"
    path.write_bytes(to_tflite(model, "float32", (16, 16, 8), "float32"))
    interpreter = Interpreter(str(path), experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES)
    interpreter.allocate_tensors()
    places = []
    for operator in interpreter._get_ops_details():
        for index in (operator["inputs"][0], *operator["outputs"]):
            array = interpreter.tensor(int(index))()
            start = array.__array_interface__["data"][0]
            places.append((start, start + array.nbytes))
            del array
    arena = max(end for _, end in places) - min(start for start, _ in places)
    peak = summarized(path).peak_activation_bytes
    assert peak == 3 * 16 * 16 * 8 * 4
    assert peak <= arena <= peak + 64 * len(places)  # Each tensor begins at a multiple of 64.


def test_text_is_at_most_100_columns_wide_and_hides_nothing(folder: Path, quantized: dict[str, Path]) -> None:
    for path in (written(folder, "attention", "keras"), written(folder, "attention", "tflite"), quantized["dynamic"]):
        found = summarized(path)
        text = summary_text(found)
        assert max(map(len, text.splitlines())) <= 100
        assert "…" not in text
        for layer in found.layers:
            assert f"{layer.parameters:,}" in text


def dense_onnx(shape: tuple[int, ...], path: Path) -> Path:
    """A file of one product with 3 columns, whose input sizes may be negative."""
    text = f"(float{[*shape]} x) => (float{[*shape[:-1], 3]} y) {{y = MatMul (x, w)}}"
    path.write_bytes(onnx_bytes(text, w=np.ones((abs(shape[-1]), 3), np.float32)))
    return path


def test_a_batch_of_minus_one_is_free_and_a_negative_size_inside_is_not_known(tmp_path: Path) -> None:
    found = summarized(dense_onnx((-1, 20), tmp_path / "free.onnx"))
    assert (found.batch, found.macs, found.layers[0].shape) == (1, 60, (1, 3))
    found = summarized(dense_onnx((1, -5, 20), tmp_path / "free.onnx"))
    assert (found.macs, len(found.not_counted)) == (0, 1)


def test_weights_of_four_bits_are_counted_although_two_share_a_byte(tmp_path: Path) -> None:
    text = "(float[n, 32] x) => (float[n, 3] y) {y = com.microsoft.MatMulNBits <K=32, N=3, bits=4, block_size=16> (x, w, s)}"
    weights, scales = np.ones((3, 2, 8), np.uint8), np.ones(6, np.float32)
    (tmp_path / "a.onnx").write_bytes(onnx_bytes(text, domains=("com.microsoft",), w=weights, s=scales))
    found = summarized(tmp_path / "a.onnx")
    assert (found.parameters, found.macs, found.weight_bytes, found.not_counted) == (96, 96, 48, ())
    text = "(int64[n] x) => (float[n, 32] y) {y = com.microsoft.GatherBlockQuantized <block_size=16> (w, x, s, z)}"
    constants = {"w": np.ones((3, 16), np.uint8), "s": np.ones((3, 2), np.float32), "z": np.ones((3, 1), np.uint8)}
    (tmp_path / "a.onnx").write_bytes(onnx_bytes(text, domains=("com.microsoft",), **constants))
    found = summarized(tmp_path / "a.onnx")
    assert (found.parameters, found.weight_bytes) == (96, 48)
    text = "(float[n, 32] x) => (float[n, 3] y) {y = my.domain.MatMulNBits (x, w, s)}"
    (tmp_path / "a.onnx").write_bytes(onnx_bytes(text, domains=("my.domain",), w=weights, s=scales))
    assert summarized(tmp_path / "a.onnx").parameters == 48  # Somebody else's operator of that name: its bytes.


@pytest.mark.parametrize(
    ("text", "constants"),
    [
        (
            "(int64[n, 5] x) => (float[n, 5, 24] y) {t = Gather (w, x) y = DequantizeLinear (t, s, z)}",
            {"w": np.ones((10, 24), np.int8), "s": np.float32(0.1), "z": np.int8(1)},
        ),
        (
            "(float[7, n, 4] x) => (float[7, 1, n, 6] y) {y = com.microsoft.DynamicQuantizeLSTM <hidden_size=6> "
            '(x, w, r, "", "", "", "", "", s, z, s, z)}',
            {
                "w": np.ones((1, 4, 24), np.int8),
                "r": np.ones((1, 6, 24), np.int8),
                "s": np.ones(1, np.float32),
                "z": np.ones(1, np.int8),
            },
        ),
    ],
    ids=["embedding", "LSTM"],
)
def test_the_bytes_of_a_table_or_a_cell_are_weights_and_its_scale_is_none(
    text: str, constants: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "a.onnx").write_bytes(onnx_bytes(text, domains=("com.microsoft",), **constants))
    found = summarized(tmp_path / "a.onnx")
    assert (found.parameters, found.weight_bytes) == (240, 240)


@pytest.mark.parametrize("model_format", ["tflite", "onnx"])
def test_the_length_of_a_waveform_is_no_batch(model_format: str, tmp_path: Path) -> None:
    path = tmp_path / f"wave.{model_format}"
    if model_format == "onnx":
        dense_onnx((15_600,), path)
    else:
        kernel = tensorflow.ones((15_600, 3))
        wave = tensorflow.TensorSpec((15_600,), tensorflow.float32)
        network = tensorflow.function(lambda x: tensorflow.reshape(x, (1, -1)) @ kernel, input_signature=[wave])
        converter = tensorflow.lite.TFLiteConverter.from_concrete_functions([network.get_concrete_function()])
        path.write_bytes(converter.convert())
    found = summarized(path)
    assert (found.batch, found.macs) == (1, 46_800)
