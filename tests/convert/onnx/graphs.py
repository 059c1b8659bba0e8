"""Models for the tests of edgecnn's own converter from Keras to ONNX, and what they must show."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import onnx
from keras import layers

from edgecnn.convert.onnx.keras_graph.emit import emitted
from edgecnn.convert.onnx.source import KerasSource
from edgecnn.edge.runtimes import opener_for

SHAPE = (9, 10, 6)


def randomized(model: Any) -> Any:
    """Give a model weights and moving averages that show what is left out or mixed up."""
    rng = np.random.default_rng(0)
    for variable in model.variables:
        values = rng.uniform(0.5, 1.5, variable.shape) if "variance" in variable.path else rng.normal(0, 0.5, variable.shape)
        if "seed" not in variable.path:
            variable.assign(values.astype(variable.dtype))
    return model


def computes_the_same(model: Any, opset: int = 17, channels_first: bool = False, scale: float = 1.0) -> onnx.ModelProto:
    """Check that the file computes what Keras computes, for three images at once; return it."""
    (entry,) = randomized(model).inputs
    source = KerasSource(model, tuple(entry.shape[1:]), entry.dtype, "logits", opset, channels_first)
    made = emitted(source)
    onnx.checker.check_model(made, full_check=True)
    images = np.random.default_rng(1).normal(0, scale, (3, *source.shape)).astype(np.float32)
    if entry.dtype != "float32":
        images = np.random.default_rng(1).integers(0, 256, images.shape).astype(entry.dtype)
    expected = np.asarray(model(images, training=False))
    given = images.transpose(0, 3, 1, 2) if channels_first else images
    outputs = opener_for("onnx").open_model(made.SerializeToString(), 1).run(given)
    assert outputs.shape == expected.shape
    assert np.abs(outputs - expected).max() <= 1e-5 * max(1, np.abs(expected).max())
    return made


def kinds(made: onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in made.graph.node)


def after_convolution(*following: Any) -> Any:
    """A convolution, so that channels are first, then layers."""
    return keras.Sequential([keras.Input(SHAPE), layers.Conv2D(6, 1, name="entry"), *following])


def functional(build: Callable[[Any], Any], shape: tuple[int, ...] = SHAPE) -> Any:
    entry = keras.Input(shape)
    return keras.Model(entry, build(entry))


def layer_name(layer: Any) -> str:
    config = {
        name: value
        for name, value in layer.get_config().items()
        if name in ("padding", "strides", "groups", "dilation_rate", "activation", "interpolation", "axis", "keepdims")
    }
    return f"{type(layer).__name__}-{'-'.join(f'{name}={value}' for name, value in config.items())}"[:90]
