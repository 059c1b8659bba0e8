"""Networks of every kind of layer, each in a file written at its first use."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from edgecnn.convert.onnx.convert import to_onnx
from edgecnn.convert.tflite.converter import to_tflite
from edgecnn.convert.training.model.networks import build_cnn
from edgecnn.edge.graph.summary import Summary, summarize
from edgecnn.edge.model_file import read_model
from edgecnn.edge.sandbox.unverified import remember_made

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
    """A nested model, one of whose layers is used twice."""
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


def written(folder: Path, network: str, model_format: str) -> Path:
    """Return a network's file, written at its first use. Weights and biases are random, since converters merge equal ones."""
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
    file = read_model(path)
    remember_made(file.data)  # Our own file: no trial in a child process, which tests/test_unverified.py covers.
    return summarize(path.name, file, signature=signature)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("networks")


@pytest.fixture
def summary(folder: Path) -> Summarize:
    return lambda network, model_format: summarized(written(folder, network, model_format))
