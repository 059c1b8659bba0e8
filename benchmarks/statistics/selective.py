"""Thresholds above which the share of errors among a classifier's answers is within a limit, by a bound for finite samples.

The bound follows Geifman and El-Yaniv (2017, "Selective classification for deep neural networks", arXiv 1705.08500), whose SGR
tests thresholds at ranks of the scores and corrects for their number; in the words of Angelopoulos and others (2021, "Learn
then test", arXiv 2110.01052) each threshold is a hypothesis "its errors exceed the limit", with Bonferroni's correction.

Of n images, a threshold is the score that comes after the z surest, for a few z that follow from n alone. Given that score t,
the images above t are a random sample of all images with a score above t, so that their errors are binomial, whatever the
scores, the model and the shares of ties: the test of Clopper and Pearson (1934) is exact. The same holds of the images between
two such scores. With m thresholds tested, each at 1/m of the risk, all that pass hold together, so that any of them may be
chosen, by whatever rule.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgecnn.benchmarks.statistics import binomial

SHARES = (1, 0.995, 0.99, 0.98, 0.97, 0.95, 0.925, 0.9, 0.8, 0.65, 0.5, 0.3)
"""Shares of the images after which a threshold is tried, loosest first; fewer where few images could not show anything."""


class Level(NamedTuple):
    """A threshold that passed.

    Attributes:
        above: Scores above it are accepted; -inf for every score.
        accepted: Number of images with such a score.
        wrong: Number of errors among them.
    """

    above: float
    accepted: int
    wrong: int


def least_images(max_error: float, confidence: float, tests: int) -> int:
    """Return how many accepted images without an error show an error within the limit. Arguments: `certified`."""
    return math.ceil(math.log((1 - confidence) / tests) / math.log1p(-max_error))


def levels_tried(images: int, max_error: float, confidence: float, tests: int) -> int:
    """Return how many of `SHARES` are tried: those that could pass, corrected for that number; 0 if none could."""
    could = (
        number
        for number in range(len(SHARES), 0, -1)
        if int(SHARES[number - 1] * images) >= least_images(max_error, confidence, number * tests)
    )
    return next(could, 0)


def certified(
    scores: NDArray[np.floating],
    wrong: NDArray[np.bool_],
    max_error: float,
    confidence: float = 0.95,
    tests: int = 1,
    below: float = math.inf,
) -> Sequence[Level]:
    """Return the thresholds that pass, loosest first. With the given confidence, none of them accepts more errors than allowed.

    Args:
        scores: Score of each image (n,), higher where the classifier is surer. The images are independent, and chose nothing
            but what `tests` counts.
        wrong: Whether each answer is wrong (n,).
        max_error: Largest share of errors among accepted answers, between 0 and 1.
        confidence: Between 0 and 1.
        tests: Number of classifiers, or scores of one, among which the same images choose.
        below: Scores from it on are not accepted. The largest score, whose rank is fixed as a threshold's is, or infinite.

    Raises:
        ValueError: If a number is out of range, or a score is not finite.
    """
    if not (0 < max_error < 1 and 0 < confidence < 1 and tests >= 1 and np.isfinite(scores).all()):
        raise ValueError(f"limits must be between 0 and 1, and scores finite, got {max_error}, {confidence} and {tests} tests")
    ranked, tried = np.sort(scores)[::-1], levels_tried(len(scores), max_error, confidence, tests)
    found: dict[float, Level] = {}
    for share in SHARES[:tried]:
        rank = int(share * len(ranked))
        above = -math.inf if rank == len(ranked) else float(ranked[rank])
        accepted = (scores > above) & (scores < below)
        level = Level(above, int(accepted.sum()), int((accepted & wrong).sum()))
        # P(so few errors or fewer), if the share of errors were the limit.
        if binomial.cdf(level.wrong, level.accepted, max_error) <= (1 - confidence) / (tried * tests):
            found.setdefault(above, level)
    return tuple(found.values())
