"""edgecnn's own converter from Keras to ONNX: each layer and function that it knows computes what Keras computes."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import activations, layers, ops

from edgecnn.convert.onnx.keras_graph.shapes import TRAINING_ALONE
from tests.convert.onnx.graphs import SHAPE, after_convolution, computes_the_same, functional, kinds, layer_name

ON_MAPS = [
    *(
        layers.Conv2D(4, kernel, strides=strides, padding=padding, dilation_rate=dilation, groups=groups, use_bias=bias)
        for kernel, strides, padding, dilation, groups, bias in [
            (3, 1, "same", 1, 1, True),
            (3, 1, "valid", 1, 1, False),
            (3, 2, "same", 1, 1, True),
            ((2, 5), (3, 2), "same", 1, 1, True),
            (4, 2, "valid", 1, 1, True),
            (3, 1, "same", 2, 1, True),
            (3, 1, "valid", (1, 3), 1, True),
            (3, 2, "same", 1, 2, True),
            (1, 3, "same", 1, 1, True),
        ]
    ),
    layers.Conv2D(4, 3, activation="relu"),
    layers.DepthwiseConv2D(3, padding="same"),
    layers.DepthwiseConv2D(3, strides=2, padding="same", depth_multiplier=2, use_bias=False),
    layers.DepthwiseConv2D(3, padding="same", dilation_rate=2, activation="relu6"),
    layers.SeparableConv2D(5, 3, strides=2, padding="same", depth_multiplier=2, activation="silu"),
    layers.SeparableConv2D(5, 3, use_bias=False),
    layers.Conv2DTranspose(4, 3, strides=2, padding="same"),
    layers.Conv2DTranspose(4, 3, strides=2, padding="valid", use_bias=False),
    layers.Conv2DTranspose(4, 2, strides=3, padding="same", activation="relu"),
    layers.Conv2DTranspose(4, (4, 2), strides=(1, 3), padding="valid"),
    *(
        kind(size, strides=strides, padding=padding)
        for kind in (layers.MaxPooling2D, layers.AveragePooling2D)
        for size, strides, padding in [(2, None, "valid"), (3, 2, "same"), ((2, 3), (2, 1), "same"), (3, 1, "valid")]
    ),
    layers.GlobalAveragePooling2D(),
    layers.GlobalAveragePooling2D(keepdims=True),
    layers.GlobalMaxPooling2D(),
    layers.GlobalMaxPooling2D(keepdims=True),
    layers.ZeroPadding2D(((1, 2), (0, 3))),
    layers.Cropping2D(((1, 2), (0, 3))),
    layers.UpSampling2D((2, 3)),
    layers.UpSampling2D(2, interpolation="bilinear"),
    layers.Permute((3, 1, 2)),
    layers.Reshape((10, 54)),
    layers.Reshape((-1, 5, 6)),
    layers.Flatten(),
    layers.Dense(4, activation="tanh"),
    layers.BatchNormalization(),
    layers.BatchNormalization(scale=False, epsilon=0.1),
    layers.BatchNormalization(center=False),
    layers.LayerNormalization(),
    layers.LayerNormalization(axis=[1, 2, 3], epsilon=0.1, center=False, scale=False),
    layers.Rescaling(1 / 127.5, -1),
    layers.Rescaling([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
    layers.Normalization(mean=[0.1, 0.2, 0.3, 0.4, 0.5, 0.6], variance=[1, 2, 3, 4, 5, 6]),
    layers.Normalization(axis=None, mean=0.5, variance=4.0),
    layers.ReLU(),
    layers.ReLU(6.0),
    layers.ReLU(negative_slope=0.1),
    layers.ReLU(2.5, negative_slope=0.1),
    layers.LeakyReLU(),
    layers.LeakyReLU(negative_slope=0.05),
    layers.PReLU(),
    layers.PReLU(shared_axes=[1, 2]),
    layers.ELU(0.7),
    layers.Softmax(),
    layers.Softmax(axis=2),
    layers.Activation("relu"),
    layers.Identity(),
    layers.ActivityRegularization(0.1),
]


@pytest.mark.parametrize("layer", ON_MAPS, ids=layer_name)
@pytest.mark.parametrize("first", [False, True], ids=["on_the_image", "after_a_convolution"])
def test_a_layer_computes_the_same_on_a_feature_map(layer: Any, first: bool) -> None:
    layer = type(layer).from_config(layer.get_config())
    computes_the_same(after_convolution(layer) if first else keras.Sequential([keras.Input(SHAPE), layer]))


def test_every_layer_of_training_alone_does_nothing() -> None:
    given: dict[str, tuple[float, ...]] = {
        "ActivityRegularization": (),
        "Identity": (),
        "AugMix": (),
        "CutMix": (),
        "MixUp": (),
        "RandAugment": (),
    }
    given |= {"RandomErasing": (), "RandomFlip": (), "RandomGrayscale": (), "RandomInvert": (), "RandomPosterization": (4,)}
    given |= {"RandomTranslation": (0.2, 0.2)}
    every = {name for name in dir(layers) if name.startswith("Random")}
    assert every - set(TRAINING_ALONE) == {"RandomCrop"}  # It cuts in inference too.
    for name in TRAINING_ALONE:
        layer = getattr(layers, name)(*given.get(name, (0.2,)))
        model = keras.Sequential([keras.Input((8, 8, 3)), layer, layers.Conv2D(2, 1)])
        assert set(kinds(computes_the_same(model))) == {"Transpose", "Conv"}, name


@pytest.mark.parametrize("opset", [13, 14, 17])
@pytest.mark.parametrize(
    "name",
    [
        "relu", "relu6", "leaky_relu", "elu", "selu", "celu", "sigmoid", "tanh", "softplus", "softsign", "exponential",
        "hard_sigmoid", "hard_tanh", "hard_silu", "silu", "gelu", "mish", "softmax", "log_softmax", "linear",
    ],
)  # fmt: skip
def test_an_activation_computes_the_same_with_each_opset(name: str, opset: int) -> None:
    scale = 0.1 if name == "exponential" else 3  # Far enough to reach every branch.
    made = computes_the_same(
        after_convolution(layers.Activation(name), layers.Conv2D(2, 1, activation=name)), opset, scale=scale
    )
    assert made.opset_import[0].version == opset


def test_a_layer_that_is_called_for_training_does_nothing_where_keras_calls_the_model_for_inference() -> None:
    model = functional(lambda entry: layers.Conv2D(2, 1)(layers.Dropout(0.5)(entry, training=True)))
    assert set(kinds(computes_the_same(model))) == {"Transpose", "Conv"}


def test_layer_normalization_is_one_operator_from_opset_17_on() -> None:
    model = after_convolution(layers.LayerNormalization(epsilon=0.01), layers.Conv2D(2, 1))
    assert kinds(computes_the_same(model, 17))["LayerNormalization"] == 1
    assert kinds(computes_the_same(model, 16))["LayerNormalization"] == 0


OPERATIONS: list[Callable[[Any], Any]] = [
    lambda x: ops.relu(x) + ops.relu6(x) * 0.5,
    lambda x: (x + 3.0) * (1.0 / 6.0),
    lambda x: 2.0 - x / 4.0,
    lambda x: -x,
    lambda x: ops.sqrt(ops.exp(x)) - ops.abs(x),
    lambda x: ops.maximum(ops.minimum(x, 0.5), -0.5),
    lambda x: x * np.array([1, 2, 3, 4, 5, 6], np.float32),
    lambda x: x * np.arange(60, dtype=np.float32).reshape(10, 6),
    lambda x: ops.mean(x, axis=(1, 2)),
    lambda x: ops.mean(x, axis=[1, 2], keepdims=True) * x,
    lambda x: ops.max(x, axis=-1),
    lambda x: ops.max(x, axis=(1, 2)),
    lambda x: ops.min(x, axis=3, keepdims=True) + x,
    lambda x: ops.mean(x, axis=1),
    lambda x: ops.reshape(x, (-1, 54, 10)),
    lambda x: ops.transpose(x, (0, 3, 1, 2)),
    lambda x: ops.squeeze(ops.expand_dims(x, 2), 2) + x,
    lambda x: ops.concatenate([x, ops.sigmoid(x)], axis=-1),
    lambda x: ops.concatenate([x, ops.tanh(x)], axis=1),
    lambda x: ops.gelu(x) + ops.gelu(x, approximate=False),
    lambda x: ops.softmax(x) + ops.silu(x) + ops.hard_silu(x) + ops.hard_sigmoid(x),
    lambda x: ops.elu(x, 0.5) + ops.selu(x) + ops.leaky_relu(x, 0.3) + ops.softplus(x) + ops.softsign(x),
    lambda x: activations.relu(x, max_value=1.0),
    lambda x: layers.Add()([x, layers.Conv2D(6, 1)(x), x]),
    lambda x: layers.Subtract()([x, layers.Conv2D(6, 1)(x)]),
    lambda x: layers.Multiply()([x, layers.GlobalAveragePooling2D(keepdims=True)(x)]),
    lambda x: layers.Average()([x, layers.Conv2D(6, 1)(x), ops.relu(x)]),
    lambda x: layers.Maximum()([x, layers.Conv2D(6, 1)(x)]),
    lambda x: layers.Minimum()([x, layers.Conv2D(6, 1)(x)]),
    lambda x: layers.Concatenate()([x, layers.Conv2D(2, 1)(x)]),
    lambda x: layers.Concatenate(axis=2)([layers.Conv2D(6, 1)(x), x]),
]


@pytest.mark.parametrize("number", range(len(OPERATIONS)))
def test_functions_of_several_values_compute_the_same(number: int) -> None:
    computes_the_same(functional(OPERATIONS[number]))
    computes_the_same(functional(lambda entry: OPERATIONS[number](layers.Conv2D(6, 1, name="entry")(entry))))
