"""The answers for test images are counted by class and by confidence."""

import numpy as np
import pytest

from edgecnn.edge.inference.answer_mix import CONFIDENCES, ExpectedAnswers, confidence_bins, expected_answers


def test_each_image_is_counted_once_by_its_class_and_by_the_bin_of_its_probability() -> None:
    rows = np.array([[0.4, 0.35, 0.25], [0.0, 1.0, 0.0], [0.05, 0.95, 0.0], [1 / 3, 1 / 3, 1 / 3]], np.float32)
    found = expected_answers("a.tflite", rows)
    assert (found.file, found.classes) == ("a.tflite", (2, 2, 0))
    places = {place: count for place, count in enumerate(found.confidences) if count}
    assert places == {0: 2, CONFIDENCES.index(0.95): 1, len(CONFIDENCES): 1}  # In float32, 0.95 is a little less.
    assert found.fits(3)


def test_a_bin_begins_at_its_lower_end() -> None:
    assert confidence_bins(np.array([0.0, 0.49, 0.5, 0.9989, 0.999, 1.0])).tolist() == [0, 0, 1, 8, 9, 9]


def test_the_last_steps_of_an_8_bit_output_are_in_one_bin() -> None:
    assert len(set(confidence_bins(np.array([254, 255]) / 256).tolist())) == 1


BINS = (5,) + (0,) * len(CONFIDENCES)


@pytest.mark.parametrize(
    ("classes", "confidences"),
    [((5, 0), BINS), ((5, -1, 1), BINS), ((5, 0, 0), BINS[1:]), ((5, 1, 0), BINS), ((0, 0, 0), (0,) * len(BINS))],
)
def test_what_no_images_of_three_classes_give_does_not_fit(classes: tuple[int, ...], confidences: tuple[int, ...]) -> None:
    assert ExpectedAnswers("a", (3, 2, 0), BINS).fits(3)
    assert not ExpectedAnswers("a", classes, confidences).fits(3)
