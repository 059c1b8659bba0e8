"""Accuracy and loss of one file, without a reference."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.classifier import Classifier
from edge.errors import ConfigError
from edge.metrics import correct, cross_entropy
from edge.preprocess import Images


@dataclass(frozen=True)
class Evaluation:
    """How right a file is.

    Attributes:
        file: Its path.
        runtime: Package and version that ran it.
        images: How many.
        correct: How many it classified right.
        accuracy: Their share, 0 to 1.
        loss: Mean cross-entropy in nats.
        unverified: Why nothing vouches for the file, or None.
    """

    file: str
    runtime: str
    images: int
    correct: int
    accuracy: float
    loss: float
    unverified: str | None


def evaluate(file: str, classifier: Classifier, images: Images, labels: NDArray[np.int64]) -> Evaluation:
    """Classify uint8 images (n, h, w, c) and compare with their labels int64 (n,).

    Raises:
        ConfigError: If the labels go beyond the classifier's classes.
        ArtifactError: If its output is not class probabilities.
    """
    if labels.max() >= len(classifier.class_names):
        raise ConfigError(
            f"{file} has {len(classifier.class_names)} classes, the labels go to {labels.max()}: name others with --data"
        )
    probabilities = classifier.probabilities(images)
    right = int(correct(probabilities, labels).sum())
    runtime = f"{classifier.runtime.name} {classifier.runtime.version}"
    loss = cross_entropy(probabilities, labels)
    return Evaluation(file, runtime, len(labels), right, right / len(labels), loss, classifier.unverified)
