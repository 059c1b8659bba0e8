"""The API of an application on the device: images in, labels and probabilities out."""

import gzip
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgecnn.edge.data.splits import ArraySplit
from edgecnn.edge.errors import ArtifactError, ConfigError, MissingDependency
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.manifest import Manifest
from edgecnn.edge.model.interface import SCHEMES, Interface
from edgecnn.edge.model_file import read_model

Record = Callable[..., tuple[Classifier, Any]]

UNIT = Interface(SCHEMES["unit"])
FILES = ["float32.tflite", "float16.tflite", "dynamic.tflite", "int8.tflite", "int16x8.tflite", "float32.onnx", "int8.onnx"]


@pytest.fixture
def images(idx_folder: Path) -> NDArray[np.uint8]:
    data = gzip.decompress((idx_folder / "t10k-images-idx3-ubyte.gz").read_bytes())
    return np.frombuffer(data, np.uint8, offset=16).reshape(-1, 12, 12, 1)


@pytest.mark.parametrize(
    ("wrong", "got"),
    [
        (np.zeros((2, 12, 12, 1), np.float32), r"float32 \(2, 12, 12, 1\)"),
        (np.zeros((2, 12, 12, 1), np.int8), r"int8 \(2, 12, 12, 1\)"),
        (np.zeros((2, 28, 28, 1), np.uint8), r"uint8 \(2, 28, 28, 1\)"),
        (np.zeros((2, 12, 12, 3), np.uint8), r"uint8 \(2, 12, 12, 3\)"),
        (np.zeros((2, 1, 12, 12), np.uint8), r"uint8 \(2, 1, 12, 12\)"),
        (np.zeros((12, 12), np.uint8), r"uint8 \(12, 12\)"),
        (np.zeros((12, 12, 1), np.int8), r"int8 \(1, 12, 12, 1\)"),
        (np.zeros((12, 11, 1), np.uint8), r"uint8 \(1, 12, 11, 1\)"),
        (np.zeros((0, 28, 28, 1), np.uint8), r"uint8 \(0, 28, 28, 1\)"),
        (np.zeros(0, np.uint8), r"uint8 \(0,\)"),
    ],
)
def test_other_images_are_refused_and_both_shapes_named(wrong: NDArray[Any], got: str, exported: Path) -> None:
    with pytest.raises(ValueError, match=rf"^images.*uint8 \(n, 12, 12, 1\),.*\b{got}$"):
        Classifier.load(exported / "int8.tflite").predict(wrong)


