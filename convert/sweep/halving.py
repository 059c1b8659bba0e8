"""Successive halving: all networks train for a few epochs, and the better half goes on to twice as many.

Jamieson and Talwalkar, Non-stochastic Best Arm Identification and Hyperparameter Optimization, 2016,
https://arxiv.org/abs/1502.07943; Li and others, Hyperband, 2018, https://arxiv.org/abs/1603.06560. A sweep looks for a front,
not for one network: by accuracy alone, the largest networks would always go on. So "better" is Pareto rank in wrong images,
multiply-accumulates and parameters, and within the last rank that only partly fits, an epsilon-net spreads the choice, as
in multi-objective successive halving (Schmucker and others, 2021, https://arxiv.org/abs/2106.12639).
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# A sweep names three networks: the most accurate, the balanced and the fastest.
_LAST = 3

Figures = NDArray[np.float64]


def rung_sizes(networks: int) -> tuple[int, ...]:
    """Return how many networks each rung trains: all of them, then half of those before, until three are left."""
    sizes = [networks]
    while sizes[-1] > _LAST:
        sizes.append(max(_LAST, (sizes[-1] + 1) // 2))
    return tuple(sizes)


def planned_seconds(epoch_seconds: Sequence[float]) -> float:
    """Return the seconds of all rungs if the first trains for one epoch; they grow in proportion to its epochs.

    Args:
        epoch_seconds: Seconds that an epoch of each network takes. The slowest are assumed to go on.
    """
    slowest = sorted(epoch_seconds, reverse=True)
    return math.fsum(2.0**rung * sum(slowest[:size]) for rung, size in enumerate(rung_sizes(len(slowest))))


def going_on(wrong: Sequence[int], macs: Sequence[int], parameters: Sequence[int], count: int) -> tuple[int, ...]:
    """Return the positions of the networks that go on to the next rung, in their order.

    Args:
        wrong: Number of validation images that each classifies wrong.
        macs: Multiply-accumulates of one image.
        parameters: Number of parameters.
        count: Number of networks to choose, at most all.
    """
    # Twice as many errors matter as much for a good network as for a bad one.
    figures = np.log(np.array([wrong, macs, parameters], np.float64).T + 1)
    spans = np.ptp(figures, axis=0)
    scaled = (figures - figures.min(axis=0)) / np.where(spans > 0, spans, 1)
    chosen: list[int] = []
    while len(chosen) < count:
        rest = [place for place in range(len(figures)) if place not in chosen]
        rank = [place for place in rest if not any(_beats(figures[other], figures[place]) for other in rest)]
        chosen += rank if len(chosen) + len(rank) <= count else _spread(scaled, rank, chosen, count - len(chosen))
    return tuple(sorted(chosen))


def _beats(one: Figures, other: Figures) -> bool:
    return bool((one <= other).all() and (one < other).any())


def _spread(scaled: Figures, rank: Sequence[int], chosen: Sequence[int], count: int) -> list[int]:
    """Return positions of a rank that are far from each other and from those chosen; the most accurate is first of all."""
    net: list[int] = []
    for _ in range(count):
        before, left = [*chosen, *net], [place for place in rank if place not in net]
        if before:
            away = {place: min(float(np.linalg.norm(scaled[place] - scaled[other])) for other in before) for place in left}
            net.append(max(left, key=away.__getitem__))
        else:
            net.append(min(left, key=lambda place: tuple(scaled[place])))
    return net
