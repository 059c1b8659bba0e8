"""Whether answers in service are distributed otherwise than those for the test images, beyond chance, however often one looks.

The answers for n test images leave a set of distributions possible: all p with n * KL(answers || p) at most a bound, which the
true one exceeds with a known probability, whatever n is (Agrawal, 2020, IEEE Transactions on Information Theory 66: 6297-6302).
Against each single p, the probability of the answers in service by a Dirichlet mixture, divided by that by p, is a martingale
that starts at 1. So the chance that it ever reaches 1/level is at most the level (Ville), at however many looks (Lindon and
Malek, 2022, Anytime-Valid Inference For Multinomial Count Data). `evidence` is the logarithm of that ratio, or less, for every
possible p.
"""

from collections.abc import Sequence
from functools import lru_cache
from math import e, lgamma, log, pi

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.01
"""Probability, at most, that a file which answers as for the test images is ever said to differ."""
MOST_CELLS = 32
"""Classes of a file with more are taken together in their order: with many cells only large differences can be shown."""

# Of the level of each of the two, classes and confidences: for the set of possible distributions, and for the two windows.
_SET, _ALWAYS, _TODAY = 0.2, 0.4, 0.4
_MULTIPLIERS = (1.0, 0.3, 0.1, 0.03, 0.01)  # The best one is small while there are few answers in service.
_PRIOR = 0.5  # Krichevsky and Trofimov's: close to the best for any distribution.
_EACH = LEVEL / 2

Cells = NDArray[np.int64] | Sequence[int]
Logs = NDArray[np.float64]
_log_gamma = np.vectorize(lgamma, otypes=[float])


def cells(counts: Sequence[int]) -> list[int]:
    """Return counts by class as counts by cell: at most `MOST_CELLS`, whatever the counts are."""
    found = [0] * min(len(counts), MOST_CELLS)
    for place, count in enumerate(counts):
        found[cell_of(place, len(counts))] += count
    return found


def cell_of(place: int, count: int) -> int:
    """Return the cell of a class, given by its place among `count`."""
    return place if count <= MOST_CELLS else place * MOST_CELLS // count


def evidence(expected: Cells, seen: Cells) -> Logs:
    """Return the logarithm of the evidence for another distribution than that of the test images, in nats.

    Args:
        expected: Number of test images in each cell, (k,), or (n, k) for n services.
        seen: Number of answers in service in each cell, (k,), or (n, k) for n services.

    Returns:
        At most 0 without answers; shape () or (n,).
    """
    test, live = np.asarray(expected, float), np.asarray(seen, float)
    flat = _PRIOR * test.shape[-1]
    mixture = lgamma(flat) - _log_gamma(flat + live.sum(-1))
    mixture = mixture + (_log_gamma(_PRIOR + live) - lgamma(_PRIOR)).sum(-1)
    likelihood, bound = _likelihood(test), _bound(test.shape[-1])
    # The largest probability of the answers that a possible distribution gives: Lagrange's bound, whatever the multiplier is.
    largest = [_likelihood(live + weight * test) - weight * (likelihood - bound) for weight in _MULTIPLIERS]
    return np.asarray(mixture - np.min(largest, axis=0))


def differs(expected: Cells, always: Cells, today: Cells, days: int) -> NDArray[np.bool_]:
    """Return whether the answers differ, of all time or of a day.

    Args:
        expected: As in `evidence`.
        always: All answers in service, as in `evidence`.
        today: Those of this day.
        days: Number of this day, from 1: each day has a share of the level, and the shares of all days together are the level.
    """
    share = 6 / (pi * days) ** 2
    found = evidence(expected, always) >= -log(_ALWAYS * _EACH)
    return np.asarray(found | (evidence(expected, today) >= -log(_TODAY * _EACH * share)))


def _likelihood(counts: Logs) -> Logs:
    """Return the logarithm of the largest probability of the counts (..., k) that any distribution gives them."""
    total = counts.sum(-1, keepdims=True)
    shares = np.divide(counts, total, out=np.ones_like(counts), where=counts > 0)
    return np.asarray((counts * np.log(shares)).sum(-1))


@lru_cache(maxsize=64)
def _bound(count: int) -> float:
    """Return what n * KL(answers || p) of k cells exceeds with the probability of the set at most, whatever n and p are."""
    free = max(1, count - 1)
    low, high = float(free), float(free + 100 + 10 * free)
    while high - low > 1e-6:  # Beyond `free` it falls steadily.
        middle = (low + high) / 2
        is_rarer = -middle + free * log(e * middle / free) <= log(_SET * _EACH)
        low, high = (low, middle) if is_rarer else (middle, high)
    return high


def sentence(file: str, what: str, expected: Sequence[int], seen: Sequence[int], names: Sequence[str], when: str) -> str:
    """Return what differed then: the cell whose share differs most, by its name. It may be meant, so it is no error."""
    shares = [[count / sum(counts) for count in counts] for counts in (expected, seen)]
    place = max(range(len(names)), key=lambda place: abs(shares[1][place] - shares[0][place]))
    return (
        f"{file}: the {what} differ from those of the test images beyond chance, shown at {when}: {names[place]} in "
        f"{100 * shares[1][place]:.1f} % of {sum(seen):,} answers, {100 * shares[0][place]:.1f} % of {sum(expected):,} test "
        "images. Where other pictures are shown than in the test set, that is to be expected"
    )
