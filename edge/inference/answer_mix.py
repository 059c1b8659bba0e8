"""How often a file gives each class and each confidence: of test images, which a bundle records, and in service."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecnn.edge.model.preprocess import Floats, counts

CONFIDENCES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.999)
"""Lower ends of all bins of confidence except the first, which begins at 0. Most answers of a good file are close to 1.

The last two steps of an 8-bit output are in one bin: another machine may round its halves otherwise.
"""


@dataclass(frozen=True)
class ExpectedAnswers:
    """What a file answered for a bundle's test images, where the bundle was made.

    Attributes:
        file: Name of the file.
        classes: Number of images for each class, in the order of the manifest's class names.
        confidences: Number of images for each bin of `CONFIDENCES`.
    """

    file: str
    classes: tuple[int, ...]
    confidences: tuple[int, ...]

    def fits(self, classes: int) -> bool:
        """Return whether these are counts of the same images, of a file with this number of classes."""
        found = (*self.classes, *self.confidences)
        shape = (len(self.classes), len(self.confidences)) == (classes, len(CONFIDENCES) + 1)
        return shape and min(found) >= 0 and sum(self.classes) == sum(self.confidences) > 0


def expected_answers(file: str, probabilities: Floats) -> ExpectedAnswers:
    """Count the answers of a file, given as probabilities (n, classes)."""
    classes = counts(probabilities.argmax(axis=1), probabilities.shape[1])
    bins = counts(confidence_bins(probabilities.max(axis=1)), len(CONFIDENCES) + 1)
    return ExpectedAnswers(file, tuple(classes.tolist()), tuple(bins.tolist()))


def confidence_bins(confidences: NDArray[np.floating[Any]]) -> NDArray[np.intp]:
    """Return the bin of each confidence, the probability of the most probable class: 0 for less than `CONFIDENCES[0]`."""
    return np.searchsorted(CONFIDENCES, confidences, side="right")
