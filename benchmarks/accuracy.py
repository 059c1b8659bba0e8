"""How right a file is, on the same images as its reference."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks import binomial
from benchmarks.intervals import Interval
from benchmarks.proportions import drop_interval, mcnemar_p
from edge.metrics import correct, cross_entropy
from edge.preprocess import Floats

# What the files of a manifest are judged against, as texts call it.
KERAS_REFERENCE = "the float Keras model"


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
        reference: The reference's class.
        candidate: This file's class.
        reference_confidence: The reference's probability of its own class, 0 to 1.
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
        confusion: (true label, this file's class, images), where there are any, in this order.
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


class Tally:
    """A file beside its reference, chunk by chunk: what it keeps grows with the classes and flips, not with the images."""

    def __init__(self, classes: int) -> None:
        self._classes = classes
        self._images = self._lost = self._gained = self._same = 0
        self._loss = self._change = self._largest_change = 0.0
        self._by_class = np.zeros((3, classes), np.int64)  # Images, right here, right in the reference.
        self._confusion: Counter[tuple[int, int]] = Counter()
        self._flips: list[Flip] = []

    def add(self, candidate: Floats, reference: Floats, labels: NDArray[np.int64]) -> None:
        """Add the next images' class probabilities float32 (n, classes) and labels int64 (n,).

        Raises:
            ValueError: If the shapes do not fit each other.
        """
        if not candidate.shape == reference.shape == (len(labels), self._classes):
            raise ValueError(
                f"shapes must be alike, got {candidate.shape}, {reference.shape}, {len(labels)} labels, {self._classes} classes"
            )
        if not len(labels):
            return
        right, reference_right = correct(candidate, labels), correct(reference, labels)
        self._lost += int((reference_right & ~right).sum())
        self._gained += int((right & ~reference_right).sum())
        for row, of in enumerate((labels, labels[right], labels[reference_right])):
            self._by_class[row] += np.bincount(of, minlength=self._classes)
        chosen, reference_chosen = candidate.argmax(axis=1), reference.argmax(axis=1)
        self._confusion.update(zip(labels.tolist(), chosen.tolist(), strict=True))
        every = np.arange(len(labels))
        change = np.abs(candidate[every, reference_chosen] - reference[every, reference_chosen])
        self._largest_change = max(self._largest_change, float(change.max()))
        self._change += float(change.sum(dtype=np.float64))
        self._loss += cross_entropy(candidate, labels) * len(labels)
        differ = np.flatnonzero(chosen != reference_chosen)
        self._same += len(labels) - len(differ)
        self._flips += [
            Flip(
                image=self._images + int(i),
                label=int(labels[i]),
                reference=int(reference_chosen[i]),
                candidate=int(chosen[i]),
                reference_confidence=float(reference[i].max()),
                candidate_confidence=float(candidate[i].max()),
            )
            for i in differ
        ]
        self._images += len(labels)

    def accuracy(self) -> Accuracy:
        """Return what was counted.

        Raises:
            ValueError: If no image was added.
        """
        images = self._images
        if not images:
            raise ValueError("images must be at least one, got none")
        return Accuracy(
            images=images,
            correct=int(self._by_class[1].sum()),
            reference_correct=int(self._by_class[2].sum()),
            lost=self._lost,
            gained=self._gained,
            same_class=self._same,
            drop=drop_interval(self._lost, self._gained, images),
            agreement=binomial.interval(self._same, images),
            mcnemar_p=mcnemar_p(self._lost, self._gained),
            loss=self._loss / images,
            largest_confidence_change=self._largest_change,
            mean_confidence_change=self._change / images,
            classes=tuple(ClassCounts(*counts) for counts in self._by_class.T.tolist()),
            confusion=tuple((*pair, count) for pair, count in sorted(self._confusion.items())),
            flips=tuple(self._flips),
        )


def compare(candidate: Floats, reference: Floats, labels: NDArray[np.int64]) -> Accuracy:
    """Compare class probabilities (n, classes) of the same n images, all at once. Errors as `Tally`."""
    tally = Tally(reference.shape[1])
    tally.add(candidate, reference, labels)
    return tally.accuracy()
