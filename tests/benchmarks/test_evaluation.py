"""Accuracy and loss of one file."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.evaluation import evaluate
from convert.dataset import load_split
from edge.classifier import Classifier
from edge.errors import ConfigError
from edge.metrics import cross_entropy


def test_labels_beyond_the_classes_are_refused(exported: Path) -> None:
    classifier = Classifier.load(exported / "int8.tflite")
    with pytest.raises(ConfigError, match=r"int8\.tflite has 3 classes, the labels go to 3: name others with --data"):
        evaluate("int8.tflite", classifier, np.zeros((2, 12, 12, 1), np.uint8), np.array([0, 3]))


@pytest.mark.parametrize("name", ["int8.tflite", "float32.tflite", "float32.onnx"])
def test_an_evaluation_counts_what_the_classifier_says(name: str, exported: Path, idx_folder: Path) -> None:
    classifier = Classifier.load(exported / name)
    images = load_split(idx_folder, "test").images
    probabilities = classifier.probabilities(images)
    labels = probabilities.argmax(axis=1)
    labels[:15] = (labels[:15] + 1) % 3
    result = evaluate(name, classifier, images, labels)
    assert (result.file, result.images, result.correct, result.accuracy) == (name, 60, 45, 0.75)
    assert result.loss == cross_entropy(probabilities, labels)
    assert result.runtime == f"{classifier.runtime.name} {classifier.runtime.version}"
    assert result.unverified is None


def test_an_evaluation_says_that_nothing_vouches_for_the_file(artifacts: Path) -> None:
    (artifacts / "manifest.json").unlink()
    classifier = Classifier.load(artifacts / "int8.tflite")
    result = evaluate("int8.tflite", classifier, np.zeros((1, 12, 12, 1), np.uint8), np.array([0]))
    assert result.unverified == "no manifest.json beside it"
