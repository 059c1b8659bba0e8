"""A float file that computes something else never counts as exported."""

import numpy as np
import pytest

from edgecnn.convert.export.keep_accuracy import check_parity
from edgecnn.edge.errors import ConversionError
from edgecnn.edge.model.preprocess import Floats

REFERENCE: Floats = np.array([[0.9, 0.1], [0.50001, 0.49999]], np.float32)


def off_by(difference: float) -> Floats:
    return np.array([[0.9 - difference, 0.1 + difference], [0.50001, 0.49999]], np.float32)


@pytest.mark.parametrize(("precision", "difference"), [("float32", 2e-4), ("float16", 3e-2)])
def test_a_difference_beyond_the_tolerance_fails(precision: str, difference: float) -> None:
    with pytest.raises(ConversionError, match=r"name\.tflite differs from Keras.*not exported"):
        check_parity("name.tflite", precision, off_by(difference), REFERENCE)


def test_another_class_fails_even_where_the_difference_is_small() -> None:
    flipped = REFERENCE.copy()
    flipped[1] = flipped[1, ::-1]
    with pytest.raises(ConversionError, match=r"another class.*Keras for 1 images"):
        check_parity("float32.onnx", "float32", flipped, REFERENCE)


def test_a_tie_is_no_other_class() -> None:
    tie = np.array([[0.5, 0.5], [0.1, 0.9]], np.float32)
    tie[0] += np.array([1e-7, -1e-7], np.float32)
    turned = tie.copy()
    turned[0] = turned[0, ::-1]
    assert turned.argmax(axis=1).tolist() != tie.argmax(axis=1).tolist()
    assert check_parity("float32.onnx", "float32", turned, tie).same_class == 1


def test_another_shape_fails() -> None:
    with pytest.raises(ConversionError, match=r"gives \(1, 2\),.*Keras \(2, 2\)"):
        check_parity("int8.tflite", "int8", REFERENCE[:1], REFERENCE)


def test_the_largest_difference_and_the_agreement_are_measured() -> None:
    parity = check_parity("int8.tflite", "int8", off_by(0.5), REFERENCE)
    assert (parity.images, parity.same_class) == (2, 1)
    assert parity.max_difference == pytest.approx(0.5, abs=1e-6)
