"""A network like a user's, and its files in formats that take one image with channels first."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from edgecnn.convert.export.converters import Conversion, Converter, converter_for
from edgecnn.convert.export.runtime_releases import RuntimeRelease
from edgecnn.convert.keras.runtime import KerasRuntime
from edgecnn.convert.onnx.converter import calibrate_onnx, prepare_onnx, quantize_onnx
from edgecnn.convert.tflite.calibrate import calibrate_tflite
from edgecnn.convert.tflite.quantize import quantize_tflite
from edgecnn.convert.training.model.networks import build_network
from edgecnn.edge.data.splits import Split
from edgecnn.edge.model_file import ModelFile
from edgecnn.edge.runtimes import opener_for

RandomInputs = Callable[[int], NDArray[np.float32]]
"""Makes as many inputs (n, 8, 8, 3) for `residual`."""


@pytest.fixture(autouse=True)
def _made_here(made_here: None) -> None:
    """No test here covers the trial of a new file."""


@pytest.fixture(scope="session")
def residual() -> Any:
    """An untrained network of a Rescaling, a residual, a depthwise and a dilated convolution, which computes logits.

    It maps float32 images (n, 8, 8, 3) from 0 to 255 to (n, 4).
    """
    keras.utils.set_random_seed(0)
    layers = keras.layers
    entry = layers.Input((8, 8, 3))
    start = layers.Conv2D(4, 3, padding="same", activation="relu")(layers.Rescaling(1 / 127.5, offset=-1)(entry))
    inner = layers.DepthwiseConv2D(3, padding="same", dilation_rate=2)(start)
    inner = layers.LeakyReLU()(layers.Conv2D(4, 1)(inner))
    end = layers.GlobalAveragePooling2D()(layers.Add()([start, inner]))
    return keras.Model(entry, layers.Dense(4)(end))


@pytest.fixture(scope="session")
def mobile() -> tuple[Any, NDArray[np.float32], NDArray[np.float32]]:
    """An untrained network of depthwise convolutions padded at two sides alone, inputs (12, 32, 32, 3), and its outputs."""
    keras.utils.set_random_seed(0)
    model = keras.applications.MobileNetV2((32, 32, 3), alpha=0.35, weights=None, classes=4, classifier_activation=None)
    inputs = np.random.default_rng(0).uniform(0, 1, (12, 32, 32, 3)).astype(np.float32)
    return model, inputs, np.asarray(model(inputs))


@pytest.fixture(scope="session", params=["cnn-32", "strided-32", "separable-32", "residual-32", "residual-48", "residual-96"])
def own_network(request: pytest.FixtureRequest) -> tuple[Any, NDArray[np.float32], NDArray[np.float32]]:
    """Each of edgecnn's own networks at a side of images, inputs (12, side, side, 3), and its outputs, which differ.

    Untrained, but batch normalization's averages have moved to those of the inputs, as training leaves them.
    """
    name, _, digits = request.param.partition("-")
    side = int(digits)
    keras.utils.set_random_seed(0)
    model = build_network(name, (side, side, 3), 4, 0.0, (4, 8, 8))
    rng = np.random.default_rng(0)
    patches = rng.uniform(0, 1, (12, side // 4, side // 4, 3)) * rng.uniform(0.1, 1, (12, 1, 1, 3))
    inputs = patches.astype(np.float32).repeat(4, 1).repeat(4, 2)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0  # One batch settles it.
    model(inputs, training=True)
    kernel, _ = model.layers[-1].get_weights()
    logits = np.asarray(keras.Model(model.inputs[0], model.layers[-1].input)(inputs)) @ kernel
    scale = 1 / logits.std(axis=0)
    model.layers[-1].set_weights([kernel * scale, -(logits * scale).mean(axis=0)])
    expected = np.asarray(model(inputs))
    assert np.ptp(expected, axis=0).max() > 0.2
    return model, inputs, expected


@pytest.fixture(scope="session")
def random_inputs() -> RandomInputs:
    return lambda count: np.random.default_rng(0).uniform(0, 255, (count, 8, 8, 3)).astype(np.float32)


def save_splits(path: Path, **splits: Split) -> Path:
    """Write the images of `train`, `test` and perhaps `val` into an .npz file."""
    arrays: dict[str, Any] = {}
    for name, split in splits.items():
        arrays |= {f"x_{name}": split.images(range(len(split.labels))), f"y_{name}": split.labels}
    np.savez(path, **arrays)
    return path


@contextmanager
def unchanged(folder: Path) -> Iterator[None]:
    """See to it that a folder has the same files after a block as before."""

    def content() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}

    before = content()
    yield
    assert content() == before


def converter_of(model_format: str, model: Any, any_batch: bool = False, target: RuntimeRelease | None = None) -> Converter:
    source = ModelFile(Path("model.keras"), "keras", b"", None, None, None)
    runtime = KerasRuntime(model)
    return converter_for(model_format, Conversion(source, runtime, "logits", "minmax", target, any_batch, "float32"))


def quantized(float32: bytes, model_format: str, inputs: NDArray[np.float32], keep: Sequence[str] = ()) -> bytes:
    """Return the int8 file of a float file, with the ranges of these inputs."""
    if model_format == "tflite":
        return quantize_tflite(float32, "int8", calibrate_tflite(float32, inputs), keep)
    prepared = prepare_onnx(float32)
    return quantize_onnx(prepared, calibrate_onnx(prepared, inputs, "minmax"), keep)


def outputs(model_format: str, data: bytes, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what a file computes of inputs (n, h, w, c)."""
    runtime = opener_for(model_format).open_model(data, 1)
    return np.concatenate([runtime.run(image.transpose(2, 0, 1)[None]) for image in inputs])


def noise_ratio(found: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """Return the signal-to-noise ratio in decibels."""
    return float(10 * np.log10((expected**2).sum() / ((found - expected) ** 2).sum()))
