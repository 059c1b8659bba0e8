"""How right a file is, on the same images as the float Keras model."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.metrics import correct, cross_entropy
from edge.preprocess import Floats


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
        loss: This file's mean cross-entropy in nats.
    """

    images: int
    correct: int
    reference_correct: int
    lost: int
    gained: int
    same_class: int
    loss: float

    @property
    def accuracy(self) -> float:
        """Share classified right, 0 to 1."""
        return self.correct / self.images

    @property
    def drop_points(self) -> float:
        """Percentage points below the reference; negative where the file is better."""
        return 100 * (self.reference_correct - self.correct) / self.images

    @property
    def agreement(self) -> float:
        """Share with the reference's class, 0 to 1."""
        return self.same_class / self.images


def compare(candidate: Floats, reference: Floats, labels: NDArray[np.int64]) -> Accuracy:
    """Compare class probabilities (n, classes) of the same n images.

    Raises:
        ValueError: If the shapes do not fit each other.
    """
    if candidate.shape != reference.shape or len(candidate) != len(labels):
        raise ValueError(f"shapes must be alike, got {candidate.shape}, {reference.shape} and {len(labels)} labels")
    right, reference_right = correct(candidate, labels), correct(reference, labels)
    return Accuracy(
        images=len(labels),
        correct=int(right.sum()),
        reference_correct=int(reference_right.sum()),
        lost=int((reference_right & ~right).sum()),
        gained=int((right & ~reference_right).sum()),
        same_class=int((candidate.argmax(axis=1) == reference.argmax(axis=1)).sum()),
        loss=cross_entropy(candidate, labels),
    )
