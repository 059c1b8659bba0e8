"""One dense layer, behind every kind of input and output."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

CLASSES = 4


def weights(size: int, columns: int, seed: int) -> NDArray[np.float32]:
    """Return the layer's matrix (size, columns), the same at every call."""
    return np.random.default_rng([seed, size]).normal(0, 3 / np.sqrt(size), (size, columns)).astype(np.float32)


def dense(inputs: NDArray[np.floating[Any]], columns: int = CLASSES, seed: int = 0) -> NDArray[np.float32]:
    """Return what the layer gives for inputs (n, ...) in a file's own order of axes."""
    flat = inputs.reshape(len(inputs), -1).astype(np.float32)
    logits: NDArray[np.float32] = flat @ weights(flat.shape[1], columns, seed)
    return logits


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True), dtype=np.float64)
    probabilities: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return probabilities
