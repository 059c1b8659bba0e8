"""What a file gives is what it ends in: --logits is refused for a file that ends in softmax, however few images there are."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgecnn.edge.compatibility import onnx, tflite_graph
from edgecnn.edge.errors import ArtifactError
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.model.interface import SCHEMES, Interface

OnnxFile = Callable[..., Path]

LOGITS = Interface(SCHEMES["unit"], "logits")
FILES = ["float32.tflite", "float16.tflite", "dynamic.tflite", "int8.tflite", "int16x8.tflite", "float32.onnx", "int8.onnx"]


@pytest.mark.parametrize(
    ("folder", "name"),
    [*(("exported", name) for name in FILES), *(("foreign", name) for name in ("float32.tflite", "two.tflite", "int8.tflite"))],
)
def test_a_file_that_ends_in_softmax_gives_no_logits(
    folder: str, name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    shutil.copy(request.getfixturevalue(folder) / name, tmp_path)
    with pytest.raises(ArtifactError, match=rf"{name}: output .*already probabilities.*(SOFTMAX|Softmax)\).*omit logits"):
        Classifier.load(tmp_path / name, interface=LOGITS, signature="first" if name == "two.tflite" else None)


@pytest.mark.parametrize(
    ("ending", "columns", "fix"),
    [
        ("Softmax", 4, r"\): omit logits"),
        ("Sigmoid", 1, r"\): omit logits"),
        ("Sigmoid", 4, " for each class.*: end .*softmax"),
    ],
)
def test_an_onnx_file_says_what_it_ends_in_past_a_reshape(ending: str, columns: int, fix: str, onnx_file: OnnxFile) -> None:
    path = onnx_file((8, 6, 1), ending=ending, columns=columns, output=("n", columns))
    with pytest.raises(ArtifactError, match=rf"ends in {ending}{fix}"):
        Classifier.load(path, interface=LOGITS)


def test_logits_are_taken_without_a_doubt(onnx_file: OnnxFile) -> None:
    classifier = Classifier.load(onnx_file((8, 6, 1), ending="Identity"), interface=LOGITS)
    classifier.predict(np.full((1, 8, 6, 1), 100, np.uint8))
    assert not classifier.doubts


def test_outputs_that_look_like_probabilities_are_doubted_from_the_first_until_one_does_not(onnx_file: OnnxFile) -> None:
    # As from a softmax of several operators, none of which says what it is.
    classifier = Classifier.load(onnx_file((8, 6, 1), ending="Hardmax"), interface=LOGITS)
    assert not classifier.doubts
    image = np.full((1, 8, 6, 1), 100, np.uint8)
    classifier.predict(image)
    assert "sum to 1" in classifier.doubts[0]
    assert "logits" in classifier.doubts[0]
    inner = classifier.runtime.run
    classifier.runtime.run = lambda batch: inner(batch) * 3  # type: ignore[method-assign]
    classifier.predict(image)
    assert not classifier.doubts


@pytest.mark.parametrize("read", [onnx.last_operator, tflite_graph.last_operator])
@pytest.mark.parametrize("data", [b"", b"\0" * 8, b"\x08\x08", b"\x00\x00\x00\x00TFL3", bytes(range(256))])
def test_what_is_no_such_file_says_nothing(read: Callable[[bytes, object], str | None], data: bytes) -> None:
    assert read(data, None) is None
