"""The files for rpicam-apps compute what the model computes, whatever its images are like."""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

import edgecnn as ec
from edgecnn.convert.integrations.rpicam_apps import (
    colour_weights,
    post_processing,
    remarks,
    require_fit,
    require_taken,
    scaled,
)
from edgecnn.edge.errors import ConversionError
from edgecnn.edge.export_records import Parity
from edgecnn.edge.files import sha256
from edgecnn.edge.manifest import Manifest, Quantization, TensorSpec
from edgecnn.edge.model.interface import SCHEMES
from tests.conftest import Terminal
from tests.edge.inference.thresholds import THRESHOLD
from tests.edge.runtimes.rpicam_stage import Stage

CLASSES = 4
VALIDATION = 200
Build = Callable[..., Path]


def coloured(count: int, shape: tuple[int, ...], seed: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return images whose class is a colour, or a brightness if they are grey."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % CLASSES
    colours = np.array([(220, 30, 30), (30, 220, 30), (30, 30, 220), (230, 230, 230)])
    wide = colours[labels] if shape[2] == 3 else (30 + 65 * labels)[:, np.newaxis]
    noise = rng.integers(-25, 25, (count, *shape), np.int16)
    return np.clip(wide[:, np.newaxis, np.newaxis] + noise, 0, 255).astype(np.uint8), labels


def body(last: int = CLASSES) -> list[Any]:
    layers = keras.layers
    return [layers.Conv2D(8, 3, strides=2, activation="relu"), layers.GlobalAveragePooling2D(), layers.Dense(last)]


@cache
def learnt(channels: int) -> list[NDArray[np.float32]]:
    """Train a small model for a second on pixels from -1 to 1, and return its weights."""
    keras.utils.set_random_seed(1)
    images, answers = coloured(160, (28, 28, channels), 2)  # Convolution and mean learn the same on small images, sooner.
    model = keras.Sequential([keras.Input(images.shape[1:]), *body()])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.05), loss, jit_compile=False)
    model.fit((images / 127.5 - 1).astype(np.float32), answers, batch_size=16, epochs=12, verbose=0)
    weights: list[NDArray[np.float32]] = model.get_weights()
    return weights


def learnt_for(kernel: NDArray[Any], bias: NDArray[Any]) -> list[NDArray[np.float32]]:
    """Return the weights of `learnt` for inputs that are pixels @ kernel + bias."""
    filters, offsets, *others = learnt(len(bias))
    to_pixels = np.linalg.inv(kernel)
    theirs = np.einsum("ci,hwio->hwco", to_pixels / 127.5, filters)
    return [theirs, offsets - np.einsum("c,hwco->o", bias, theirs) - filters.sum(axis=(0, 1, 2)), *others]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """Export a small model that has learnt for rpicam-apps, and return the folder."""

    def built(shape: tuple[int, int, int], scheme: str, logits: bool = False, last: int = CLASSES, **options: Any) -> Path:
        end = [] if logits else [keras.layers.Activation("softmax" if last > 1 else "sigmoid")]
        taken, classes = SCHEMES[scheme], CLASSES if last > 1 else 2
        (images, labels), test = (coloured(40, shape, seed) for seed in (0, 1))
        held = coloured(VALIDATION if "max_error" in options else CLASSES, shape, 3)
        np.savez(
            tmp_path / "set.npz", x_train=images, y_train=labels % classes, x_test=test[0], y_test=test[1] % classes,
            x_val=held[0], y_val=held[1] % classes,
        )  # fmt: skip
        kernel, bias = colour_weights(taken, 3) if shape[2] == 3 else (np.full((1, 1, 1, 1), taken.scale), np.zeros(1))
        model = keras.Sequential([keras.Input(shape), *body(last), *end])
        if last > 1:
            model.set_weights(learnt_for(kernel[0, 0], bias))
        model.save(tmp_path / "own.keras")
        ec.export(
            tmp_path / "own.keras", tmp_path / "set.npz", formats=["tflite"], precisions=["int8"], targets=["rpicam-apps"],
            interface=ec.Interface(taken, "logits" if logits else "probabilities"), out=tmp_path / "own", **options,
        )  # fmt: skip
        return tmp_path / "own"

    return built


