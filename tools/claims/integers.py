"""Training for integers: whether what learns is what the int8 file computes, and what a network that 8 bits spoil gains."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from edgecnn.convert.qat.learn import IntegerNetwork, Lesson, Lessons, learn
from edgecnn.convert.tflite.calibrate import calibrate_tflite
from edgecnn.convert.tflite.converter import to_tflite
from edgecnn.convert.tflite.quantize import quantize_tflite, tflite_steps
from edgecnn.edge.data.dataset import load_dataset
from edgecnn.edge.runtimes import opener_for
from tools.claims.claims import EDGECNN, Claim, at_most

_NETWORKS = ("cnn", "strided", "separable")
# Networks with 4-bit weights: nothing but their size spoils them.
_SMALL = {"strided": "8,16,16", "separable": "8,16,16", "residual": "4,8,16"}
_PICTURES_EVERY = 5  # MobileNetV2 takes this part of the training images.
_BATCH, _CALIBRATED, _SPOILT_BY = 64, 300, 1000
_EPOCHS = {"int8": 3, "int4": 10}


def measure(folder: Path) -> list[Claim]:
    """Train MNIST's networks, also for integers, and spoil the cnn as docs/how-to/quantization-accuracy.md does."""
    out = folder.parent / "integers"
    dataset = load_dataset()
    train, test = (_inputs(part.images(range(len(part.labels)))) for part in (dataset.train, dataset.test))
    learns, judges = (train, dataset.train.labels), (test, dataset.test.labels)
    claims = [claim for name in _NETWORKS for claim in _forward(name, _trained(name, out / name), learns, judges)]
    few, labels = _in_color(train[::_PICTURES_EVERY]), dataset.train.labels[::_PICTURES_EVERY]
    claims += _forward("MobileNetV2", _mobilenet(few, labels), (few, labels), (_in_color(test), dataset.test.labels))
    return [*claims, _spoilt(out), *(_with_4_bits(name, out / f"{name}-int4") for name in _SMALL)]


