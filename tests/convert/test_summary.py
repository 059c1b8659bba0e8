"""What files cost, against figures of other tools and such as follow from the shapes; real files of each format."""

from collections.abc import Callable
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

from convert.model import build_cnn
from convert.summary import Summary, summarize
from convert.summary_text import summary_text
from convert.to_onnx import to_onnx
from convert.to_tflite import to_tflite
from edge.errors import ArtifactError, ConfigError
from edge.model_file import ModelFile, read_model

FORMATS = ("keras", "tflite", "onnx")
layers = keras.layers

Summarize = Callable[[str, str], Summary]


def mission() -> Any:
    return build_cnn((28, 28, 1), 10)


def convolutions() -> Any:
    """15x15x4: grouped, separable, transposed, dilated, depthwise and dilated."""
    entry = layers.Input((15, 15, 4))
    inner = layers.Conv2D(8, 3, groups=2, padding="same")(entry)
    inner = layers.SeparableConv2D(6, 3, strides=2, padding="same", depth_multiplier=2)(inner)
    inner = layers.Conv2DTranspose(5, 3, strides=2, padding="same")(inner)
    inner = layers.Conv2D(4, 3, dilation_rate=2, padding="same")(inner)
    inner = layers.DepthwiseConv2D(3, dilation_rate=2, padding="same")(inner)
    inner = layers.Dropout(0.2)(layers.ReLU()(inner * 2 + inner))
    return keras.Model(entry, layers.Dense(3, activation="softmax")(layers.GlobalAveragePooling2D()(inner)))


def attention() -> Any:
    entry = layers.Input((8, 8, 3))
    inner = layers.Reshape((4, 16))(layers.Conv2D(16, 4, strides=4)(entry))
    inner = layers.Add()([inner, layers.MultiHeadAttention(2, 8)(inner, inner)])
    return keras.Model(entry, layers.Dense(3, activation="softmax")(layers.GlobalAveragePooling1D()(inner)))


def solid() -> Any:
    entry = layers.Input((6, 6, 6, 2))
    inner = layers.Conv3DTranspose(3, 2, strides=2)(layers.Conv3D(4, 3)(entry))
    return keras.Model(entry, layers.Dense(3)(layers.Flatten()(inner)))


def nested() -> Any:
    """A model in a model, one layer of it used twice."""
    twice = layers.Conv2D(3, 3, padding="same", name="twice")
    start = layers.Input((12, 12, 3))
    inner = keras.Model(start, layers.MaxPooling2D()(twice(twice(start))), name="inner")
    entry = layers.Input((12, 12, 3))
    rows = layers.Reshape((36, 3))(inner(layers.Rescaling(1 / 255)(entry)))
    return keras.Model(entry, layers.Dense(3, activation="softmax")(layers.Flatten()(layers.Conv1D(7, 3)(rows))))


def recurrent() -> Any:
    entry = layers.Input((8, 8))
    return keras.Model(entry, layers.Dense(3, activation="softmax")(layers.LSTM(5)(entry)))


