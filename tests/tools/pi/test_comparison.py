"""How a board's probabilities are compared with this machine's."""

import numpy as np
import pytest

from tools.pi.comparison import TOLERANCE, compare, complaint, to_text
from tools.pi.workstation import FILES

HERE = np.array([[0.75, 0.25], [0.4, 0.6]], np.float32)


def test_a_difference_above_the_files_tolerance_or_that_is_no_number_is_a_complaint() -> None:
    board = HERE + np.array([[0, 0], [0.01, -0.01]], np.float32)
    told = complaint(compare("int8.tflite", "litert", board, HERE))
    assert told == (
        "int8.tflite in litert: a probability differs from this machine's by 0.01, the limit is 0.00391; same class for 2 of 2"
    )
    assert complaint(compare("int8.tflite", "litert", HERE + np.float32(0.003), HERE)) is None
    assert complaint(compare("float32.onnx", "openvino", np.full_like(HERE, np.nan), HERE))


def test_images_whose_class_changes_are_counted_and_other_images_refused() -> None:
    assert compare("int8.onnx", "openvino", HERE[:, ::-1], HERE).same_class == 0
    with pytest.raises(ValueError, match="must have one shape"):
        compare("int8.onnx", "openvino", HERE[:1], HERE)


def test_every_file_that_is_made_has_a_tolerance_that_its_row_shows() -> None:
    assert sorted(TOLERANCE) == sorted(file for files in FILES.values() for file in files)
    *_, row = to_text("a-board", [compare("int8.tflite", "litert", HERE, HERE)]).splitlines()
    assert row.split() == ["int8.tflite", "litert", "2", "of", "2", "0", "0.0039"]
