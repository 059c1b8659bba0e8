"""One dense layer, behind every kind of input and output."""

import numpy as np
from numpy.typing import NDArray

CLASSES = 4


def weights(size: int, columns: int, seed: int) -> NDArray[np.float32]:
    """Return the layer's matrix (size, columns), the same at every call."""
    return np.random.default_rng([seed, size]).normal(0, 3 / np.sqrt(size), (size, columns)).astype(np.float32)