NETWORKS = {make.__name__: make for make in (mission, convolutions, attention, solid, nested, recurrent)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("networks")


def written(folder: Path, network: str, model_format: str) -> Path:
    """Return the file of a network, written at its first use. Weights are random, biases too: converters join equal ones."""
    path = folder / f"{network}.{model_format}"
    if path.exists():
        return path
    saved = path.with_suffix(".keras")
    if not saved.exists():
        keras.utils.set_random_seed(0)
        model = NETWORKS[network]()
        rng = np.random.default_rng(0)
        for weight in model.weights:
            if "seed" not in weight.name:
                weight.assign(rng.uniform(0.1, 0.9, weight.shape))
        model.save(saved)
    model = keras.models.load_model(saved)
    shape = tuple(model.inputs[0].shape[1:])
    if model_format == "tflite":
        path.write_bytes(to_tflite(model, "float32", shape, "float32"))
    elif model_format == "onnx":
        path.write_bytes(to_onnx(model, shape, "float32", "probabilities"))
    return path


def summarized(path: Path, signature: str | None = None) -> Summary:
    return summarize(path.name, read_model(path), signature=signature)


@pytest.fixture
def summary(folder: Path) -> Summarize:
    return lambda network, model_format: summarized(written(folder, network, model_format))


@pytest.mark.parametrize("model_format", FORMATS)
def test_a_damaged_file_is_an_error(folder: Path, model_format: str) -> None:
    data = written(folder, "mission", model_format).read_bytes()
    for part in (data[: len(data) // 2], data[:9]):
        file = ModelFile(Path("cut"), model_format, part, None, None, None)
        with pytest.raises(ArtifactError, match="again"):
            summarize("cut", file)


@pytest.mark.parametrize("model_format", FORMATS)
def test_a_loop_is_not_counted_but_named_and_its_weights_are(summary: Summarize, model_format: str) -> None:
    found = summary("recurrent", model_format)
    assert found.not_counted
    assert any("lstm" in name.lower() for name in found.not_counted)
    assert found.parameters >= 4 * 5 * (8 + 5 + 1) + 18
    text = summary_text(found)
    assert "not counted" in text
    assert f"{found.macs:,} MACs and those not counted" in text


def test_an_operator_of_a_domain_of_its_own_is_not_taken_for_the_one_of_that_name(folder: Path) -> None:
    model = onnx.load(written(folder, "mission", "onnx"))
    next(node for node in model.graph.node if node.op_type == "Relu").domain = "somebody"
    model.opset_import.append(onnx.helper.make_opsetid("somebody", 1))
    onnx.save(model, folder / "foreign.onnx")
    found = summarized(folder / "foreign.onnx")
    assert found.not_counted[0].startswith("Relu ")
    assert any("ONNX Runtime could not run the file" in note for note in found.notes)
    assert found.peak_activation_bytes is None


@pytest.mark.parametrize("model_format", FORMATS)
def test_where_the_image_size_is_open_neither_convolutions_nor_peak_are_counted(folder: Path, model_format: str) -> None:
    entry = layers.Input((None, None, 3))
    model = keras.Model(entry, layers.Dense(3)(layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, name="open")(entry))))
    path = folder / f"free.{model_format}"
    if model_format == "keras":
        model.save(path)
    elif model_format == "tflite":
        path.write_bytes(tensorflow.lite.TFLiteConverter.from_keras_model(model).convert())
    else:
        path.write_bytes(to_onnx(model, (None, None, 3), "float32", "logits"))  # type: ignore[arg-type]  # Open sizes.
    found = summarized(path)
    assert (found.macs, found.peak_activation_bytes, found.peak_layer) == (12, None, None)
    assert [name.split()[0].lower().replace("_", "") for name in found.not_counted] in (["conv2d"], ["conv"])
    assert "Peak activations: not known." in summary_text(found)


def test_one_of_several_signatures_has_to_be_named(folder: Path) -> None:
    class Two(tensorflow.Module):  # type: ignore[misc]  # It has no types.
        @tensorflow.function(input_signature=[tensorflow.TensorSpec((1, 4))])  # type: ignore[untyped-decorator]
        def small(self, x: Any) -> Any:
            return {"y": tensorflow.nn.softmax(x)}

        @tensorflow.function(input_signature=[tensorflow.TensorSpec((1, 6))])  # type: ignore[untyped-decorator]
        def large(self, x: Any) -> Any:
            return {"y": tensorflow.matmul(x, tensorflow.reshape(tensorflow.range(12.0), (6, 2)))}

    module = Two()
    tensorflow.saved_model.save(module, str(folder / "two"), signatures={"small": module.small, "large": module.large})
    converter = tensorflow.lite.TFLiteConverter.from_saved_model(str(folder / "two"), signature_keys=["small", "large"])
    path = folder / "two.tflite"
    path.write_bytes(converter.convert())
    for signature in (None, "medium"):
        with pytest.raises(ConfigError, match="small"):
            summarized(path, signature)
    assert summarized(path, "small").macs == 0
    assert summarized(path, "large").macs == 12


@pytest.mark.parametrize("model_format", ["keras", "onnx"])
def test_a_format_without_signatures_refuses_the_name_of_one(folder: Path, model_format: str) -> None:
    with pytest.raises(ConfigError, match="has no signatures"):
        summarized(written(folder, "mission", model_format), "small")


@pytest.mark.parametrize("model_format", FORMATS)
def test_the_missions_cnn_has_the_multiply_accumulates_that_its_shapes_say(summary: Summarize, model_format: str) -> None:
    found = summary("mission", model_format)
    counts = [layer.macs for layer in found.layers if layer.macs]
    assert counts == [28 * 28 * 9 * 1 * 32, 14 * 14 * 9 * 32 * 32, 7 * 7 * 9 * 32 * 32, 15_680]
    assert (found.macs, found.batch, found.not_counted) == (2_499_392, 1, ())
    # Exports fold the four times 32 numbers of three batch normalisations into kernels and biases.
    assert found.parameters == {"keras": 34_890}.get(model_format, 34_890 - 3 * 4 * 32)
    assert found.weight_bytes == 4 * found.parameters
    assert sum(layer.parameters for layer in found.layers) == found.parameters


def test_the_missions_cnn_peaks_where_two_large_tensors_meet(summary: Summarize) -> None:
    large = 28 * 28 * 32 * 4
    assert summary("mission", "keras").peak_activation_bytes == 2 * large
    assert summary("mission", "onnx").peak_activation_bytes == 2 * large
    # TFLite's converter makes the ReLU a part of the convolution.
    found = summary("mission", "tflite")
    assert found.peak_activation_bytes == large + large // 4
    assert "MAX_POOL_2D" in summary_text(found).split("Peak activations: ")[1].splitlines()[0]


def test_layers_that_do_nothing_and_operators_of_the_model_have_rows_too(summary: Summarize) -> None:
    kinds = [layer.kind for layer in summary("convolutions", "keras").layers]
    assert "Dropout" in kinds
    assert "Functional: AddV2" in kinds


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
    """The mission's CNN as ONNX Runtime quantises it, in three ways."""
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
    for value in model.graph.initializer:  # The reshapes of tf2onnx may say one image.
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
