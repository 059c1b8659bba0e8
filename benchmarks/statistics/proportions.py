"""Statistics of the flips between two classifiers on the same images."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from edgecnn.benchmarks.statistics import binomial
from edgecnn.edge.export_records import Interval

_POINTS = 2001  # Points of each integral: for whole counts the ends are accurate to 2e-5 of the interval's width.
_ROUGH_POINTS = 401  # For planning: the ends are accurate to 1e-3 of the interval's width.


def mcnemar_p(lost: int, gained: int) -> float:
    """Return the two-sided p-value of "both classifiers are right equally often" (McNemar, 1947; exact, not by chi-square).

    Args:
        lost: Number of images that only the reference classifies correctly.
        gained: Number of images that only the candidate classifies correctly.

    Returns:
        The p-value, 0 to 1; 1 without flips.
    """
    return min(1.0, 2 * binomial.cdf(min(lost, gained), lost + gained, 0.5))


def holm(p: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number: the chance that any is this small although none should be.

    Holm (1979, Scandinavian Journal of Statistics 6: 65-70); it holds however the tests depend on each other.
    """
    corrected, least = [0.0] * len(p), 0.0
    for rank, place in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        least = max(least, min(1.0, (len(p) - rank) * p[place]))
        corrected[place] = least
    return corrected


def drop_interval(lost: float, gained: float, images: float, confidence: float = 0.95) -> Interval:
    """Return the interval of the drop (lost - gained) / images, as a share.

    Fay and Lumbard (2021, Statistics in Medicine 40: 1147-1159): the Clopper-Pearson distributions of the share of flips and
    of the share of losses among them, multiplied. The upper end is Clopper-Pearson's if nothing was gained, and the
    interval excludes 0 exactly if `mcnemar_p` is at most 1 - confidence. The authors show coverage by enumeration, not proof.

    Tango's score interval (1998, Statistics in Medicine 17: 891-908), the usual choice, errs more often than its 2.5 % a
    side. With every outcome enumerated for 50 to 10,000 images, 0.05 to 10 % flips and a true drop of 0, 0.1, 0.5, 1, 2 and 5
    points, its upper end is below the true drop in up to 2.7 % of samples and its lower end above it in up to 3.6 %; with a
    continuity correction of half an image 2.4 and 3.4 %. This one: 2.5 and 2.4 % at most, and 2 to 7 % wider from 100 on.

    Args:
        lost: Number of images that only the reference classifies correctly; it may be a fraction, as may `gained`, in planning.
        gained: Number of images that only the candidate classifies correctly.
        images: Number of images.
        confidence: Between 0 and 1.

    Returns:
        Shares, -1 to 1; positive is a drop.

    Raises:
        ValueError: If a count is negative, there are more flips than images or no images, or confidence is out of range.
    """
    if not (lost >= 0 and gained >= 0 and images > 0 and lost + gained <= images * (1 + 1e-9) and 0 < confidence < 1):
        raise ValueError(
            "lost and gained must be at least 0 and together at most images, confidence between 0 and 1, "
            f"got {lost}, {gained}, {images} and {confidence}"
        )
    tail = (1 - confidence) / 2
    low, high = -_upper(gained, lost, images, tail), _upper(lost, gained, images, tail)
    return Interval((lost - gained) / images, low, high)


def drop_is_within(lost: float, gained: float, images: float, limit: float, confidence: float = 0.95) -> bool:
    """Return whether the upper end of `drop_interval` is at or below `limit`, a share of 0 to 1, 50 times faster."""
    tail = (1 - confidence) / 2
    negative, beyond = _beyond(lost, gained, images, tail, _ROUGH_POINTS)
    return negative or beyond(limit) <= tail


def drop_is_beyond(lost: float, gained: float, images: float, limit: float, confidence: float = 0.95) -> bool:
    """Return whether the lower end of `drop_interval` is above `limit`, a share of 0 to 1, 50 times faster."""
    tail = (1 - confidence) / 2
    negative, beyond = _beyond(gained, lost, images, tail, _ROUGH_POINTS)
    return negative and beyond(limit) > 1 - tail


def _upper(lost: float, gained: float, images: float, tail: float) -> float:
    """Return the upper end of the drop, where flips * (2 * losing - 1) has its upper `tail`."""
    negative, beyond = _beyond(lost, gained, images, tail, _POINTS)
    low, high, wanted = 0.0, 1.0, 1 - tail if negative else tail
    while high - low > 1e-9 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if beyond(middle) > wanted else (low, middle)
    return -low if negative else high


def _beyond(lost: float, gained: float, images: float, tail: float, points: int) -> tuple[bool, Callable[[float], float]]:
    """Return whether the upper end of the drop is negative, and the probability that the drop is beyond a size.

    `losing`, the share of losses among flips, is Beta(lost + 1, gained): its upper Clopper-Pearson distribution. That of the
    share of flips is the upper one if that makes the drop larger, and the lower one if the drop is negative.
    """
    count, rest = lost + gained, max(images - lost - gained, 0.0)
    losing, _, below = _beta(lost + 1, gained, points)
    negative = bool(np.interp(0.5, losing, below) > 1 - tail)
    flips, weights, flips_below = _beta(count, rest + 1, points) if negative else _beta(count + 1, rest, points)

    def beyond(size: float) -> float:
        """Return the probability that the drop is above `size`, or below -`size` if it is negative."""
        if negative:
            return float(weights @ np.interp((1 - size / flips) / 2, losing, below, left=0))
        if gained == 0:
            return float(1 - np.interp(size, flips, flips_below, right=1))
        return float(weights @ (1 - np.interp((1 + size / flips) / 2, losing, below, right=1)))

    return negative, beyond


def _beta(a: float, b: float, points: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return points of Beta(a, b), their weights, and the probability below each; b = 0 is the single point 1, a = 0 is 0.

    The points are even steps s of log(x / (1 - x)) = center + width * sinh(s), along which both ends of every beta density
    vanish doubly exponentially (Takahasi and Mori, 1974): sums over them are accurate, and need no gamma function.
    """
    if a == 0 or b == 0:
        return np.array([float(b == 0)]), np.ones(1), np.full(1, 0.5)
    width = np.sqrt(1 / a + 1 / b)
    reach = np.arcsinh(max(12.0, 40 / (min(a, b) * width)))
    steps = np.linspace(-reach, reach, points)
    logits = np.log(a / b) + width * np.sinh(steps)
    log = np.log(np.cosh(steps)) - a * np.logaddexp(0, -logits) - b * np.logaddexp(0, logits)
    weights = np.exp(log - log.max())
    weights /= weights.sum()
    places = np.maximum(np.exp(-np.logaddexp(0, -logits)), 1e-300)  # Avoids a division by 0.
    return places, weights, np.cumsum(weights) - weights / 2
