"""A bundle has each file's answers for its test images, so that a server can compare."""

from pathlib import Path

import numpy as np
import pytest

from edgecnn.benchmarks.bundle import write_bundle as module
from edgecnn.benchmarks.bundle.write_bundle import write_bundle
from edgecnn.edge.archive import read_index
from edgecnn.edge.data.splits import Split
from edgecnn.edge.inference.answer_mix import ExpectedAnswers
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.model_folder import ModelFolder

FILES = ("int8.tflite", "float32.onnx")


def expected_in(path: Path) -> tuple[ExpectedAnswers, ...]:
    with ModelFolder(path) as opened:
        return read_index(opened.folder).expected


def test_the_answers_of_each_file_are_counted_over_the_images_of_the_bundle(
    exported: Path, test_split: Split, tmp_path: Path
) -> None:
    path = tmp_path / "bars.zip"
    write_bundle(path, ModelFolder(exported), test_split, FILES, test_images=20)
    images = test_split.images(np.linspace(0, 59, 20).round().astype(int))
    for found, name in zip(expected_in(path), FILES, strict=True):
        rows = np.concatenate([Classifier.load(exported / name).predict(image).probabilities for image in images])
        assert found.file == name
        assert found.classes == tuple(rows.argmax(1).tolist().count(label) for label in range(3))
        assert found.confidences[-1] == (rows.max(1) >= 0.999).sum()
        assert sum(found.confidences) == 20


def test_of_many_images_some_are_counted_spread_evenly(
    exported: Path, test_split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MOST_ANSWERED", 15)
    path = tmp_path / "bars.zip"
    write_bundle(path, ModelFolder(exported), test_split, FILES)
    assert [sum(found.classes) for found in expected_in(path)] == [15, 15]
    assert min(expected_in(path)[0].classes) > 0
