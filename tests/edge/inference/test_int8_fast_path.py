"""The fast path for one image gives the same as the general way."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgecnn.edge.errors import ArtifactError
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.inference.int8_fast_path import SingleImage, single_image
from edgecnn.edge.manifest import Quantization, TensorSpec
from edgecnn.edge.model.interface import SCHEMES, Interface
from edgecnn.edge.model.layout import Layout, image_layout
from edgecnn.edge.model.preprocess import InputTable, to_probabilities

INPUT = TensorSpec("in", (1, 4, 4, 1), "int8", Quantization((1 / 255,), (-128,)))
OUTPUT = TensorSpec("out", (1, 3), "int8", Quantization((1 / 256,), (-128,)))
SHIFT = InputTable((np.arange(256) - 128).astype(np.int8), bgr=False)


class Echo:
    """A runtime that records its input and returns its first numbers."""

    name, version = "echo", "1"

    def __init__(self, entry: TensorSpec = INPUT, output: TensorSpec = OUTPUT) -> None:
        self.input_spec, self.output_spec = entry, output
        self.seen: list[NDArray[Any]] = []

    def run(self, batch: NDArray[Any]) -> NDArray[Any]:
        self.seen.append(batch.copy())
        return batch.reshape(1, -1)[:, :3].astype(self.output_spec.dtype)


def made(runtime: Echo, table: InputTable = SHIFT, columns: int = 3) -> SingleImage | None:
    return single_image(runtime, image_layout(runtime.input_spec, "echo"), table, columns)


@pytest.mark.parametrize(
    ("change", "table", "columns"),
    [
        ({"output": replace(OUTPUT, dtype="float32", quantization=None)}, SHIFT, 3),
        ({"output": replace(OUTPUT, quantization=Quantization((0.1, 0.2, 0.3), (0, 0, 0), 1))}, SHIFT, 3),
        ({"output": replace(OUTPUT, dtype="int16")}, SHIFT, 3),
        ({"output": replace(OUTPUT, shape=(1, 1))}, SHIFT, 1),
        ({"output": replace(OUTPUT, shape=(3,))}, SHIFT, 3),
        ({"output": replace(OUTPUT, shape=(8, 3)), "entry": replace(INPUT, shape=(8, 4, 4, 1))}, SHIFT, 3),
        ({"entry": replace(INPUT, shape=(1, 3, 4, 4))}, SHIFT, 3),
        ({"entry": replace(INPUT, shape=(1, 4, 4, 3))}, InputTable(SHIFT.values, bgr=True), 3),
        ({"entry": replace(INPUT, shape=(1, 4, 4, 3))}, InputTable(np.stack([SHIFT.values] * 3), bgr=False), 3),
        ({"entry": replace(INPUT, dtype="float32", quantization=None)}, InputTable(np.arange(256, dtype=np.float32), False), 3),
    ],
)
def test_other_kinds_of_model_go_the_general_way(change: dict[str, TensorSpec], table: InputTable, columns: int) -> None:
    assert made(Echo(**change), table, columns) is None


@pytest.mark.parametrize(
    "values", [np.arange(256) - 128, np.arange(256) // 2, 127 - np.arange(256)], ids=["shift", "half", "not"]
)
@pytest.mark.parametrize("shape", [(4, 4, 1), (1, 4, 4, 1)])
@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_every_pixel_value_is_looked_up_in_the_table(values: NDArray[Any], shape: tuple[int, ...], dtype: str) -> None:
    table = InputTable(values.astype(dtype), bgr=False)
    runtime = Echo(replace(INPUT, dtype=dtype))
    single = made(runtime, table)
    assert single
    for start in range(0, 256, 16):
        pixels = np.arange(start, start + 16, dtype=np.uint8).reshape(shape)
        single.run(pixels, single.buffers[pixels.shape])
        assert runtime.seen[-1].dtype == dtype
        assert runtime.seen[-1].shape == (1, 4, 4, 1)
        assert runtime.seen[-1].reshape(-1).tolist() == table.values[start : start + 16].tolist()


@pytest.mark.parametrize("spec", [OUTPUT, replace(OUTPUT, dtype="uint8", quantization=Quantization((1 / 256,), (0,)))])
def test_every_output_value_is_what_to_probabilities_makes_of_it(spec: TensorSpec) -> None:
    single = made(Echo(output=spec))
    assert single
    limits = np.iinfo(spec.dtype)
    for first in range(limits.min, limits.max + 1):
        raw = np.array([[first, limits.max + limits.min - first, limits.min]]).astype(spec.dtype)
        assert np.array_equal(single.probabilities(raw, mode="wrap"), to_probabilities(raw, spec))


def test_a_grey_image_without_an_axis_for_it_is_taken() -> None:
    runtime = Echo(replace(INPUT, shape=(1, 4, 4)))
    single = single_image(runtime, Layout((4, 4, 1), (4, 4), 1), SHIFT, 3)
    assert single
    single.run(np.zeros((4, 4, 1), np.uint8), single.buffers[4, 4, 1])
    assert runtime.seen[0].shape == (1, 4, 4)


def test_predict_of_one_image_says_what_predict_of_many_says(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    classifier = Classifier.load(exported / "int8.tflite")
    images = np.random.default_rng(0).integers(0, 256, (40, 12, 12, 1), np.uint8)
    many = classifier.predict(images)
    monkeypatch.setattr(Classifier, "outputs", None)  # Only the general way calls this.
    for place, image in enumerate(images):
        for one in (classifier.predict(image), classifier.predict(image[np.newaxis])):
            assert one.labels == (many.labels[place],)
            assert (one.class_indices.dtype.name, one.class_indices.tolist()) == ("int64", [many.class_indices[place]])
            assert one.probabilities.dtype == np.float32
            assert np.array_equal(one.probabilities, many.probabilities[place : place + 1])
            assert one.runtime == many.runtime


def test_an_earlier_prediction_stays_and_an_image_need_not_lie_in_one_piece(exported: Path) -> None:
    classifier = Classifier.load(exported / "int8.tflite")
    first = classifier.predict(np.zeros((12, 12, 1), np.uint8))
    kept = first.probabilities.copy()
    image = np.full((12, 12, 1), 255, np.uint8)
    classifier.predict(image)
    assert np.array_equal(first.probabilities, kept)
    assert (image == 255).all()
    classifier = Classifier.load(exported / "int8.tflite")
    image = np.random.default_rng(1).integers(0, 256, (24, 24, 1), np.uint8)[::2, ::-2]
    expected = classifier.predict(np.stack([image, image]))
    assert np.array_equal(classifier.predict(image).probabilities, expected.probabilities[:1])


def test_of_a_file_that_nothing_vouches_for_every_output_is_looked_at(artifacts: Path) -> None:
    (artifacts / "manifest.json").unlink()
    classifier = Classifier.load(artifacts / "int8.tflite", interface=Interface(SCHEMES["unit"]))
    assert classifier._single is None


def test_what_a_runtime_raises_for_one_image_is_an_error_with_the_files_name(
    exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(batch: NDArray[Any]) -> NDArray[Any]:
        raise RuntimeError("Input tensor 14 lacks data")

    model = Classifier.load(exported / "int8.tflite")
    assert model._single
    monkeypatch.setattr(model._single, "_run", fails)
    with pytest.raises(ArtifactError, match=r"int8\.tflite: .*tensor 14 lacks data"):
        model.predict(np.zeros(model.shape, np.uint8))
