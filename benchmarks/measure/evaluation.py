"""Accuracy and loss of one file, without a reference."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecnn.benchmarks.gate.accuracy import is_a_guess
from edgecnn.benchmarks.statistics import binomial
from edgecnn.edge.data.pixel_digests import conflict_note, first_seen, held_out, learnt_note, pixel_digests
from edgecnn.edge.data.splits import Split, chunks
from edgecnn.edge.errors import ConfigError, field
from edgecnn.edge.export_records import NO_BETTER_THAN_A_GUESS, Mended
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.inference.model_test_images import assumed_classes, model_test_record, order_note, split_note
from edgecnn.edge.inference.usage import Usage, reservations
from edgecnn.edge.manifest import DatasetRecord
from edgecnn.edge.model.interface import Interface
from edgecnn.edge.model.preprocess import correct, counts, cross_entropy
from edgecnn.edge.model_folder import ModelFolder
from edgecnn.edge.records import unrecorded
from edgecnn.edge.result import Progress, Result


@dataclass(frozen=True, repr=False)
class Evaluation(Result):
    """The accuracy and loss of a file.

    Attributes:
        file: Path of the file.
        runtime: Package and version that ran it.
        images: Number of images.
        correct: Number classified correctly.
        accuracy: Their share, 0 to 1.
        loss: Mean cross-entropy in nats.
        unverified: Why the file is unverified, or None.
        dataset: Record of the images.
        interface: Preprocessing, kind of output and class names, from the manifest or the user.
        distinct: Number of different images, without copies, also of training images.
        distinct_correct: Number of those classified correctly.
        conflicting: Number of copies with another label than the original.
        commonest: Number of the different images in their most frequent class.
        accepted: Number of the different images whose answer reaches the file's threshold; None for a file without one.
        accepted_wrong: Number of errors among them.
        chose: Number of the different images that chose which layers of the file stay float; if none was held out, all of them.
        chose_correct: Number of those classified correctly.
        max_error: Largest share of errors among the accepted ones that the threshold was set for, 0 to 1; None without one.
        notes: What else a reader must know, one sentence each; not in the JSON.
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
    distinct: int
    distinct_correct: int
    conflicting: int
    commonest: int
    accepted: int | None = None
    accepted_wrong: int = 0
    max_error: float | None = None
    chose: int = 0
    chose_correct: int = 0
    notes: tuple[str, ...] = unrecorded(())

    def doubts(self) -> list[str]:
        """Return why the accuracy may mean less than it seems to, one sentence each; usually empty."""
        notes = [*learnt_note(self.dataset, self.images), *conflict_note(self.conflicting)]
        if self.chose:
            others, right = self.distinct - self.chose, self.distinct_correct - self.chose_correct
            notes.append(
                f"Doubtful: {self.chose:,} {self.dataset.kind}s chose which of its layers stay float, and flatter it"
                + (f": of the other {others:,} different ones, {right:,} are right ({right / others:.2%})." if others else ".")
            )
        share = self.commonest / max(self.distinct, 1)
        if self.distinct and is_a_guess(binomial.interval(self.distinct_correct, self.distinct), share):
            notes.append(f"{NO_BETTER_THAN_A_GUESS}, which {share:.2%} of the images have.")
        return notes


@dataclass(frozen=True, repr=False)
class Evaluations(Result):
    """What was found of each file; `skipped` maps the name of each file that was not run to the reason."""

    files: tuple[Evaluation, ...]
    skipped: dict[str, str]

    def rows(self) -> list[dict[str, Any]]:
        """Return one dict per file: accuracy 0 to 1, loss in nats."""
        figures = ("images", "correct", "accuracy", "loss", "distinct", "distinct_correct", "accepted", "accepted_wrong")
        return [{name: getattr(file, name) for name in ("file", "runtime", *figures, "unverified")} for file in self.files]


