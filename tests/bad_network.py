"""A network for which 8 bits are too few."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from edgecnn.convert.onnx.convert import to_onnx
from edgecnn.convert.tflite.converter import to_tflite
from edgecnn.edge.data.dataset import load_dataset
from edgecnn.edge.runtimes import opener_for

WILD = "wild"
FACTOR = 1000.0


@dataclass(frozen=True, eq=False)
class BadNetwork:
    """A network in which one channel of the layer `wild` has 1000 times the range of the others.

    Attributes:
        model: The Keras model for float32 images (n, 12, 12, 1) from 0 to 1.
        float32: The float file of each format.
        inputs: Model inputs of the training images.
        labels: Labels of the training images.
        test_inputs: Model inputs of the test images.
        test_labels: Labels of the test images.
    """

    model: Any
    float32: dict[str, bytes]
    inputs: NDArray[np.float32]
    labels: NDArray[np.int64]
    test_inputs: NDArray[np.float32]
    test_labels: NDArray[np.int64]

    def accuracy(self, data: bytes, model_format: str) -> float:
        """Return the share of test images that a file classifies correctly."""
        runtime = opener_for(model_format).open_model(data, 1)
        entry = runtime.input_spec
        inputs = self.test_inputs
        if entry.quantization:
            limits = np.iinfo(entry.dtype)
            stored = np.rint(inputs / entry.quantization.scales[0]) + entry.quantization.zero_points[0]
            inputs = np.clip(stored, limits.min, limits.max).astype(entry.dtype)
        outputs = np.concatenate([runtime.run(inputs[i : i + 1]) for i in range(len(inputs))])
        return float((outputs.argmax(axis=1) == self.test_labels).mean())


def bad_network(folder: Path) -> BadNetwork:
    """Return a small CNN, trained for a few seconds and then made hard to quantize. Its float results stay the same.

    The channel is scaled up, and its weights in the next convolution down. An 8-bit scale that holds the wild channel
    leaves the others no step.
    """
    dataset = load_dataset(folder)
    parts = (dataset.train, dataset.test)
    train, test = (part.images(range(len(part.labels))).astype(np.float32) / np.float32(255) for part in parts)
    keras.utils.set_random_seed(3)
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Input((12, 12, 1)),
            layers.Conv2D(8, 3, padding="same", activation="relu", name="first"),
            layers.Conv2D(8, 3, padding="same", activation="relu", name=WILD),
            layers.MaxPooling2D(2, name="pooled"),
            layers.Conv2D(8, 3, padding="same", activation="relu", name="following"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3, activation="softmax", name="last"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", jit_compile=False)
    model.fit(train, dataset.train.labels, batch_size=16, epochs=8, verbose=0)
    wild, following = model.get_layer(WILD), model.get_layer("following")
    # The most active one: a channel that is never active would hide nothing.
    activity = keras.Model(model.inputs[0], wild.output)(train[:50], training=False)
    channel = int(np.asarray(activity).mean(axis=(0, 1, 2)).argmax())
    kernel, bias = wild.get_weights()
    kernel[..., channel] *= FACTOR
    bias[channel] *= FACTOR
    wild.set_weights([kernel, bias])
    kernel, bias = following.get_weights()
    kernel[:, :, channel] /= FACTOR
    following.set_weights([kernel, bias])
    float32 = {
        "tflite": to_tflite(model, "float32", (12, 12, 1), "float32"),
        "onnx": to_onnx(model, (12, 12, 1), "float32", "probabilities"),
    }
    return BadNetwork(model, float32, train, dataset.train.labels, test, dataset.test.labels)
