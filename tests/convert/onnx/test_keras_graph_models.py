"""edgecnn's own converter from Keras to ONNX: what it folds, shares and names, and what it refuses."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops
from numpy.typing import NDArray

from edgecnn.convert.onnx.convert import converted
from edgecnn.convert.onnx.keras_graph.emit import emitted
from edgecnn.convert.onnx.keras_graph.graph import Unsupported
from edgecnn.convert.onnx.source import KerasSource
from edgecnn.edge.errors import ConversionError
from edgecnn.edge.manifest import OnnxConversion
from edgecnn.edge.runtimes import opener_for
from tests.convert.onnx.graphs import SHAPE, after_convolution, computes_the_same, functional, kinds, layer_name


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("channels_first", [False, True])
@pytest.mark.parametrize(
    "between", [layers.Identity(), layers.Dropout(0.5), layers.ReLU(), layers.BatchNormalization()], ids=layer_name
)
def test_a_dense_layer_reads_a_flattened_map_in_keras_s_order(between: Any, channels_first: bool, channels: int) -> None:
    model = keras.Sequential(
        [
            keras.Input((6, 5, channels)),
            layers.Conv2D(4, 3),
            layers.Flatten(),
            type(between).from_config(between.get_config()),
            layers.Dense(7),
            layers.BatchNormalization(),
            layers.Activation("softmax"),
        ]
    )
    moved = kinds(computes_the_same(model, channels_first=channels_first))
    # Rows of the kernel move instead of a feature map, if nothing else reads it.
    last = int(not isinstance(between, layers.Identity | layers.Dropout))
    assert moved["Transpose"] == last + (channels > 1 and not channels_first)
    assert moved["Gemm"] == 1


def test_batch_normalization_and_padding_go_into_the_operator_before_or_after_them() -> None:
    def build(entry: Any) -> Any:
        first = layers.BatchNormalization()(layers.Conv2D(4, 3, strides=2, use_bias=False)(layers.ZeroPadding2D(2)(entry)))
        second = layers.BatchNormalization()(layers.DepthwiseConv2D(3, padding="same")(layers.ReLU()(first)))
        third = layers.BatchNormalization()(layers.Conv2DTranspose(5, 3)(second))
        return layers.BatchNormalization()(layers.Dense(3)(layers.GlobalAveragePooling2D()(third)))

    found = kinds(computes_the_same(functional(build)))
    assert found == Counter(Transpose=1, Conv=2, Relu=1, ConvTranspose=1, GlobalAveragePool=1, Reshape=1, Gemm=1)


def test_batch_normalization_stays_where_others_read_what_is_before_it() -> None:
    def build(entry: Any) -> Any:
        shared = layers.Conv2D(4, 3)(entry)
        return layers.Add()([shared, layers.BatchNormalization()(shared), layers.BatchNormalization()(layers.ReLU()(shared))])

    assert kinds(computes_the_same(functional(build)))["BatchNormalization"] == 2


def test_a_layer_that_is_called_twice_has_its_weights_once() -> None:
    twice = layers.Conv2D(6, 3, padding="same", name="twice")

    def build(entry: Any) -> Any:
        return layers.Flatten()(twice(layers.ReLU()(twice(entry))))

    made = computes_the_same(functional(build))
    assert [value.name for value in made.graph.initializer if value.dims == [6, 6, 3, 3]] == ["twice/kernel"]
    assert [node.output[0] for node in made.graph.node if node.op_type == "Conv"] == ["twice", "twice_2"]
    normalized = layers.BatchNormalization(), layers.BatchNormalization()
    computes_the_same(functional(lambda entry: normalized[1](twice(normalized[0](twice(entry))))))


def test_models_in_a_model_compute_the_same_and_name_their_layers() -> None:
    inner = keras.Sequential([keras.Input(SHAPE), layers.Conv2D(6, 3, padding="same", name="conv")], name="inner")
    block = functional(lambda entry: layers.Add(name="sum")([entry, inner(entry)]))
    block.name = "block"
    made = computes_the_same(functional(lambda entry: layers.GlobalAveragePooling2D(name="pooled")(block(block(entry)))))
    names = [node.output[0] for node in made.graph.node]
    assert [name for name in names if "conv" in name and "channels" not in name] == [
        "block/inner/conv", "block/inner/conv_2",
    ]  # fmt: skip
    assert names[-1] == "logits"


def test_a_layer_may_be_named_as_the_input_or_the_output_is() -> None:
    model = after_convolution(layers.Conv2D(4, 1, name="logits"), layers.ReLU(name="image"), layers.GlobalAveragePooling2D())
    made = computes_the_same(model)
    assert [value.name for value in (*made.graph.input, *made.graph.output)] == ["image", "logits"]


def test_a_layer_may_be_called_with_its_input_by_name() -> None:
    assert kinds(computes_the_same(functional(lambda entry: layers.Conv2D(4, 3)(inputs=entry))))["Conv"] == 1


def test_pixels_may_be_integers() -> None:
    entry = keras.Input((4, 4, 3), dtype="uint8")
    model = keras.Model(entry, layers.Conv2D(2, 3)(layers.Rescaling(1 / 255)(entry)))
    assert kinds(computes_the_same(model))["Cast"] == 1


class Doubled(layers.Layer):  # type: ignore[misc]  # Keras has no types.
    def call(self, inputs: Any) -> Any:
        return inputs * 2


class OtherReLU(layers.ReLU):  # type: ignore[misc]  # Keras has no types.
    def call(self, inputs: Any) -> Any:
        return -super().call(inputs)


def relu(values: Any) -> Any:
    """Not what its name says."""
    return -values


class Subclassed(keras.Model):  # type: ignore[misc]  # Keras has no types.
    def __init__(self) -> None:
        super().__init__()
        self.pool = layers.GlobalAveragePooling2D()

    def call(self, inputs: Any) -> Any:
        return self.pool(inputs)


REFUSED: list[tuple[Callable[[Any], Any], str]] = [
    (lambda x: Doubled(name="double")(x), "double is of the kind Doubled"),
    (lambda x: OtherReLU(name="other")(x), "other is of the kind OtherReLU"),
    (lambda x: layers.Lambda(lambda image: image, name="free")(x), "free is of the kind Lambda"),
    (lambda x: layers.Activation(relu, name="wrong")(x), "Activation wrong has the activation relu"),
    (lambda x: layers.ReLU(threshold=0.5, name="late")(x), "ReLU late has a threshold"),
    (lambda x: layers.BatchNormalization(name="rows", axis=1)(x), "BatchNormalization rows has axis=1"),
    (lambda x: layers.Conv2D(2, 3, data_format="channels_first", name="first")(x), "Conv2D first has its channels first"),
    (lambda x: layers.Conv2D(2, 3, dtype="mixed_float16", name="half")(x), "half computes in mixed_float16"),
    (lambda x: layers.Normalization(name="columns", axis=2, mean=[0.0] * 10, variance=[1.0] * 10)(x), "columns has axis="),
    (lambda x: ops.erfinv(x), "erfinv.* is of the kind Erfinv"),
    (lambda x: layers.GlobalAveragePooling2D()(x) * ops.mean(x, axis=(1, 2, 3), keepdims=True), "numbers of axes"),
    (lambda x: ops.max(x, axis=(1, 2), initial=5.0), "Max max.* begins with a value of its own"),
    (lambda x: layers.CenterCrop(4, 4, name="middle")(x), "middle is of the kind CenterCrop"),
    (lambda x: [x, layers.ReLU()(x)], "one output"),
]


@pytest.mark.parametrize(("build", "message"), REFUSED)
def test_what_it_does_not_know_is_refused_by_name(build: Callable[[Any], Any], message: str) -> None:
    with pytest.raises(Unsupported, match=message):
        emitted(KerasSource(functional(build), SHAPE, "float32", "logits"))


@pytest.mark.parametrize("factors", [[[1.0], [2.0], [3.0]], [[[1.0]], [[2.0]], [[3.0]]]], ids=["columns", "rows"])
def test_factors_of_rows_or_columns_are_not_taken_for_those_of_as_many_channels(factors: Any) -> None:
    model = functional(lambda entry: layers.Rescaling(factors, name="lines")(entry), (3, 3, 3))
    with pytest.raises(Unsupported, match=r"lines has factors of shape .* for 3 channels"):
        emitted(KerasSource(model, (3, 3, 3), "float32", "logits"))


def test_a_model_without_a_graph_is_refused() -> None:
    model = Subclassed()
    model(np.zeros((1, *SHAPE), np.float32))
    with pytest.raises(Unsupported, match="one image"):
        emitted(KerasSource(model, SHAPE, "float32", "logits"))
    with pytest.raises(Unsupported, match="is a Subclassed"):
        emitted(KerasSource(functional(lambda entry: Subclassed()(entry)), SHAPE, "float32", "logits"))
    free = functional(lambda entry: layers.Conv2D(1, 3)(entry), (None, None, 3))  # type: ignore[arg-type]  # Open sizes.
    with pytest.raises(Unsupported, match="takes images of any size"):
        emitted(KerasSource(free, (None, None, 3), "float32", "logits"))  # type: ignore[arg-type]  # Open sizes.


def unknown() -> KerasSource:
    model = functional(lambda entry: layers.GlobalAveragePooling2D()(layers.CenterCrop(4, 4, name="middle")(entry)))
    return KerasSource(model, SHAPE, "float32", "logits")


def test_tf2onnx_converts_what_it_does_not_know_and_the_record_says_why() -> None:
    made = converted(unknown(), None)
    assert made.conversion == OnnxConversion("tf2onnx", "middle is of the kind CenterCrop")
    assert "middle is of the kind CenterCrop" in made.conversion.text
    images = np.random.default_rng(0).random((2, *SHAPE), np.float32)
    outputs = opener_for("onnx").open_model(made.data, 1).run(images)
    np.testing.assert_allclose(outputs, np.asarray(unknown().model(images)), atol=1e-6)


def test_who_asks_for_it_gets_an_error_instead() -> None:
    with pytest.raises(ConversionError, match=r"middle is of the kind CenterCrop.*onnx_converter=tf2onnx"):
        converted(unknown(), "edgecnn")


def test_both_converters_give_the_same_numbers(residual: Any) -> None:
    source = KerasSource(residual, (8, 8, 3), "float32", "logits")
    images: NDArray[np.float32] = np.random.default_rng(0).uniform(0, 255, (3, 8, 8, 3)).astype(np.float32)
    own, other = (converted(source, converter) for converter in ("edgecnn", "tf2onnx"))
    assert (own.conversion, other.conversion) == (OnnxConversion("edgecnn"), OnnxConversion("tf2onnx"))
    first, second = (opener_for("onnx").open_model(made.data, 1).run(images) for made in (own, other))
    np.testing.assert_allclose(first, second, atol=1e-4)
