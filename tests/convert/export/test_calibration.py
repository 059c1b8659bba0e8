"""The calibration draw is even over the classes, repeatable and never a test image; problems with it are reported."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from edgecnn.convert.export.calibration import (
    LOOKED_AT,
    Draw,
    Inputs,
    calibration_methods,
    calibration_record,
    compare_halves,
    draw_calibration,
)
from edgecnn.convert.export.converters import Converter
from edgecnn.edge.data.dataset import Dataset, load_dataset
from edgecnn.edge.data.splits import ArraySplit, Split
from edgecnn.edge.errors import ConfigError, ConversionError
from edgecnn.edge.export_records import Calibration, ScaleChange
from edgecnn.edge.files import sha256
from edgecnn.edge.formats import CalibrationName
from edgecnn.edge.model.preprocess import Images


@pytest.fixture
def dataset(idx_folder: Path) -> Dataset:
    return load_dataset(idx_folder)


def part(split: Split, indices: Any) -> ArraySplit:
    return ArraySplit(split.images(indices), split.labels[indices])


@dataclass(frozen=True, eq=False)
class Watched:
    """A split that records how many images were requested."""

    split: Split
    asked: list[int] = field(default_factory=list)

    @property
    def labels(self) -> Any:
        return self.split.labels

    @property
    def shape(self) -> Any:
        return self.split.shape

    @property
    def sha256(self) -> str:
        return self.split.sha256

    def images(self, indices: Any) -> Images:
        self.asked.append(len(indices))
        return self.split.images(indices)


@pytest.mark.parametrize(
    ("method", "formats", "message"),
    [
        ("mse", ("tflite", "onnx"), "onnx has no calibration=mse .it has minmax, entropy, percentile.: use formats=tflite"),
        ("percentile", ("ncnn",), "ncnn has no calibration=percentile"),
        ("max", ("onnx",), "calibration=max is unknown: use minmax, percentile, mse, entropy"),
    ],
)
def test_a_method_that_a_format_lacks_is_refused(method: CalibrationName, formats: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        calibration_methods(method, formats)


def test_each_format_gets_its_method() -> None:
    assert calibration_methods(None, ("tflite", "onnx")) == {"tflite": "minmax", "onnx": "minmax"}
    assert calibration_methods("entropy", ("onnx",)) == {"onnx": "entropy"}


def test_training_images_that_are_also_test_images_are_passed_over_until_none_is_left(dataset: Dataset) -> None:
    with pytest.raises(ConversionError, match=r"every training image.* test image"):
        draw_calibration(replace(dataset, test=dataset.train))
    leaked = replace(dataset, test=part(dataset.train, np.arange(120)))
    draw = draw_calibration(leaked, count=240)
    assert min(draw.indices) >= 120
    assert len(draw.indices) == draw.passed_over == 120
    assert draw_calibration(dataset, count=240).passed_over == 0


def test_classes_are_even_and_each_of_many_has_an_image(dataset: Dataset) -> None:
    draw = draw_calibration(dataset, count=90)
    assert draw.class_counts == (30, 30, 30)
    assert np.bincount(dataset.train.labels[list(draw.indices)]).tolist() == [30, 30, 30]  # noqa: TID251 - On a workstation.
    labels = np.arange(240, dtype=np.int64) // 2
    train = ArraySplit(dataset.train.images(range(240)), labels)
    draw = draw_calibration(replace(dataset, train=train, class_names=tuple(map(str, range(120)))), count=50)
    assert draw.class_counts == (1,) * 120


def test_a_small_or_empty_class_and_few_images_are_warned_of(dataset: Dataset) -> None:
    kept = np.flatnonzero((dataset.train.labels != 2) | (np.arange(len(dataset.train.labels)) < 12))
    draw = draw_calibration(replace(dataset, train=part(dataset.train, kept)), count=124)
    assert draw.class_counts == (60, 60, 4)
    assert [all(part in text for part in ("half", "share of 2:", "training images")) for text in draw.warnings] == [True]
    draw = draw_calibration(replace(dataset, train=part(dataset.train, np.flatnonzero(dataset.train.labels != 1))), count=100)
    assert draw.class_counts == (50, 0, 50)
    assert ["no image of 1:" in text for text in draw.warnings] == [True]
    draw = draw_calibration(dataset, count=99)
    assert [all(part in text for part in ("only 99", "3 classes", "least 100")) for text in draw.warnings] == [True]
    assert draw_calibration(dataset, count=102).warnings == ()


def test_the_draw_can_be_repeated(dataset: Dataset) -> None:
    draw = draw_calibration(dataset, count=30)
    assert np.array_equal(draw.images, dataset.train.images(draw.indices))
    assert draw.sha256 == sha256(draw.images.tobytes())
    assert list(draw.indices) == sorted(draw.indices)
    assert draw_calibration(dataset, count=30).indices == draw.indices
    assert draw_calibration(dataset, count=30, seed=1).indices != draw.indices


def test_no_more_training_images_are_read_than_are_looked_at(dataset: Dataset) -> None:
    watched = Watched(dataset.train)
    draw_calibration(replace(dataset, train=watched), count=30)
    assert sum(watched.asked) == 30


def split(values: list[int]) -> ArraySplit:
    """Images of one pixel."""
    return ArraySplit(np.array(values, np.uint8).reshape(-1, 1, 1, 1), np.zeros(len(values), np.int64))


def draw(values: list[int]) -> Draw:
    return Draw(split(values).array, tuple(range(len(values))), (len(values),), 3, 7, ("few",))


def to_inputs(images: Images) -> Inputs:
    return images.astype(np.float32) / 255


def recorded(chosen: list[int], train: list[int], to_inputs: Callable[[Images], Any] = to_inputs) -> Calibration:
    halves = {"int8.tflite": ScaleChange("relu", 1.21), "int8.onnx": ScaleChange("relu", 1.2)}
    return calibration_record(draw(chosen), split(train), to_inputs, {"tflite": "minmax"}, halves)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_an_input_that_is_no_number_is_an_error(bad: float) -> None:
    with pytest.raises(ConversionError, match=r"calibration image becomes.*NaN or infinite"):
        recorded([1, 2], [1, 2], lambda images: np.where(images == 2, bad, images))
    with pytest.raises(ConversionError, match="a training image becomes"):
        recorded([1], [1, 2], lambda images: np.where(images == 2, bad, images))


def test_the_record_says_all_of_it_and_warns_of_a_part_of_the_range_that_is_missed() -> None:
    record = recorded([0, 204], [0, 255])
    assert record.method == {"tflite": "minmax"}
    assert (record.indices, record.seed, record.class_counts, record.passed_over) == ((0, 1), 7, (2,), 3)
    assert (record.images_sha256, list(record.halves)) == (draw([0, 204]).sha256, ["int8.tflite", "int8.onnx"])
    assert record.input_range == pytest.approx((0, 0.8))
    assert record.train_range == (0, 1)
    few, range_, scale = record.warnings
    assert few == "few"
    assert all(part in range_ for part in ("calibration inputs", "0 to 0.8, training inputs", "0 to 1:", "clipped"))
    assert all(part in scale for part in ("int8.tflite:", "scale of relu", "factor of 1.21", "two halves"))


def test_a_scale_that_differs_alike_in_several_files_is_one_warning() -> None:
    names = {"int8.tflite": "a/relu;a/bias", "int8.onnx": "a/relu:0", "int16x8.tflite": "b/relu"}
    halves = {file: ScaleChange(name, 1.3) for file, name in names.items()}
    _, both, other = calibration_record(draw([0, 255]), split([0, 255]), to_inputs, {}, halves).warnings
    assert both.startswith("int8.tflite, int8.onnx: the scale of a/relu differs by a factor of 1.30 ")
    assert other.startswith("int16x8.tflite: the scale of b/relu ")


def test_a_calibration_that_covers_nine_tenths_is_not_warned_of_and_counts_as_training_images_too() -> None:
    few, scale = recorded([0, 230], [0, 255]).warnings
    assert (few, "factor" in scale) == ("few", True)
    assert recorded([0, 255], [9, 9]).train_range == (0, 1)


def test_no_more_than_a_sample_of_the_training_images_is_read() -> None:
    read = []

    def counting(images: Images) -> Inputs:
        read.append(len(images))
        return to_inputs(images)

    recorded([0, 255], [1] * (LOOKED_AT + 500), counting)
    assert sum(read) == LOOKED_AT + 2
    assert max(read) <= 250


def halves(inputs: list[float], *activations: str) -> ScaleChange | None:
    """Compare the halves of inputs, on which the range of one activation depends."""
    converter = SimpleNamespace(
        calibrate=lambda some: {name: (0.0, float(some.max()) if name == "wild" else 1.0) for name in activations},
        quantize=lambda precision, ranges: {name: (high - low) / 255 for name, (low, high) in ranges.items()},
        scales=lambda data: data,
    )
    return compare_halves(cast(Converter, converter), "int8", np.array(inputs))


def test_the_scale_that_differs_most_between_the_halves_is_found() -> None:
    assert halves([4.0, 1.0, 3.0, 2.0], "calm", "wild") == ScaleChange("wild", 2.0)  # Even positions: 4; odd ones: 2.
    assert halves([1.0, 4.0], "calm", "wild") == ScaleChange("wild", 4.0)
    assert halves([4.0], "calm", "wild") is None
    assert halves([1.0, 4.0]) is None
