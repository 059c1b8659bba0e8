"""A file that gives other predictions does not pass."""

import numpy as np
import pytest

from tools.peers.checks import agreement, disagreement

LABELS = np.zeros(1000, np.int64)
REFERENCE = np.tile(np.array([[0.9, 0.1]], np.float32), (1000, 1))


def changed(images: int) -> np.ndarray:
    probabilities = REFERENCE.copy()
    probabilities[:images] = [0.25, 0.75]
    return probabilities


def test_one_image_of_another_class_fails_a_float_file_and_says_by_how_much() -> None:
    found = agreement(changed(1), REFERENCE, LABELS)
    assert (found.same_class, found.right, found.reference_right) == (999, 999, 1000)
    assert disagreement(found, "float32") == (
        "another class than Keras for 1 of 1,000 images, probabilities differ by up to 0.65"
    )


def test_outputs_that_are_not_finite_fail_whatever_their_class() -> None:
    probabilities = REFERENCE.copy()
    probabilities[5, 1] = np.nan
    for precision in ("float32", "int8"):
        assert disagreement(agreement(probabilities, REFERENCE, LABELS), precision) == "some of its outputs are not finite"


def test_an_int8_file_fails_only_where_it_is_right_less_often_than_allowed() -> None:
    assert disagreement(agreement(changed(5), REFERENCE, LABELS), "int8") is None
    told = disagreement(agreement(changed(6), REFERENCE, LABELS), "int8")
    assert told == "right on only 99.40 %, 0.60 points below Keras (limit 0.5)"


def test_the_same_predictions_pass() -> None:
    found = agreement(REFERENCE + np.float32(1e-6), REFERENCE, LABELS)
    assert found.largest_difference == pytest.approx(1e-6, rel=0.1)
    assert disagreement(found, "float32") is None


def test_outputs_of_another_shape_are_no_predictions() -> None:
    with pytest.raises(ValueError, match="outputs must be"):
        agreement(REFERENCE[:, :1], REFERENCE, LABELS)