def test_a_keras_file_on_a_device_says_what_it_needs_and_nothing_of_the_workstation_is_imported(
    exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    monkeypatch.setitem(sys.modules, "edgecnn.convert.keras.runtime", None)
    with pytest.raises(MissingDependency, match=r"^tensorflow .*not installed.*workstation: pip install"):
        Classifier.load(exported / "model.keras")


def test_an_altered_file_is_refused_before_a_runtime_sees_it(artifacts: Path) -> None:
    path = artifacts / "int8.tflite"
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(ArtifactError, match=r"int8\.tflite .*not .*manifest\.json lists"):
        Classifier.load(path)


def test_a_manifest_that_names_another_number_of_classes_is_refused(artifacts: Path) -> None:
    rename_classes(artifacts, ["low", "high"])
    with pytest.raises(ArtifactError, match=r"float32\.onnx has 3 classes.*manifest.* 2:"):
        Classifier.load(artifacts / "float32.onnx")


def rename_classes(folder: Path, names: list[str]) -> None:
    replace(Manifest.load(folder), class_names=tuple(names)).save(folder)


def test_a_model_that_gives_logits_is_refused_when_it_predicts(
    recording: Record, exported: Path, images: NDArray[np.uint8]
) -> None:
    classifier, runtime = recording(exported / "float32.onnx")
    run: Callable[[NDArray[Any]], NDArray[Any]] = runtime.inner.run
    runtime.run = lambda batch: np.log(run(batch))
    with pytest.raises(ArtifactError, match=r"float32\.onnx: output .*not class probabilities.*softmax"):
        classifier.predict(images)


@pytest.mark.parametrize("name", ["int8.tflite", "float32.onnx"])
def test_a_file_that_nothing_vouches_for_says_so_and_counts_its_classes(
    name: str, exported: Path, tmp_path: Path, images: NDArray[np.uint8]
) -> None:
    shutil.copy(exported / name, tmp_path)
    with pytest.raises(
        ConfigError,
        match=rf"{name}: no manifest\.json beside it, so how it takes pixels is not known: state it with interface=unit \(",
    ):
        Classifier.load(tmp_path / name)
    classifier = Classifier.load(tmp_path / name, interface=UNIT)
    assert (classifier.unverified, classifier.manifest) == ("no manifest.json beside it", None)
    assert classifier.preprocessing == SCHEMES["unit"]
    assert classifier.class_names == ("0", "1", "2")
    expected = Classifier.load(exported / name).probabilities(images)
    np.testing.assert_array_equal(classifier.probabilities(images), expected)


def test_a_file_that_its_manifest_describes_is_not_described_again(exported: Path) -> None:
    message = r"the manifest beside .*int8\.tflite defines its preprocessing and output: omit preprocess, .* and labels$"
    with pytest.raises(ConfigError, match=message):
        Classifier.load(exported / "int8.tflite", interface=UNIT)


def test_the_manifest_says_whether_the_model_gives_logits(artifacts: Path, images: NDArray[np.uint8]) -> None:
    replace(Manifest.load(artifacts), output="logits").save(artifacts)
    classifier = Classifier.load(artifacts / "float32.onnx")
    assert classifier.interface.output == "logits"
    with pytest.raises(ArtifactError, match=r"float32\.onnx: output .*already probabilities"):
        classifier.predict(images)


@pytest.mark.parametrize("name", FILES)
def test_every_file_sees_the_classes_that_keras_saw(name: str, exported: Path, images: NDArray[np.uint8]) -> None:
    reference = np.load(exported / "reference.npy")
    prediction = Classifier.load(exported / name).predict(images)
    assert set(prediction.class_indices) == {0, 1, 2}
    np.testing.assert_array_equal(prediction.class_indices, reference.argmax(axis=1))
    np.testing.assert_allclose(prediction.probabilities, reference, rtol=0, atol=1e-5 if "float32" in name else 0.1)
    assert prediction.probabilities.dtype == np.float32


def test_an_int8_model_is_given_int8_pixels_minus_128(recording: Record, exported: Path, images: NDArray[np.uint8]) -> None:
    classifier, runtime = recording(exported / "int8.tflite")
    classifier.predict(images)
    assert len(runtime.batches) == len(images)
    assert {(batch.dtype.name, batch.shape) for batch in runtime.batches} == {("int8", (1, 12, 12, 1))}
    np.testing.assert_array_equal(np.concatenate(runtime.batches), images.astype(int) - 128)
    np.testing.assert_array_equal(classifier.inputs(images), images.astype(int) - 128)


def test_the_scale_is_the_manifests(recording: Record, any_batch: Path, images: NDArray[np.uint8]) -> None:
    model = read_model(any_batch / "float32.onnx")
    assert model.manifest is not None
    manifest = replace(model.manifest, preprocessing=replace(model.manifest.preprocessing, scale=1 / 128))
    classifier, runtime = recording(replace(model, manifest=manifest))
    classifier.predict(images)
    np.testing.assert_array_equal(np.concatenate(runtime.batches)[: len(images)], images / np.float32(128))


@pytest.mark.parametrize("name", ["int8.tflite", "float32.onnx"])
@pytest.mark.parametrize(("folder", "calls"), [("exported", [1] * 600), ("any_batch", [*[32] * 18, 24, 1, 1])])
def test_more_images_than_one_chunk_come_back_in_order(
    recording: Record, name: str, folder: str, calls: list[int], request: pytest.FixtureRequest, images: NDArray[np.uint8]
) -> None:
    classifier, runtime = recording(request.getfixturevalue(folder) / name)
    order = np.random.default_rng(0).integers(0, len(images), 600)
    together = classifier.predict(images[order])
    assert [len(batch) for batch in runtime.batches] == calls
    np.testing.assert_allclose(together.probabilities, classifier.predict(images).probabilities[order], rtol=0, atol=1e-6)


def test_no_images_give_no_predictions_and_one_is_a_batch_of_one(exported: Path, images: NDArray[np.uint8]) -> None:
    prediction = Classifier.load(exported / "int8.tflite").predict(np.zeros((0, 12, 12, 1), np.uint8))
    assert prediction.probabilities.shape == (0, 3)
    assert (prediction.class_indices.shape, prediction.labels) == ((0,), ())
    classifier = Classifier.load(str(exported / "int8.tflite"))
    one, batch = classifier.predict(images[5]), classifier.predict(images)
    assert (one.labels, one.class_indices.tolist()) == (batch.labels[5:6], [batch.class_indices[5]])
    np.testing.assert_array_equal(one.probabilities, batch.probabilities[5:6])


@pytest.mark.parametrize(("name", "package"), [("int8.tflite", "ai-edge-litert"), ("int8.onnx", "onnxruntime")])
def test_a_prediction_names_what_ran_and_the_manifests_labels(
    name: str, package: str, artifacts: Path, images: NDArray[np.uint8]
) -> None:
    rename_classes(artifacts, ["low", "middle", "high"])
    classifier = Classifier.load(artifacts / name, threads=2)
    prediction = classifier.predict(images)
    assert prediction.runtime == f"{package} {classifier.runtime.version}"
    assert prediction.labels == tuple(("low", "middle", "high")[index] for index in prediction.class_indices)
    assert classifier.unverified is None
    assert classifier.shape == (12, 12, 1)


def test_a_split_is_classified_a_few_images_at_a_time(recording: Record, any_batch: Path, images: NDArray[np.uint8]) -> None:
    classifier, runtime = recording(any_batch / "float32.onnx")
    many = images[np.random.default_rng(0).integers(0, len(images), 600)]
    expected = classifier.probabilities(many)
    classifier.judged_probabilities(many[:1])  # The check that runs once has run.
    runtime.batches.clear()
    split = ArraySplit(many, np.zeros(600, np.int64))
    np.testing.assert_allclose(classifier.split_probabilities(split), expected, rtol=0, atol=1e-6)
    assert [len(batch) for batch in runtime.batches] == 2 * (7 * [32] + [26]) + 3 * [32] + [4]


def test_what_a_vouched_preprocessing_clips_is_doubted_and_not_refused(artifacts: Path) -> None:
    manifest = Manifest.load(artifacts)
    replace(manifest, preprocessing=replace(manifest.preprocessing, scale=2 / 255)).save(artifacts)
    (doubt,) = Classifier.load(artifacts / "int8.tflite").doubts
    assert all(part in doubt for part in ("takes 0 to 1,", "gives 0 to 2:", "49.6% of the pixel values", "clipped"))
