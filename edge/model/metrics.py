"""Accuracy, loss and counts of classes: one definition for training, evaluation and benchmark."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecnn.edge.model.preprocess import Floats

# The clipping of Keras.
_LEAST = 1e-7


def correct(probabilities: Floats, labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return whether each image's most probable class (on a tie, the first) is its label, shape (n,)."""
    right: NDArray[np.bool_] = probabilities.argmax(axis=1) == labels
    return right


def counts(values: NDArray[np.integer[Any]], size: int, weights: NDArray[np.float64] | None = None) -> NDArray[Any]:
    """Return how often each of the numbers 0 to `size` - 1 occurs in `values`, or the sum of its weights, shape (size,).

    `np.bincount` alone refuses int64 on a 32-bit machine.
    """
    return np.bincount(values.astype(np.intp), weights, size)


def losses(probabilities: Floats, labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return each image's -ln p(label) in nats, float64 (n,), with p at least 1e-7.

    Each row is first divided by its sum: an 8-bit output ends at 255/256, which alone would cost 0.004. It also rounds small
    probabilities to 0, so its loss is larger than its accuracy suggests.
    """
    chosen = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    found: NDArray[np.float64] = -np.log(np.clip(chosen / probabilities.sum(axis=1, dtype=np.float64), _LEAST, 1))
    return found


def cross_entropy(probabilities: Floats, labels: NDArray[np.int64]) -> float:
    """Return the mean of `losses`."""
    return abs(float(losses(probabilities, labels).mean()))


LEAST_SPREAD = 1e-4
"""Outputs that vary less between images count as equal: float32 sums of two machines differ by as much."""


def spread(probabilities: Floats) -> float:
    """Return the largest range of any class's probability over the images (n, classes), 0 to 1."""
    return float(np.ptp(probabilities, axis=0).max())