def evaluated(models: ModelFolder, name: str, usage: Usage, progress: Progress) -> Evaluation:
    """Evaluate one of the opened files, with notes on its images. Errors are those of `edgecnn.evaluate`."""
    shown = models.shown(name)
    progress.say(f"{shown}: loading")
    model = models.model(name)
    classifier = usage.classifier(model)
    test = usage.test_images(models, shown, classifier, progress)
    record = model_test_record(classifier, usage.data, test, usage.images)
    is_own = classifier.manifest is not None and test.sha256 == classifier.manifest.dataset.test_sha256
    mended = model.artifact.mended if model.artifact and is_own else None
    found = evaluate(shown, classifier, test, record, partial(progress.step, text="classifying"), mended)
    notes: list[str] = []
    if classifier.manifest and not is_own:
        own = classifier.manifest.dataset.name
        notes.append(f"not the test images that the model was exported with ({own}), but others: {usage.data}")
    if usage.data:
        notes += [*split_note(record), *order_note(assumed_classes(classifier, usage.data, usage.images))]
    return replace(found, notes=(*notes, *reservations(classifier)))


def evaluate(  # Longer than 50 lines: the fields of its result.
    file: str,
    classifier: Classifier,
    test: Split,
    dataset: DatasetRecord,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    mended: Mended | None = None,
) -> Evaluation:
    """Classify the test images, one chunk in memory at a time, and compare with their labels.

    `dataset` is the record of `test`; `on_progress` is called with the number of images done and their total. `mended` is the
    record of the file if some of these images chose which of its layers stay float.

    Raises:
        ConfigError: If there are no images, or their labels go beyond the classifier's classes.
        ArtifactError: If its output is not class probabilities.
    """
    require_labels(file, len(classifier.class_names), test)
    right = distinct = distinct_right = conflicting = done = 0
    loss, seen = 0.0, dict[bytes, int]()
    accepted, chose = np.zeros((2, 2), np.int64)
    known = np.isin(np.arange(len(test.labels)), dataset.learnt)
    by_class = np.zeros(len(classifier.class_names), np.int64)
    for images in chunks(test, on_progress=on_progress):
        labels = test.labels[done : done + len(images)]
        probabilities, sure = classifier.judged(images)
        hits = correct(probabilities, labels)
        digests = pixel_digests(images)
        fresh, other_label = first_seen(digests, labels, seen, known[done : done + len(images)])
        choosing = _choosing(mended, fresh, digests)
        chose += choosing.sum(), (choosing & hits).sum()
        by_class += counts(labels[fresh], len(by_class))
        right, distinct_right = right + int(hits.sum()), distinct_right + int(hits[fresh].sum())
        distinct, conflicting = distinct + int(fresh.sum()), conflicting + int(other_label.sum())
        if sure is not None:
            accepted += (sure & fresh).sum(), (sure & fresh & ~hits).sum()
        loss += cross_entropy(probabilities, labels) * len(labels)
        done += len(images)
    return Evaluation(
        file=file,
        runtime=f"{classifier.runtime.name} {classifier.runtime.version}",
        images=done,
        correct=right,
        accuracy=right / done,
        loss=loss / done,
        unverified=classifier.unverified,
        dataset=dataset,
        interface=classifier.interface,
        distinct=distinct,
        distinct_correct=distinct_right,
        conflicting=conflicting,
        commonest=int(by_class.max()),
        accepted=int(accepted[0]) if classifier.threshold else None,
        accepted_wrong=int(accepted[1]),
        max_error=classifier.threshold.max_error if classifier.threshold else None,
        chose=int(chose[0]),
        chose_correct=int(chose[1]),
    )


def _choosing(mended: Mended | None, fresh: NDArray[np.bool_], digests: list[bytes]) -> NDArray[np.bool_]:
    """Return which of the `fresh` images (n,) chose layers; without any that were held out, all of them did."""
    if mended is None:
        return np.zeros_like(fresh)
    return fresh & ~held_out(digests) if mended.held_out else fresh


def require_labels(file: str, classes: int, test: Split) -> None:
    """Raise if a file can't be judged on these test images.

    Raises:
        ConfigError: If there are none, or their labels go beyond the file's classes.
    """
    if not len(test.labels):
        raise ConfigError(f"there are no test images to judge {file} on: name others with {field('data')}")
    if test.labels.max() >= classes:
        raise ConfigError(
            f"{file} has {classes} classes, but the labels go up to {test.labels.max()}: name others with {field('data')}"
        )
