"""Statements about the calibration images are true, and problems with them are reported."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from edgecnn.convert.export.calibration import LOOKED_AT, Draw, Inputs, calibration_record, check_inputs, compare_halves
from edgecnn.edge.data.splits import ArraySplit
from edgecnn.edge.errors import ConversionError
from edgecnn.edge.export_records import ScaleChange
from edgecnn.edge.model.preprocess import Images


def split(values: list[int]) -> ArraySplit:
    """Images of one pixel."""
    return ArraySplit(np.array(values, np.uint8).reshape(-1, 1, 1, 1), np.zeros(len(values), np.int64))


def draw(values: list[int]) -> Draw:
    return Draw(split(values).array, tuple(range(len(values))), (len(values),), 3, 7, ("few",))


def to_inputs(images: Images) -> Inputs:
    return images.astype(np.float32) / 255


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_an_input_that_is_no_number_is_an_error(bad: float) -> None:
    with pytest.raises(ConversionError, match=r"calibration image becomes.*NaN or infinite"):
        check_inputs(draw([1, 2]), split([1, 2]), lambda images: np.where(images == 2, bad, images))
    with pytest.raises(ConversionError, match="a training image becomes"):
        check_inputs(draw([1]), split([1, 2]), lambda images: np.where(images == 2, bad, images))


def test_a_calibration_that_misses_part_of_the_range_is_warned_of() -> None:
    found = check_inputs(draw([0, 204]), split([0, 255]), to_inputs)
    assert found.calibration == pytest.approx((0, 0.8))
    assert found.train == (0, 1)
    (text,) = found.warnings
    assert all(part in text for part in ("calibration inputs", "0 to 0.8, training inputs", "0 to 1:", "clipped"))


def test_a_calibration_that_covers_nine_tenths_is_not_warned_of() -> None:
    assert check_inputs(draw([0, 230]), split([0, 255]), to_inputs).warnings == ()


def test_the_calibration_images_count_as_training_images_too() -> None:
    assert check_inputs(draw([0, 255]), split([9, 9]), to_inputs).train == (0, 1)


def test_no_more_than_a_sample_of_the_training_images_is_read() -> None:
    read = []

    def counting(images: Images) -> Inputs:
        read.append(len(images))
        return to_inputs(images)

    check_inputs(draw([0, 255]), split([1] * (LOOKED_AT + 500)), counting)
    assert sum(read) == LOOKED_AT + 2
    assert max(read) <= 250


def test_the_scale_that_differs_most_between_the_halves_is_found() -> None:
    def calibrate(inputs: Inputs) -> dict[str, tuple[float, float]]:
        return {"calm": (0.0, 1.0), "wild": (0.0, float(inputs.max()))}

    def scales(ranges: Mapping[str, tuple[float, float]]) -> dict[str, float]:
        return {name: (high - low) / 255 for name, (low, high) in ranges.items()}

    change = compare_halves(calibrate, scales, np.array([4.0, 1.0, 3.0, 2.0]))  # Even positions: 4; odd ones: 2.
    assert change == ScaleChange("wild", 2.0)
    assert compare_halves(calibrate, scales, np.array([1.0, 4.0])) == ScaleChange("wild", 4.0)
    assert compare_halves(calibrate, scales, np.array([4.0])) is None
    assert compare_halves(calibrate, lambda ranges: {}, np.array([1.0, 4.0])) is None


def test_the_record_says_all_of_it() -> None:
    inputs = check_inputs(draw([0, 204]), split([0, 255]), to_inputs)
    halves = {"int8.tflite": ScaleChange("relu", 1.21), "int8.onnx": ScaleChange("relu", 1.2)}
    record = calibration_record(draw([0, 204]), inputs, {"tflite": "minmax"}, halves)
    assert record.method == {"tflite": "minmax"}
    assert (record.indices, record.seed, record.class_counts, record.passed_over) == ((0, 1), 7, (2,), 3)
    assert (record.images_sha256, record.halves) == (draw([0, 204]).sha256, halves)
    assert (record.input_range, record.train_range) == (inputs.calibration, inputs.train)
    *others, text = record.warnings
    assert others == ["few", *inputs.warnings]
    assert all(part in text for part in ("int8.tflite:", "scale of relu", "factor of 1.21", "two halves"))
    steady = calibration_record(draw([0, 255]), replace(inputs, warnings=()), {}, {"int8.onnx": ScaleChange("relu", 1.2)})
    assert steady.warnings == ("few",)