@pytest.mark.parametrize(
    ("shape", "scheme", "logits"),
    [
        ((28, 28, 1), "unit", False),
        ((224, 224, 3), "tf", False),
        ((96, 96, 3), "caffe", True),
        ((60, 80, 3), "torch", False),
        ((240, 240, 3), "raw", False),
    ],
)
def test_any_shape_and_preprocessing_answers_as_keras_does(
    shape: tuple[int, int, int], scheme: str, logits: bool, build: Build
) -> None:
    folder = build(shape, scheme, logits)
    manifest = Manifest.load(folder)
    files = {file.path: file for file in manifest.for_programs}
    assert {name: file.program for name, file in files.items()} == {
        "labels.txt": None, "rpicam-apps.json": "rpicam-apps", "rpicam-apps.tflite": "rpicam-apps",
    }  # fmt: skip
    for name, file in files.items():
        assert file.sha256 == sha256((folder / name).read_bytes())
    parity = files["rpicam-apps.tflite"].parity
    assert parity
    assert parity.images == 40
    assert parity.same_class >= 39
    stage, (images, labels) = Stage(folder / "rpicam-apps.json"), coloured(40, shape, 1)
    keras_answers = np.load(folder / "reference.npy").argmax(axis=1)
    assert (keras_answers == labels).mean() > 0.9  # Otherwise agreement would say little.
    same = [stage.results(frame)[0][0] == str(answer) for frame, answer in zip(scaled(images), keras_answers, strict=True)]
    assert sum(same) == parity.same_class


def test_a_model_with_one_output_is_refused_in_one_line(build: Build) -> None:
    said = "targets=rpicam-apps: the model has 1 output for 2 classes, and rpicam-apps needs one for each: end the model"
    with pytest.raises(ConversionError, match=said):
        build((28, 28, 1), "raw", last=1)


def test_a_model_with_integer_inputs_is_refused(exported: Path) -> None:
    runtime = SimpleNamespace(output_spec=spec((None, 3), "float32", 0, 0), input_spec=spec((None, 9, 9, 1), "uint8", 0, 0))
    job: Any = SimpleNamespace(runtime=runtime)
    with pytest.raises(ConversionError, match="float32 inputs, not uint8: move"):
        require_fit(Manifest.load(exported), job)


def test_the_command_line_writes_and_tells_them(artifacts: Path, idx_folder: Path, terminal: Terminal) -> None:
    given = ("export", artifacts / "model.keras", "--data", idx_folder, "--format", "tflite", "--for", "rpicam-apps")
    out = terminal.passes(*given)
    parts = ("rpicam-apps.tflite is for rpicam-apps.", "60 of 60 test images", "the same class")
    assert all(part in " ".join(out.split()) for part in parts)
    assert Stage(artifacts / "rpicam-apps.json").labels == ["0", "1", "2"]
    # The folder can be measured as before.
    assert "rpicam-apps.tflite" not in terminal.passes("evaluate", artifacts)
    assert ec.Classifier.load(artifacts / "int8.tflite").shape == (12, 12, 1)
    said = terminal.fails(2, *given[:4], "--format", "onnx", "--for", "rpicam-apps")
    assert all(part in said for part in ("--for rpicam-apps needs int8.tflite:", "add --format tflite"))
    said = terminal.fails(2, *given[:4], "--for", "rpicam")
    assert ", rpicam-apps" in said


def test_blue_first_and_grey_are_in_the_weights() -> None:
    kernel, bias = colour_weights(SCHEMES["caffe"], 3)
    red = np.array([255.0, 0, 0]) @ kernel[0, 0] + bias
    assert np.allclose(red, [-103.939, -116.779, 255 - 123.68])
    kernel, bias = colour_weights(replace(SCHEMES["unit"], mean=(0.5,), std=(0.25,)), 1)
    assert np.allclose(np.array([255.0, 255, 255]) @ kernel[0, 0] + bias, (1 - 0.5) / 0.25)
    assert (np.array([255.0, 0, 0]) @ kernel[0, 0] + bias) == pytest.approx((0.299 - 0.5) / 0.25)


