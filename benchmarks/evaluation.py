"""Accuracy and loss of one file, without a reference."""

from collections.abc import Callable
from dataclasses import dataclass

from edge.classifier import Classifier
from edge.errors import ConfigError
from edge.interface import Interface
from edge.manifest import DatasetRecord
from edge.metrics import correct, cross_entropy
from edge.splits import Split, chunks


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
        dataset: Which images.
        interface: How they went in, what the outputs are, and the classes' names, as the manifest or the user says.
    """

    file: str
    runtime: str
    images: int
    correct: int
    accuracy: float
    loss: float
    unverified: str | None
    dataset: DatasetRecord
    interface: Interface


@dataclass(frozen=True)
class Evaluations:
    """The files of a folder or bundle; `skipped` are names of those that were not run, and why."""

    files: tuple[Evaluation, ...]
    skipped: dict[str, str]


def evaluate(
    file: str,
    classifier: Classifier,
    test: Split,
    dataset: DatasetRecord,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Evaluation:
    """Classify the test images, a chunk in memory at a time, and compare with their labels.

    `dataset` is the record of `test`; `on_progress` gets how many of how many images are done with.

    Raises:
        ConfigError: If there are no images, or their labels go beyond the classifier's classes.
        ArtifactError: If its output is not class probabilities.
    """
    require_labels(file, len(classifier.class_names), test)
    right, loss, done = 0, 0.0, 0
    for images in chunks(test, on_progress=on_progress):
        labels = test.labels[done : done + len(images)]
        probabilities = classifier.probabilities(images)
        right += int(correct(probabilities, labels).sum())
        loss += cross_entropy(probabilities, labels) * len(labels)
        done += len(images)
    runtime = f"{classifier.runtime.name} {classifier.runtime.version}"
    return Evaluation(
        file, runtime, done, right, right / done, loss / done, classifier.unverified, dataset, classifier.interface
    )


def require_labels(file: str, classes: int, test: Split) -> None:
    """Refuse test images that a file can't be judged on.

    Raises:
        ConfigError: If there are none, or their labels go beyond the file's classes.
    """
    if not len(test.labels):
        raise ConfigError(f"there are no test images to judge {file} on: name others with --data")
    if test.labels.max() >= classes:
        raise ConfigError(f"{file} has {classes} classes, the labels go to {test.labels.max()}: name others with --data")
