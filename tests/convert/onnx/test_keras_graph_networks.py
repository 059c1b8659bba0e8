"""edgecnn's own converter from Keras to ONNX on whole networks: edgecnn's own, and those of keras.applications."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import onnx
import pytest
from keras.src.applications import efficientnet, efficientnet_v2
from keras.src.applications.convnext import ConvNeXt
from keras.src.applications.densenet import DenseNet
from keras.src.applications.inception_resnet_v2 import inception_resnet_block
from keras.src.applications.resnet import ResNet, stack_residual_blocks_v1, stack_residual_blocks_v2
from numpy.typing import NDArray

from edgecnn.convert.onnx.convert import converted
from edgecnn.convert.onnx.source import KerasSource
from edgecnn.edge.runtimes import opener_for
from tools.claims.converters import images_of, settle

SHAPE = (32, 32, 3)


def answers(model: Any, images: NDArray[np.float32], channels_first: bool) -> NDArray[np.float32]:
    source = KerasSource(model, images.shape[1:], "float32", "probabilities", channels_first=channels_first)
    data = converted(source, "edgecnn").data
    onnx.checker.check_model(onnx.load_from_string(data), full_check=True)
    return opener_for("onnx").open_model(data, 1).run(images.transpose(0, 3, 1, 2) if channels_first else images)


@pytest.mark.parametrize("channels_first", [False, True])
def test_each_of_edgecnn_s_networks_computes_the_same(own_network: tuple[Any, ...], channels_first: bool) -> None:
    model, images, expected = own_network
    assert np.abs(answers(model, images, channels_first) - expected).max() <= 1e-5


@pytest.mark.parametrize(("name", "side"), [("MobileNetV2", 96), ("MobileNetV3Small", 32)])
def test_networks_of_keras_compute_the_same(name: str, side: int) -> None:
    keras.utils.set_random_seed(0)
    require_same(getattr(keras.applications, name)(input_shape=(side, side, 3), weights=None, classes=10))


def resnet() -> Any:
    def stacks(x: Any) -> Any:
        return stack_residual_blocks_v1(stack_residual_blocks_v1(x, 8, 2, stride1=1, name="a"), 16, 2, name="b")

    return ResNet(stacks, preact=False, use_bias=True, weights=None, input_shape=SHAPE, classes=10)


def resnet_v2() -> Any:
    def stacks(x: Any) -> Any:
        return stack_residual_blocks_v2(stack_residual_blocks_v2(x, 8, 2, name="a"), 16, 2, stride1=1, name="b")

    return ResNet(stacks, preact=True, use_bias=True, weights=None, input_shape=SHAPE, classes=10)


def efficientnet_b0() -> Any:
    """Blocks that widen nothing, that are repeated, and with kernels of 5."""
    blocks = efficientnet.DEFAULT_BLOCKS_ARGS[:3]
    return efficientnet.EfficientNet(1.0, 1.0, 224, blocks_args=blocks, weights=None, input_shape=SHAPE, classes=10)


def efficientnet_v2_b0() -> Any:
    """Blocks of one convolution that widen nothing or are repeated, and of two."""
    given = efficientnet_v2.DEFAULT_BLOCKS_ARGS["efficientnetv2-b0"]
    blocks = [given[0], given[1], {**given[3], "num_repeat": 2}]
    return efficientnet_v2.EfficientNetV2(1.0, 1.0, 224, blocks_args=blocks, weights=None, input_shape=SHAPE, classes=10)


def densenet() -> Any:
    return DenseNet((2, 1, 1, 1), weights=None, input_shape=SHAPE, classes=10)


def convnext() -> Any:
    """Its layers' factors are large enough to be seen."""
    sizes = {"depths": (1, 1, 1, 1), "projection_dims": (8, 16, 16, 16), "layer_scale_init_value": 0.5}
    return ConvNeXt(**sizes, weights=None, input_shape=SHAPE, classes=10)


def inception_resnet() -> Any:
    entry = x = keras.Input(SHAPE)
    for kind in ("block35", "block17", "block8"):
        x = inception_resnet_block(keras.layers.AveragePooling2D(3, 2, "same")(x), 0.17, kind, 0)
    return keras.Model(entry, keras.layers.Dense(10, activation="softmax")(keras.layers.GlobalAveragePooling2D()(x)))


def xception() -> Any:
    """Its first block, of which Keras has no function."""
    layers = keras.layers
    entry = keras.Input(SHAPE)
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(8, 3, strides=2, use_bias=False)(entry)))
    beside = layers.BatchNormalization()(layers.Conv2D(16, 1, strides=2, padding="same", use_bias=False)(x))
    x = layers.BatchNormalization()(layers.SeparableConv2D(16, 3, padding="same", use_bias=False)(x))
    x = layers.SeparableConv2D(16, 3, padding="same", use_bias=False)(layers.ReLU()(x))
    x = layers.Add()([layers.MaxPooling2D(3, 2, "same")(layers.BatchNormalization()(x)), beside])
    return keras.Model(entry, layers.Dense(10, activation="softmax")(layers.GlobalAveragePooling2D()(x)))


@pytest.mark.parametrize(
    "build", [resnet, resnet_v2, efficientnet_b0, efficientnet_v2_b0, densenet, convnext, inception_resnet, xception]
)
def test_short_networks_of_keras_s_other_blocks_compute_the_same(build: Callable[[], Any]) -> None:
    keras.utils.set_random_seed(0)
    require_same(build())


def require_same(model: Any) -> None:
    images = images_of(tuple(model.input_shape[1:]))
    settle(model, images)
    expected = np.asarray(model(images))  # `predict` would compile it with XLA, which takes longer than all else here.
    assert np.ptp(expected, axis=0).max() > 0.02
    found = answers(model, images, channels_first=False)
    assert np.abs(found - expected).max() <= 1e-5
    np.testing.assert_array_equal(found.argmax(axis=1), expected.argmax(axis=1))
