"""How right a file is, on the same images as the float Keras model."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks import binomial
from benchmarks.intervals import Interval
from benchmarks.proportions import drop_interval, mcnemar_p
from edge.metrics import correct, cross_entropy
from edge.preprocess import Floats


@dataclass(frozen=True)
class ClassCounts:
    """One class of the labels: how many images, and how many of them each model has right."""

    images: int
    correct: int
    reference_correct: int


@dataclass(frozen=True)
class Flip:
    """An image to which the two models give different classes.

    Attributes:
        image: Its index in the test set, from 0.
        label: The true class.
        reference: The float Keras model's class.
        candidate: This file's class.
        reference_confidence: The float Keras model's probability of its own class, 0 to 1.
        candidate_confidence: This file's probability of its own class, 0 to 1.
    """

    image: int
    label: int
    reference: int
    candidate: int
    reference_confidence: float
    candidate_confidence: float


@dataclass(frozen=True)
class Accuracy:
    """Counts first: every share follows from them.

    Attributes:
        images: How many.
        correct: Classified right by this file.
        reference_correct: Classified right by the float Keras model.
        lost: Right by the reference and wrong by this file.
        gained: Wrong by the reference and right by this file.
        same_class: Both give the same class, right or wrong.
        drop: (lost - gained) / images, with its interval; negative where the file is better.
        agreement: same_class / images, with its interval (Clopper-Pearson).
        mcnemar_p: Exact two-sided p of "this file is right as often as the reference".
        loss: This file's mean cross-entropy in nats.
        largest_confidence_change: Of the probability of the reference's class, over all images; absolute, 0 to 1.
        mean_confidence_change: Likewise, the mean.
        classes: By true label.
        confusion: Counts of (true label, this file's class).
        flips: Every image with another class than the reference's, by index.
    """

    images: int
    correct: int
    reference_correct: int
    lost: int
    gained: int
    same_class: int
    drop: Interval
    agreement: Interval
    mcnemar_p: float
    loss: float
    largest_confidence_change: float
    mean_confidence_change: float
    classes: tuple[ClassCounts, ...]
    confusion: tuple[tuple[int, ...], ...]
    flips: tuple[Flip, ...]

    @property
    def accuracy(self) -> float:
        """Share classified right, 0 to 1."""
        return self.correct / self.images


def compare(candidate: Floats, reference: Floats, labels: NDArray[np.int64]) -> Accuracy:
    """Compare class probabilities (n, classes) of the same n images.

    Raises:
        ValueError: If the shapes do not fit each other.
    """
    if candidate.shape != reference.shape or len(candidate) != len(labels):
        raise ValueError(f"shapes must be alike, got {candidate.shape}, {reference.shape} and {len(labels)} labels")
    images, classes = candidate.shape
    right, reference_right = correct(candidate, labels), correct(reference, labels)
    lost, gained = int((reference_right & ~right).sum()), int((right & ~reference_right).sum())
    chosen, reference_chosen = candidate.argmax(axis=1), reference.argmax(axis=1)
    same = int((chosen == reference_chosen).sum())
    every = np.arange(images)
    change = np.abs(candidate[every, reference_chosen] - reference[every, reference_chosen])
    confusion = np.zeros((classes, classes), np.int64)
    np.add.at(confusion, (labels, chosen), 1)
    return Accuracy(
        images=images,
        correct=int(right.sum()),
        reference_correct=int(reference_right.sum()),
        lost=lost,
        gained=gained,
        same_class=same,
        drop=drop_interval(lost, gained, images),
        agreement=binomial.interval(same, images),
        mcnemar_p=mcnemar_p(lost, gained),
        loss=cross_entropy(candidate, labels),
        largest_confidence_change=float(change.max()),
        mean_confidence_change=float(change.mean()),
        classes=tuple(
            ClassCounts(int(of.sum()), int(right[of].sum()), int(reference_right[of].sum()))
            for of in (labels == index for index in range(classes))
        ),
        confusion=tuple(tuple(int(count) for count in row) for row in confusion),
        flips=tuple(
            Flip(
                image=int(i),
                label=int(labels[i]),
                reference=int(reference_chosen[i]),
                candidate=int(chosen[i]),
                reference_confidence=float(reference[i].max()),
                candidate_confidence=float(candidate[i].max()),
            )
            for i in np.flatnonzero(chosen != reference_chosen)
        ),
    )
