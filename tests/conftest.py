"""A small set of images, the whole chain run once on it with the real libraries, and a terminal to run commands in."""

import gzip
import shutil
import signal
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

import edgecnn
from convert.dataset import load_dataset
from convert.export import ExportConfig, export
from convert.to_onnx import to_onnx
from convert.to_tflite import to_tflite
from convert.train import train
from convert.train_records import TrainConfig
from edge.manifest import Preprocessing
from edge.runtimes import opener_for

# A shell ignores Ctrl-C for what runs in its background, and children inherit that: some tests send it.
signal.signal(signal.SIGINT, signal.default_int_handler)

SIDE = 12
CLASSES = 3
WILD = "wild"
FACTOR = 1000.0


def drawings(count: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return images (count, 12, 12) and labels: a bright bar, noisy, at a height that tells the class."""
    rng = np.random.default_rng(seed)
    labels = (np.arange(count) % CLASSES).astype(np.uint8)
    images = rng.integers(0, 60, (count, SIDE, SIDE)).astype(np.uint8)
    for image, label in zip(images, labels, strict=True):
        top = 2 + 3 * int(label)
        image[top : top + 2, 2:-2] = rng.integers(150, 256, (2, SIDE - 4))
    return images, labels


def write_idx(path: Path, array: NDArray[np.uint8]) -> None:
    """Write an IDX file, gzipped if its name says so."""
    data = struct.pack(f">{1 + array.ndim}I", 0x800 + array.ndim, *array.shape) + array.tobytes()
    path.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)


def write_idx_folder(folder: Path, train: int = 240, test: int = 60) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for prefix, count, seed in (("train", train, 1), ("t10k", test, 2)):
        images, labels = drawings(count, seed)
        write_idx(folder / f"{prefix}-images-idx3-ubyte.gz", images)
        write_idx(folder / f"{prefix}-labels-idx1-ubyte.gz", labels)
    return folder


@pytest.fixture(scope="session")
def idx_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An IDX folder of 240 training and 60 test images (12, 12, 1) of 3 classes. Read it only."""
    return write_idx_folder(tmp_path_factory.mktemp("images") / "bars")


@pytest.fixture(scope="session")
def exported(idx_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a trained model and every file that edgecnn exports. Read it only; `artifacts` is yours."""
    folder = tmp_path_factory.mktemp("exported") / "bars"
    dataset = load_dataset(idx_folder)
    preprocessing = Preprocessing(1 / 255, dataset.image_rule.fit, dataset.image_rule.background)
    config = TrainConfig(epochs=12, recipe="notebook", batch_size=8, augment=False, learning_rate=0.003)
    train(dataset, config, folder, preprocessing)
    export(folder / "model.keras", dataset, ExportConfig(("tflite",), ("float16", "dynamic", "int8", "int16x8")))
    export(folder / "model.keras", dataset, ExportConfig(("onnx",), ("int8",)))
    return folder


@pytest.fixture(scope="session")
def any_batch(exported: Path, idx_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like `exported` whose files take any number of images at a time. Read it only."""
    folder = tmp_path_factory.mktemp("any") / "bars"
    shutil.copytree(exported, folder, ignore=shutil.ignore_patterns("logs", "checkpoint"))
    for model_format, precisions in (("tflite", ("float16", "dynamic", "int8", "int16x8")), ("onnx", ("int8",))):
        config = ExportConfig((model_format,), precisions, batch="dynamic")
        export(folder / "model.keras", load_dataset(idx_folder), config)
    return folder


@pytest.fixture
def artifacts(exported: Path, tmp_path: Path) -> Path:
    """A copy of `exported` to break."""
    folder = tmp_path / "bars"
    shutil.copytree(exported, folder, ignore=shutil.ignore_patterns("logs", "checkpoint"))
    return folder


@dataclass(frozen=True, eq=False)
class BadNetwork:
    """One channel of the layer `wild` has a range 1000 times the others'.

    Attributes:
        model: The Keras model, of float32 images (n, 12, 12, 1) from 0 to 1.
        float32: Format -> the file.
        inputs: Model inputs of the training images.
        test_inputs: Of the test images.
        test_labels: Theirs.
    """

    model: Any
    float32: dict[str, bytes]
    inputs: NDArray[np.float32]
    test_inputs: NDArray[np.float32]
    test_labels: NDArray[np.int64]

    def accuracy(self, data: bytes, model_format: str) -> float:
        """Return the share of the test images that a file gets right."""
        runtime = opener_for(model_format).open_model(data, 1)
        entry = runtime.input_spec
        inputs = self.test_inputs
        if entry.quantization:
            limits = np.iinfo(entry.dtype)
            stored = np.rint(inputs / entry.quantization.scales[0]) + entry.quantization.zero_points[0]
            inputs = np.clip(stored, limits.min, limits.max).astype(entry.dtype)
        outputs = np.concatenate([runtime.run(inputs[i : i + 1]) for i in range(len(inputs))])
        return float((outputs.argmax(axis=1) == self.test_labels).mean())


@pytest.fixture(scope="session")
def bad_network(idx_folder: Path) -> BadNetwork:
    """A small CNN, trained for a few seconds and then made hard to quantise. What floats compute stays what it was.

    The channel is scaled up, and what the next convolution makes of it down. An 8-bit scale that holds the wild channel
    leaves the others no step.
    """
    dataset = load_dataset(idx_folder)
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
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
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
    return BadNetwork(model, float32, train, test, dataset.test.labels)


class Terminal:
    """Runs a command and keeps what it wrote."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.out = self.err = ""

    def run(self, *arguments: str | Path) -> int:
        self._capsys.readouterr()
        code = edgecnn.main([str(argument) for argument in arguments])
        self.out, self.err = self._capsys.readouterr()
        return code

    def passes(self, *arguments: str | Path) -> str:
        """Run a command that must succeed, and return what it printed."""
        assert self.run(*arguments) == 0, self.err
        assert not self._complaints()
        return self.out

    def fails(self, code: int, *arguments: str | Path) -> str:
        """Run a command that must fail with this code, and return the one line that says why."""
        assert self.run(*arguments) == code, self.err
        (line,) = self._complaints()
        assert self.err.endswith(f"{line}\n")
        assert "Traceback" not in self.err
        return line

    def _complaints(self) -> list[str]:
        return [line for line in self.err.splitlines() if line.startswith("edgecnn: ")]


@pytest.fixture
def terminal(capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(capsys)