def _trained(name: str, folder: Path) -> bytes:
    """Return the float .tflite file of a network of `edgecnn train`."""
    if not (folder / "float32.tflite").exists():
        command = [EDGECNN, "train", "--network", name, "--epochs", "1", "--out", str(folder)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        command = [EDGECNN, "export", str(folder / "model.keras"), "--format", "tflite", "--quantize", "float32"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return (folder / "float32.tflite").read_bytes()


def _mobilenet(pictures: NDArray[np.float32], labels: NDArray[Any]) -> bytes:
    """Return the float .tflite file of a narrow MobileNetV2 after an epoch with pictures (n, height, width, 3)."""
    keras.utils.set_random_seed(0)
    shape = pictures.shape[1:]
    model = keras.applications.MobileNetV2(shape, alpha=0.35, weights=None, classes=10)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.9  # Its own of 0.999 would take more steps than an epoch has.
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(pictures, labels, _BATCH, verbose=0)
    return to_tflite(model, "float32", shape, "float32")


def _in_color(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return images (n, 28, 28) or (n, 28, 28, 1) as those of a camera, (n, 32, 32, 3)."""
    padded = np.pad(images.reshape(-1, 28, 28, 1), [(0, 0), (2, 2), (2, 2), (0, 0)])
    return np.repeat(padded, 3, axis=3)


def _forward(name: str, float32: bytes, learns: Lesson, judges: Lesson) -> list[Claim]:
    """Compare the forward after two epochs of training for integers with the file, on all test images."""
    (train, answers), (test, labels) = learns, judges
    ranges = calibrate_tflite(float32, train[:: len(train) // _CALIBRATED])

    def batches(epoch: int) -> Iterator[Lesson]:
        order = np.random.default_rng(epoch).permutation(len(train))
        for start in range(0, len(order), _BATCH):
            chosen = order[start : start + _BATCH]
            yield train[chosen], answers[chosen]

    learnt = learn(float32, ranges, Lessons(2, -(-len(train) // _BATCH), batches, None, lambda epoch, batch, loss: None))
    int8 = quantize_tflite(learnt.file, "int8", learnt.ranges)
    file, (scale, zero) = _run(int8, test)
    network = IntegerNetwork(learnt.file, learnt.ranges, tflite_steps(int8), "int8")
    forward = np.concatenate([network.forward(test[start : start + 500]).numpy() for start in range(0, len(test), 500)])
    stored = np.rint(forward / scale) + zero
    others = int((stored.argmax(axis=1) != file.argmax(axis=1)).sum())
    steps, right = np.abs(stored - file), int((file.argmax(axis=1) == labels).sum())
    if right < len(test) / 2:
        raise AssertionError(f"{name} is right on {right:,} of {len(test):,}: equal guesses would show nothing")
    how = f"after two epochs of training for integers; {right:,} are right"
    return [
        at_most(f"{name}: images of {len(test):,} with another class", others, 0, how),
        at_most(
            f"{name}: largest difference in steps of the output", steps.max(), 1, f"{(steps.max(axis=1) > 0).sum():,} images"
        ),
    ]


def _spoilt(out: Path) -> Claim:
    """Export the cnn, one of whose channels has a thousand times the range of others, with training for integers."""
    model = keras.models.load_model(out / "cnn" / "model.keras")
    normalization, following = model.get_layer("batch_normalization"), model.get_layer("conv2d_1")
    scale, offset, mean, variance = normalization.get_weights()
    scale[0], offset[0] = _SPOILT_BY * scale[0], _SPOILT_BY * offset[0]
    normalization.set_weights([scale, offset, mean, variance])
    kernel, bias = following.get_weights()
    kernel[:, :, 0] /= _SPOILT_BY
    following.set_weights([kernel, bias])
    model.save(out / "spoiled.keras")
    command = [EDGECNN, "export", str(out / "spoiled.keras"), "--data", "mnist", "--preprocess", "unit", "--format", "tflite"]
    subprocess.run(
        [*command, "--qat", str(_EPOCHS["int8"]), "--out", str(out / "spoiled")], check=True, stdout=subprocess.DEVNULL
    )
    manifest = json.loads((out / "spoiled" / "manifest.json").read_text(encoding="utf-8"))
    (qat,) = (file["qat"] for file in manifest["artifacts"] if file["path"] == "int8.tflite")
    test, float_correct = load_dataset().test, manifest["reference"]["correct"]
    images = len(test.labels)
    answers, _ = _run((out / "spoiled" / "int8.tflite").read_bytes(), _inputs(test.images(range(images))))
    correct = int((answers.argmax(axis=1) == test.labels).sum())
    plainly = 100 * (float_correct - qat["plain_correct"]) / images
    how = f"{correct:,} of {images:,}, float {float_correct:,}; plainly quantized it loses {plainly:.2f}"
    return at_most("a spoilt cnn, all in int8: points lost against float", 100 * (float_correct - correct) / images, 0.2, how)


def _with_4_bits(name: str, folder: Path) -> Claim:
    """Train a small network of MNIST, and export it with 4-bit weights that were trained for."""
    if not (folder / "model.keras").exists():
        few = ["--filters", _SMALL[name], "--epochs", "4", "--val-share", "0.1"]
        command = [EDGECNN, "train", "--network", name, *few, "--out", str(folder)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    command = [EDGECNN, "export", str(folder / "model.keras"), "--format", "tflite", "--quantize", "int4"]
    subprocess.run([*command, "--qat", str(_EPOCHS["int4"])], check=True, stdout=subprocess.DEVNULL)
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    (qat,) = (file["qat"] for file in manifest["artifacts"] if file["path"] == "int4.tflite")
    images, right = qat["images"], manifest["reference"]["correct"]
    lost, plainly = (100 * (right - qat[name]) / images for name in ("correct", "plain_correct"))
    how = f"{qat['correct']:,} of {images:,}, float {right:,}; plainly quantized it loses {plainly:.2f}"
    return at_most(f"{name} {_SMALL[name]}, 4-bit weights: points lost", lost, 0.2, how)


def _inputs(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    return images.astype(np.float32) * np.float32(1 / 255)


def _run(int8: bytes, inputs: NDArray[np.float32]) -> tuple[NDArray[np.int8], tuple[float, int]]:
    """Return a file's outputs (n, classes), and their scale and zero point."""
    model = opener_for("tflite").open_model(int8, 1)
    taken, given = model.input_spec.quantization, model.output_spec.quantization
    if taken is None or given is None:
        raise AssertionError("its input and output are int8")
    stored = np.clip(np.rint(inputs / np.float32(taken.scales[0])) + taken.zero_points[0], -128, 127).astype(np.int8)
    shape = (1, *(int(size or 1) for size in model.input_spec.shape[1:]))
    outputs: NDArray[np.int8] = np.concatenate([model.run(image.reshape(shape)) for image in stored])
    return outputs, (given.scales[0], given.zero_points[0])
