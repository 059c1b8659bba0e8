"""Compares a file's probabilities with its reference's: the Brier score, with an interval for any distribution."""

import math

import numpy as np
from numpy.typing import NDArray

from edgecnn.benchmarks.statistics.intervals import Interval
from edgecnn.edge.model.preprocess import Floats

# Range of the difference of two scores, from -2 to 2.
_RANGE = 4.0


def brier_scores(probabilities: Floats, labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return each image's sum over the classes of (probability - 1 for the label, else 0)^2, float64 (n,), 0 to 2.

    Brier (1950, Monthly Weather Review 78: 1-3). Like the cross-entropy it is a proper score, but bounded: a probability
    that was rounded to 0 can't outweigh everything else.
    """
    rows = probabilities.astype(np.float64)
    of_label = rows[np.arange(len(labels)), labels]
    found: NDArray[np.float64] = (rows**2).sum(axis=1) - 2 * of_label + 1
    return found


def difference_interval(mean: float, variance: float, images: float, confidence: float = 0.95) -> Interval:
    """Interval of the mean difference of two Brier scores of the same images, whatever their distribution.

    The empirical Bernstein bound (Maurer and Pontil, 2009, "Empirical Bernstein bounds and sample variance penalization",
    theorem 4), on each side. The upper end of Student's interval, the usual choice, is below the truth in a quarter of samples
    of 1,000 images if one image in a thousand decides, as in a quantized file (`tests/benchmarks/judge/test_brier.py`).

    Args:
        mean: Mean of the differences, -2 to 2.
        variance: Variance of the differences of single images.
        images: Number of images, or of their equivalent.
        confidence: Between 0 and 1.
    """
    if images <= 1:
        return Interval(mean, -_RANGE / 2, _RANGE / 2)
    log = math.log(4 / (1 - confidence))
    half = math.sqrt(2 * variance * log / images) + 7 * _RANGE * log / (3 * (images - 1))
    return Interval(mean, max(mean - half, -_RANGE / 2), min(mean + half, _RANGE / 2))