def test_scaling_up_repeats_pixels_and_keeps_the_whole_picture() -> None:
    image = np.arange(16, dtype=np.uint8).reshape(1, 4, 4, 1)
    found = scaled(image)
    assert found.shape == (1, 224, 224, 3)
    assert np.array_equal(found[0, ::56, ::56, 1], image[0, :, :, 0])
    assert found[0, -1, -1, 2] == 15


@pytest.mark.parametrize(
    ("entry", "output", "said"),
    [
        (((1, 224, 224, 3), "int8", 1.0, -128), None, "the input is int8"),
        (((1, 192, 192, 3), "uint8", 1.0, 0), None, r"not uint8 \(1, 224, 224, 3\)"),
        (((1, 224, 224, 3), "uint8", 0.5, 0), None, r"the input is scaled by 0\.5, not 1"),
        (((1, 224, 224, 3), "uint8", 1.0, 3), None, "the input is scaled"),
        (None, ((1, 3), "uint8", 1 / 256, 0), r"the output is uint8 \(1, 3\), not uint8 \(1, 4\)"),
        (None, ((1, 4), "float32", 0.0, 0), "the output is float32"),
        (None, ((1, 4), "uint8", 1 / 100, 0), r"the output is scaled by 0\.01, not by 1/256"),
        (None, ((1, 4), "uint8", 1 / 256, 128), "the output is scaled"),
    ],
)
def test_what_the_stage_would_misread_is_not_written(entry: Any, output: Any, said: str) -> None:
    class Model:
        name, version = "litert", "0"
        input_spec = spec(*(entry or ((1, 224, 224, 3), "uint8", 1.0, 0)))
        output_spec = spec(*(output or ((1, 4), "uint8", 1 / 256, 0)))

        def run(self, batch: NDArray[Any]) -> NDArray[Any]:
            return batch

    with pytest.raises(ConversionError, match=said):
        require_taken(Model(), 4)


def spec(shape: tuple[int | None, ...], dtype: str, scale: float, zero_point: int) -> TensorSpec:
    return TensorSpec("x", shape, dtype, Quantization((scale,), (zero_point,)) if scale else None)


def test_what_the_program_does_otherwise_is_said(exported: Path) -> None:
    manifest = replace(Manifest.load(exported), class_names=("n1: cat, tabby", "dog"))
    lines = remarks("rpicam-apps.tflite", manifest, Parity(60, 59, 0.1))
    assert all(part in lines[0] for part in ("same class as Keras", "59 of 60 test images", "224 x 224"))
    assert any("n1: cat, tabby only between" in line for line in lines)
    digits = replace(manifest, preprocessing=replace(manifest.preprocessing, fit="digit"))
    assert any("neither centres a digit" in line for line in remarks("a", digits, Parity(60, 59, 0.1)))


def test_the_settings_show_no_more_results_than_there_are_classes() -> None:
    assert json.loads(json.dumps(post_processing("a.tflite", 2)))["object_classify_tf"]["number_of_results"] == 2


def test_with_a_threshold_the_stage_shows_one_class_or_none() -> None:
    own = post_processing("a.tflite", 4, replace(THRESHOLD, least=0.91))["object_classify_tf"]
    assert (own["threshold_high"], own["threshold_low"], own["number_of_results"]) == (0.91, 0.91, 1)
    plain = post_processing("a.tflite", 4)["object_classify_tf"]
    assert (plain["threshold_high"], plain["threshold_low"], plain["number_of_results"]) == (0.3, 0.1, 3)


def test_the_stage_shows_the_share_of_frames_that_the_manifests_threshold_accepts(build: Build) -> None:
    folder = build((28, 28, 1), "unit", max_error=20, accept=50)
    (threshold,) = [file.threshold for file in Manifest.load(folder).for_programs if file.threshold]
    assert threshold.images == VALIDATION
    assert 0.5 <= threshold.accepted / threshold.images < 1
    stage, (images, labels) = Stage(folder / "rpicam-apps.json"), coloured(VALIDATION, (28, 28, 1), 3)
    shown = [stage.results(frame) for frame in scaled(images)]
    assert sum(map(bool, shown)) == threshold.accepted
    wrong = sum(bool(found) and found[0][0] != str(label) for found, label in zip(shown, labels, strict=True))
    assert wrong == threshold.wrong
