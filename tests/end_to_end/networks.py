"""Networks like users', for `edgecnn train --model networks:NAME`."""

from typing import Any

import keras
from keras import layers


def mobile(shape: tuple[int, int, int], classes: int) -> Any:
    """Depthwise-separable blocks with ReLU6, as in MobileNet; pixels are rescaled and normalized inside."""
    image = x = keras.Input(shape)
    x = layers.Rescaling(1 / 255)(x)
    x = layers.Normalization(mean=[0.35] * shape[-1], variance=[0.28**2] * shape[-1])(x)
    x = _block(layers.Conv2D(16, 3, strides=2, padding="same", use_bias=False), x)
    for filters, strides in ((24, 1), (32, 2), (32, 1)):
        x = _block(layers.DepthwiseConv2D(3, strides=strides, padding="same", use_bias=False), x)
        x = _block(layers.Conv2D(filters, 1, use_bias=False), x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, layers.Dense(classes, activation="softmax")(x))


def residual(shape: tuple[int, int, int], classes: int) -> Any:
    """Two residual blocks, one of them dilated; ends in logits."""
    image = x = keras.Input(shape)
    x = layers.Conv2D(16, 3, padding="same", activation="relu")(x)
    for dilation in (1, 2):
        inner = layers.Conv2D(16, 3, padding="same", dilation_rate=dilation, use_bias=False)(x)
        inner = layers.ReLU()(layers.BatchNormalization()(inner))
        x = layers.ReLU()(layers.Add()([x, layers.Conv2D(16, 3, padding="same")(inner)]))
        x = layers.MaxPooling2D(2)(x)
    return keras.Model(image, layers.Dense(classes)(layers.Flatten()(x)))


def _block(convolution: Any, x: Any) -> Any:
    return layers.ReLU(6.0)(layers.BatchNormalization()(convolution(x)))
