"""Classifiers exported by other tools: every layout, dtype and ending gives the same as numpy."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgecnn.edge.errors import ArtifactError, ConfigError
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.manifest import Output
from edgecnn.edge.model.interface import SCHEMES, Interface
from tests.dense import dense, softmax

OnnxFile = Callable[..., Path]
Record = Callable[..., tuple[Classifier, Any]]

UNIT, TF = Interface(SCHEMES["unit"]), Interface(SCHEMES["tf"])


@pytest.fixture
def photos() -> NDArray[np.uint8]:
    return np.random.default_rng(5).integers(0, 256, (10, 8, 6, 3)).astype(np.uint8)


def in_order(images: NDArray[np.uint8], item: tuple[int, ...]) -> NDArray[np.float32]:
    """Return pixels / 255 in a file's own order of axes, independently of the classifier's code."""
    reals: NDArray[np.float32] = images.astype(np.float32) / np.float32(255)
    if item[0] == 3:
        reals = np.stack([reals[..., channel] for channel in range(3)], axis=1)
    return reals.reshape(len(images), *item)


@pytest.mark.parametrize(
    ("item", "batch", "output"),
    [
        ((8, 6, 3), "n", ("n", 4)),
        ((3, 8, 6), "n", ("n", 4)),
        ((3, 8, 6), 1, (1, 4)),
        ((3, 8, 6), 1, (1, 4, 1, 1)),
        ((3, 8, 6), 4, (4, 4)),
        ((8, 6, 3), 3, (3, 4)),
        ((8, 6, 3), None, (4,)),
        ((3, 8, 6), None, (1, 4)),
        ((8, 6, 1), "n", ("n", 4)),
        ((1, 8, 6), 2, (2, 4)),
        ((8, 6), "n", ("n", 4)),
        ((8, 6), 1, (4,)),
        ((8, 6), None, (4,)),
    ],
)
@pytest.mark.parametrize("count", [1, 10])
def test_an_onnx_file_of_any_layout_gives_what_numpy_computes(
    item: tuple[int, ...], batch: int | str | None, output: tuple[int | str, ...], count: int, onnx_file: OnnxFile
) -> None:
    classifier = Classifier.load(onnx_file(item, batch, output), interface=UNIT)
    shape = (8, 6, 3 if 3 in item else 1)
    images = np.random.default_rng(1).integers(0, 256, (count, *shape)).astype(np.uint8)
    assert (classifier.shape, classifier.class_names) == (shape, ("0", "1", "2", "3"))
    assert classifier.batch == (None if batch == "n" else batch or 0)
    expected = softmax(dense(in_order(images, item)))
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(classifier.probabilities(images), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("name", "batch"), [("float32", 1), ("batch4", 4), ("nobatch", 0), ("free", None), ("grey", 1)])
@pytest.mark.parametrize("count", [1, 10])
def test_a_float_tflite_file_of_any_layout_gives_what_numpy_computes(
    name: str, batch: int | None, count: int, foreign: Path, photos: NDArray[np.uint8]
) -> None:
    classifier = Classifier.load(foreign / f"{name}.tflite", interface=UNIT)
    assert classifier.batch == batch
    images = photos[:count, ..., :1] if name == "grey" else photos[:count]
    expected = softmax(dense(images.astype(np.float32) / 255))
    np.testing.assert_allclose(classifier.probabilities(images), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["uint8", "int8", "int16x8"])
def test_a_quantized_tflite_file_is_given_and_read_by_its_scales(
    recording: Record, name: str, foreign: Path, photos: NDArray[np.uint8]
) -> None:
    classifier, runtime = recording(foreign / f"{name}.tflite", TF)
    probabilities = classifier.probabilities(photos)
    quantization = runtime.input_spec.quantization
    assert quantization is not None
    reals = photos / 127.5 - 1
    stored = np.rint(reals / quantization.scales[0]) + quantization.zero_points[0]
    given = np.concatenate(runtime.batches)
    assert given.dtype == name.removesuffix("x8")
    # A pixel in the middle between two steps may go to either.
    np.testing.assert_allclose(given, np.clip(stored, *limits(given.dtype)), rtol=0, atol=1)
    np.testing.assert_allclose(probabilities, softmax(dense(reals.astype(np.float32))), rtol=0, atol=0.03)
    assert classifier.doubts == ()


def limits(dtype: np.dtype[Any]) -> tuple[int, int]:
    return int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)


def test_pixels_that_a_quantized_file_cannot_stand_for_are_refused_and_the_file_named(foreign: Path) -> None:
    with pytest.raises(ArtifactError, match=r"/int8\.tflite:.*input.*-0\.996 to 1,.*\b0 to 255:"):
        Classifier.load(foreign / "int8.tflite", interface=Interface(SCHEMES["raw"]))


def test_a_preprocessing_that_leaves_half_of_the_input_unused_is_doubted(foreign: Path) -> None:
    (doubt,) = Classifier.load(foreign / "uint8.tflite", interface=UNIT).doubts
    assert "0 to 1, only 50%" in doubt


def test_an_onnx_file_of_uint8_takes_pixels_as_they_are_and_nothing_else(
    onnx_file: OnnxFile, photos: NDArray[np.uint8]
) -> None:
    path = onnx_file((8, 6, 3), "n", ending="Identity", element="uint8")
    with pytest.raises(ArtifactError, match=r"foreign\.onnx: input image is uint8.*preprocess=raw$"):
        Classifier.load(path, interface=UNIT)
    classifier = Classifier.load(path, interface=Interface(SCHEMES["raw"], "logits"))
    assert classifier.inputs(photos).dtype == np.uint8
    expected = softmax(dense(photos.astype(np.float32)))
    np.testing.assert_allclose(classifier.probabilities(photos), expected, rtol=0, atol=1e-4)


def test_each_channel_has_its_mean_and_blue_comes_first_where_the_file_takes_it_so(
    onnx_file: OnnxFile, photos: NDArray[np.uint8]
) -> None:
    classifier = Classifier.load(onnx_file((3, 8, 6), 1, (1, 4)), interface=Interface(SCHEMES["caffe"]))
    blue_first = np.stack([photos[..., 2] - 103.939, photos[..., 1] - 116.779, photos[..., 0] - 123.68], axis=1)
    np.testing.assert_allclose(classifier.inputs(photos), blue_first, rtol=0, atol=1e-4)
    expected = softmax(dense(blue_first.astype(np.float32)))
    np.testing.assert_allclose(classifier.probabilities(photos), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("output", [("n", 1), ("n",)])
def test_one_output_is_two_classes(output: tuple[str | int, ...], onnx_file: OnnxFile, photos: NDArray[np.uint8]) -> None:
    logits = dense(photos.astype(np.float32) / 255, 1)[:, 0]
    expected = 1 / (1 + np.exp(-logits.astype(np.float64)))
    kinds: tuple[tuple[str, Output], ...] = (("Sigmoid", "probabilities"), ("Identity", "logits"))
    for ending, kind in kinds:
        path = onnx_file((8, 6, 3), "n", output, ending, columns=1)
        with pytest.raises(ConfigError, match=r"foreign\.onnx has 2 classes.*\b3 names.*labels"):
            Classifier.load(path, interface=Interface(SCHEMES["unit"], kind, ("a", "b", "c")))
        classifier = Classifier.load(path, interface=Interface(SCHEMES["unit"], kind, ("cat", "dog")))
        prediction = classifier.predict(photos)
        np.testing.assert_allclose(prediction.probabilities[:, 1], expected, rtol=0, atol=1e-5)
        np.testing.assert_allclose(prediction.probabilities.sum(axis=1), 1, rtol=0, atol=1e-6)
        assert prediction.labels == tuple("dog" if probability > 0.5 else "cat" for probability in expected)


def test_a_free_number_of_classes_must_be_named(onnx_file: OnnxFile, photos: NDArray[np.uint8]) -> None:
    path = onnx_file((8, 6, 3), output=("n", "classes"))
    with pytest.raises(ArtifactError, match=r"foreign\.onnx .*how many classes.*labels$"):
        Classifier.load(path, interface=UNIT)
    with pytest.raises(ArtifactError, match=r"foreign\.onnx: onnxruntime can't run it.*reshape.*convert"):
        Classifier.load(path, interface=replace(UNIT, class_names=("a", "b", "c"))).predict(photos[:2])
    with pytest.raises(ConfigError, match=r"foreign\.onnx has 2 classes.*\b1 name:"):
        Classifier.load(path, interface=replace(UNIT, class_names=("a",)))
    classifier = Classifier.load(path, interface=replace(UNIT, class_names=("a", "b", "c", "d")))
    expected = softmax(dense(photos.astype(np.float32) / 255))
    np.testing.assert_allclose(classifier.probabilities(photos), expected, rtol=0, atol=1e-5)


def test_a_file_that_gives_more_rows_than_images_is_refused(onnx_file: OnnxFile, photos: NDArray[np.uint8]) -> None:
    path = onnx_file((8, 6, 3), output=("rows", 2), reshaped=(-1, 2))
    with pytest.raises(ArtifactError, match=r"foreign\.onnx: onnxruntime .*cannot reshape.*size 40"):
        Classifier.load(path, interface=UNIT).predict(photos)


def test_memory_that_a_runtime_runs_out_of_is_no_fault_of_the_file(onnx_file: OnnxFile) -> None:
    classifier = Classifier.load(onnx_file((8, 6, 3)), interface=UNIT)
    for error in (MemoryError(), RuntimeError("std::bad_alloc")):
        assert isinstance(classifier.cannot_run(error), MemoryError)
    assert isinstance(classifier.cannot_run(RuntimeError("odd")), ArtifactError)


def test_a_preprocessing_of_three_channels_is_refused_for_grey(onnx_file: OnnxFile) -> None:
    with pytest.raises(ConfigError, match=r"^mean has 3 values.*\b1 channel"):
        Classifier.load(onnx_file((8, 6, 1)), interface=Interface(SCHEMES["torch"]))


def test_names_are_given_to_several_hundred_classes_and_stay_apart(onnx_file: OnnxFile, photos: NDArray[np.uint8]) -> None:
    names = tuple(f"class {i}" for i in range(700))
    names = (*names[:134], "crane", *names[135:517], "crane", *names[518:])
    path = onnx_file((3, 8, 6), output=("n", 700), columns=700)
    with pytest.raises(ConfigError, match=r"foreign\.onnx has 700 classes.*\b699 names"):
        Classifier.load(path, interface=replace(UNIT, class_names=names[1:]))
    classifier = Classifier.load(path, interface=replace(UNIT, class_names=names))
    assert classifier.class_names == (*names[:134], "crane (134)", *names[135:517], "crane (517)", *names[518:])
    prediction = classifier.predict(photos)
    assert prediction.probabilities.shape == (10, 700)
    assert prediction.labels == tuple(classifier.class_names[i] for i in prediction.probabilities.argmax(axis=1))


@pytest.mark.parametrize(
    ("batch", "output", "shapes"),
    [
        ("n", ("n", 4), [(1, 3, 8, 6)] * 10),
        (1, (1, 4), [(1, 3, 8, 6)] * 10),
        (4, (4, 4), [(4, 3, 8, 6)] * 3),
        (None, (4,), [(3, 8, 6)] * 10),
    ],
)
def test_singles_are_ready_for_one_call_each(
    recording: Record,
    batch: int | str | None,
    output: tuple[int | str, ...],
    shapes: list[tuple[int, ...]],
    onnx_file: OnnxFile,
    photos: NDArray[np.uint8],
) -> None:
    classifier, runtime = recording(onnx_file((3, 8, 6), batch, output), UNIT)
    inputs, singles = classifier.inputs(photos), classifier.singles(photos)
    assert [single.shape for single in singles] == shapes
    assert all(single.base is None for single in singles)
    np.testing.assert_array_equal(np.concatenate([s.reshape(-1, 3, 8, 6) for s in singles])[:10], inputs)
    if batch == 4:
        np.testing.assert_array_equal(singles[-1][2:], inputs[[9, 9]])
    rows = np.concatenate([runtime.run(single).reshape(-1, 4) for single in singles])[:10]
    np.testing.assert_allclose(rows, classifier.probabilities(photos), rtol=0, atol=1e-6)
    with pytest.raises(ValueError, match="images must be uint8"):
        classifier.inputs(photos[:, :4])


def test_large_images_go_in_few_at_a_time(recording: Record, onnx_file: OnnxFile) -> None:
    classifier, runtime = recording(onnx_file((256, 256, 3), ending="Softmax"), UNIT)
    classifier.predict(np.zeros((12, 256, 256, 3), np.uint8))
    assert [len(batch) for batch in runtime.batches] == [5, 5, 2, 1, 1]  # Two of them also run alone.


def test_a_signature_is_the_one_that_is_named(foreign: Path, photos: NDArray[np.uint8]) -> None:
    with pytest.raises(ConfigError, match=r"two\.tflite: .*signatures first, second: .*signature$"):
        Classifier.load(foreign / "two.tflite", interface=UNIT)
    for name, seed in (("first", 0), ("second", 1), ("first", 0)):
        classifier = Classifier.load(foreign / "two.tflite", interface=UNIT, signature=name)
        expected = softmax(dense(photos.astype(np.float32) / 255, seed=seed))
        np.testing.assert_allclose(classifier.probabilities(photos), expected, rtol=0, atol=1e-5)
