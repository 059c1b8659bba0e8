"""What the flips between two classifiers on the same images say."""

from bisect import bisect_left
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from benchmarks import binomial
from benchmarks.intervals import Interval

MOST_IMAGES = 10**9
_POINTS = 2001  # Of each integral: for whole counts the ends are right to 2e-5 of the interval's width.


def mcnemar_p(lost: int, gained: int) -> float:
    """Two-sided p-value of "both classifiers are right equally often" (McNemar, 1947; exact, not by chi-square).

    Args:
        lost: Images that the reference alone has right.
        gained: Images that the candidate alone has right.

    Returns:
        0 to 1; 1 without flips.
    """
    return min(1.0, 2 * binomial.cdf(min(lost, gained), lost + gained, 0.5))


def drop_interval(lost: float, gained: float, images: float, confidence: float = 0.95) -> Interval:
    """Interval of the drop (lost - gained) / images, as a share.

    Fay and Lumbard (2021, Statistics in Medicine 40: 1147-1159): the Clopper-Pearson distributions of the share of flips and
    of the share of losses among them, multiplied. The upper end is Clopper-Pearson's where nothing was gained, and the
    interval excludes 0 exactly where `mcnemar_p` is at most 1 - confidence. The authors prove no coverage, they enumerate.

    Tango's score interval (1998, Statistics in Medicine 17: 891-908), the usual choice, errs more often than its 2.5 % a
    side. With every outcome enumerated for 50 to 10,000 images, 0.05 to 10 % flips and a true drop of 0, 0.1, 0.5, 1, 2 and 5
    points, its upper end is below the true drop in up to 2.7 % of samples and its lower end above it in up to 3.6 %; with a
    continuity correction of half an image 2.4 and 3.4 %. This one: 2.5 and 2.4 % at most, and 2 to 7 % wider from 100 on.

    Args:
        lost: Images that the reference alone has right. Like `gained` it may be a fraction, of a planned measurement.
        gained: Images that the candidate alone has right.
        images: All of them.
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


def images_to_decide(lost: float, gained: float, images: float, max_drop: float) -> int | None:
    """How many images would decide, at 95 % confidence and if flips stay as frequent as they were.

    Args:
        lost: As for `drop_interval`.
        gained: Likewise.
        images: Likewise.
        max_drop: The margin, a share of 0 to 1.

    Returns:
        The smallest number, rounded up to two significant digits, at which the interval lies at or below `max_drop` or wholly
        above it. None if none up to 10**9 does, as where the drop is the margin itself.
    """

    def decides(count: int) -> bool:
        scale = count / images
        interval = drop_interval(lost * scale, gained * scale, count)
        return interval.high <= max_drop or interval.low > max_drop

    return _fewest(decides)


def images_to_decide_agreement(same: int, images: int, least: float) -> int | None:
    """As `images_to_decide`, for the Clopper-Pearson interval of the share of equal classes beside `least`, 0 to 1."""

    def decides(count: int) -> bool:
        interval = binomial.interval(round(same / images * count), count)
        return interval.low >= least or interval.high < least

    return _fewest(decides)


def _fewest(decides: Callable[[int], bool]) -> int | None:
    counts = [*range(1, 10), *(digits * 10**power for power in range(8) for digits in range(10, 100)), MOST_IMAGES]
    index = bisect_left(counts, True, key=decides)
    return counts[index] if index < len(counts) else None


def _upper(lost: float, gained: float, images: float, tail: float) -> float:
    """Upper end of the drop, where flips * (2 * losing - 1) has its upper `tail`.

    `losing`, the share of losses among flips, is Beta(lost + 1, gained): its upper Clopper-Pearson distribution. That of the
    share of flips is the upper one where it makes the drop larger, and the lower one where the drop is negative.
    """
    count, rest = lost + gained, max(images - lost - gained, 0.0)
    losing, _, below = _beta(lost + 1, gained)
    negative = bool(np.interp(0.5, losing, below) > 1 - tail)
    flips, weights, flips_below = _beta(count, rest + 1) if negative else _beta(count + 1, rest)

    def beyond(size: float) -> float:
        """Probability that the drop is above `size`, or below -`size` where it is negative."""
        if negative:
            return float(weights @ np.interp((1 - size / flips) / 2, losing, below, left=0))
        if gained == 0:
            return float(1 - np.interp(size, flips, flips_below, right=1))
        return float(weights @ (1 - np.interp((1 + size / flips) / 2, losing, below, right=1)))

    low, high, wanted = 0.0, 1.0, 1 - tail if negative else tail
    while high - low > 1e-9 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if beyond(middle) > wanted else (low, middle)
    return -low if negative else high


def _beta(a: float, b: float) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return points of Beta(a, b), their weights, and the probability below each; b = 0 is the single point 1, a = 0 is 0.

    The points are even steps s of log(x / (1 - x)) = center + width * sinh(s), along which both ends of every beta density
    vanish doubly exponentially (Takahasi and Mori, 1974): sums over them are accurate, and need no gamma function.
    """
    if a == 0 or b == 0:
        return np.array([float(b == 0)]), np.ones(1), np.full(1, 0.5)
    width = np.sqrt(1 / a + 1 / b)
    reach = np.arcsinh(max(12.0, 40 / (min(a, b) * width)))
    steps = np.linspace(-reach, reach, _POINTS)
    logits = np.log(a / b) + width * np.sinh(steps)
    log = np.log(np.cosh(steps)) - a * np.logaddexp(0, -logits) - b * np.logaddexp(0, logits)
    weights = np.exp(log - log.max())
    weights /= weights.sum()
    points = np.maximum(np.exp(-np.logaddexp(0, -logits)), 1e-300)  # Divided by.
    return points, weights, np.cumsum(weights) - weights / 2
