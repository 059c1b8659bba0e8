"""The number of images needed to decide a limit, and the chance that the images at hand decide it."""

import math
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from edgecnn.benchmarks.statistics import binomial
from edgecnn.benchmarks.statistics.proportions import drop_interval, drop_is_beyond, drop_is_within
from edgecnn.edge.export_records import Interval

POWER = 0.8
"""Planned chance that a sample decides, the usual one (Cohen, 1988)."""

_TAIL = 0.025
_Z = 1.959964 + 0.841621  # Normal quantiles of 97.5 % and of the power.
# Beyond this number the normal distribution is as good, and counting takes long.
_MOST_COUNTED = 10**6
_NODES = 24
_RARE = 1e-6


@dataclass(frozen=True)
class Need:
    """Number of images needed for a decision; each number is rounded up to two significant digits.

    Attributes:
        images: Number that decides with a probability of 80 %, if the true shares are those observed. None if no number
            up to 10**9 does, for example if the observed value equals the limit.
        fewest: The same at the end of the observed value's 80 % interval that needs fewest.
        most: The same at the other end. None if the limit lies within that interval: then no number is enough.
    """

    images: int | None
    fewest: int | None
    most: int | None


def images_to_decide(lost: int, gained: int, images: int, max_drop: float) -> Need:
    """Return how many images decide, with a probability of 80 %, whether a drop is within its limit.

    Args:
        lost: Number of images that only the reference classifies correctly.
        gained: Number of images that only the candidate classifies correctly.
        images: Number of images, at least 1. They are independent, and so are the planned ones.
        max_drop: The limit, a share of 0 to 1.
    """
    seen, flips = drop_interval(lost, gained, images, POWER), (lost + gained) / images

    def needed(drop: float) -> int | None:
        spread = max(flips, abs(drop))
        losses, gains = (spread + drop) / 2, (spread - drop) / 2
        if drop == max_drop:
            return None
        guess = max(_Z**2 * spread / (max_drop - drop) ** 2, -math.log(_TAIL) / max(max_drop, abs(drop), 1e-9))
        return _fewest(lambda count: _decided(losses, gains, count, max_drop) >= POWER, guess)

    return _need(needed, seen, max_drop)


def images_to_decide_share(count: int, images: int, least: float) -> Need:
    """Return how many images decide, with a probability of 80 %, whether a share is at least its limit.

    Args:
        count: Number of images that count, for example those with the reference's class or the right one; 0 to `images`.
        images: Number of images, at least 1.
        least: The limit, a share of 0 to 1, judged by the Clopper-Pearson interval.
    """
    seen = binomial.interval(count, images, POWER)

    def needed(share: float) -> int | None:
        if share == least:
            return None
        guess = max(_Z**2 * max(share * (1 - share), least * (1 - least)) / (share - least) ** 2, 1.0)
        return _fewest(lambda number: _decided_share(share, number, least) >= POWER, guess)

    return _need(needed, seen, least)


def chance_to_pass(losses: float, gains: float, images: int, max_drop: float) -> float:
    """Return the probability that `drop_interval` lies within the limit, by enumeration of the flips.

    Args:
        losses: True share of images that only the reference classifies correctly.
        gains: True share of images that only the candidate classifies correctly; equal to `losses` for an equally good model.
        images: Number of images drawn, at least 1.
        max_drop: The limit, a share of 0 to 1.
    """
    return _chance(losses, gains, images, lambda gained, lost: drop_is_within(lost, gained, images, max_drop))


def _decided(losses: float, gains: float, images: int, max_drop: float) -> float:
    """Return the probability of the correct verdict for these true shares."""
    if losses - gains < max_drop:
        return chance_to_pass(losses, gains, images, max_drop)
    return 1 - _chance(losses, gains, images, lambda gained, lost: not drop_is_beyond(lost, gained, images, max_drop))


def _decided_share(share: float, images: int, least: float) -> float:
    if share > least:
        return binomial.cdf(binomial.largest_count(images, 1 - least, _TAIL), images, 1 - share)
    return binomial.cdf(binomial.largest_count(images, least, _TAIL), images, share)


def _chance(losses: float, gains: float, images: int, holds: Callable[[int, int], bool]) -> float:
    """Return the probability that `holds(gained, lost)`, which is true up to a number of losses that grows with the gains."""
    first = max(binomial.largest_count(images, gains, _RARE), 0)
    last = images - max(binomial.largest_count(images, 1 - gains, _RARE), 0)
    counts = np.arange(first, last + 1)
    nodes = np.unique(np.linspace(first, last, _NODES).round().astype(int))
    edges, edge = [], -1
    for gained in map(int, nodes):
        edge = _largest(partial(holds, gained), edge, images - gained)
        edges.append(edge)
    limits = np.floor(np.interp(counts, nodes, edges) + 1e-9).astype(int)
    below = [binomial.cdf(int(gained), images, gains) for gained in (first - 1, *counts)]
    share = min(losses / (1 - gains), 1.0) if gains < 1 else 0.0
    within = [binomial.cdf(int(limit), images - int(gained), share) for gained, limit in zip(counts, limits, strict=True)]
    return float(np.diff(below) @ within)


def _largest(holds: Callable[[int], bool], low: int, most: int) -> int:
    """Return the largest number up to `most` that holds; `low` is known to hold, or is -1."""
    step, high = 1, low + 1
    while high <= most and holds(high):
        low, step = high, 2 * step
        high = low + step
    return bisect_left(range(min(high, most + 1)), True, lo=low + 1, key=lambda count: not holds(count)) - 1


def _need(needed: Callable[[float], int | None], seen: Interval, limit: float) -> Need:
    ends = [needed(value) for value in (seen.low, seen.high) if (value - limit) * (seen.estimate - limit) > 0]
    known = [end for end in ends if end is not None]
    return Need(needed(seen.estimate), min(known, default=None), max(known) if len(known) == 2 else None)


def _fewest(decides: Callable[[int], bool], guess: float) -> int | None:
    """Return the fewest images, to two significant digits, that decide, up to some multiple of a guess."""
    if guess > _MOST_COUNTED:
        return _COUNTS[bisect_left(_COUNTS, guess)] if guess <= _COUNTS[-1] else None
    found = bisect_left(_COUNTS, True, hi=bisect_left(_COUNTS, 10 * guess), key=decides)
    return _COUNTS[found] if decides(_COUNTS[found]) else None


_COUNTS = [*range(1, 10), *(digits * 10**power for power in range(8) for digits in range(10, 100)), 10**9]
