"""Accuracy and loss of class probabilities: one definition for training, evaluation and benchmark."""

import numpy as np
from numpy.typing import NDArray

from edge.preprocess import Floats


def correct(probabilities: Floats, labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return for each image whether its most probable class (the first, on a tie) is its label, shape (n,)."""
    right: NDArray[np.bool_] = probabilities.argmax(axis=1) == labels
    return right


def cross_entropy(probabilities: Floats, labels: NDArray[np.int64]) -> float:
    """Return the mean of -ln p(label) in nats, with p at least 1e-7, as Keras clips it.

    A quantised output rounds small probabilities to 0, so its loss is larger than its accuracy suggests.
    """
    chosen = probabilities[np.arange(len(labels)), labels]
    return abs(float(np.log(np.clip(chosen, 1e-7, 1)).mean()))
