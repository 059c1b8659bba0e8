"""A sweep within a time limit: the rungs of successive halving, each a training of its own.

All networks train for a few epochs, and the better half goes on to twice as many: Jamieson and Talwalkar, Non-stochastic Best
Arm Identification and Hyperparameter Optimization, 2016, https://arxiv.org/abs/1502.07943; Li and others, Hyperband, 2018,
https://arxiv.org/abs/1603.06560. A sweep looks for a front, not for one network: by accuracy alone, the largest networks would
always go on. So "better" is Pareto rank in wrong images, multiply-accumulates and parameters, and within the last rank that
only partly fits, an epsilon-net spreads the choice, as in multi-objective successive halving (Schmucker and others, 2021,
https://arxiv.org/abs/2106.12639).

A rung trains its networks from the start, because the cosine recipe plans its learning rate for the whole run: a network is
compared after a finished schedule, and the last rung is what `edgecnn train` with as many epochs makes.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edgecnn.benchmarks.results.sweep import Rung, RungNetwork
from edgecnn.benchmarks.show.sweep import rung_text
from edgecnn.convert.training.config import TrainConfig
from edgecnn.edge.errors import ConfigError, field
from edgecnn.edge.text import counted
from edgecnn.workflows.networks import NetworkWork, folder_name, name_of

# A sweep names three networks: the most accurate, the balanced and the fastest.
_LAST = 3

Figures = NDArray[np.float64]


def run_rungs(
    work: NetworkWork, configs: Sequence[TrainConfig], minutes: float
) -> tuple[tuple[TrainConfig, ...], tuple[Rung, ...]]:
    """Train all rungs but the last, and return the settings of the networks that are left, and the rungs.

    The number of epochs follows from the time of one epoch of each network, which is recorded in `rungs/1`: the same call
    plans the same again, and continues. The epochs of the settings are ignored. There must be validation images.

    Raises:
        ConfigError: If the limit is too short for one epoch in the first rung.
        KeyboardInterrupt: If interrupted.
    """
    sizes = rung_sizes(len(configs))
    shown = ", then ".join(map(str, sizes))
    work.progress.say(f"Successive halving of {counted(len(configs), 'network')}: {shown}, each time for twice as many epochs")
    work.progress.say("First one epoch of each, to learn how long it takes")
    first, seconds = _planned(_seconds_of_an_epoch(work, configs, minutes), minutes)
    plan = ", ".join(f"{size} for {counted(first * 2**rung, 'epoch')}" for rung, size in enumerate(sizes))
    work.progress.say(f"Plan: {plan}; at most about {seconds / 60:.1f} minutes of training, then export and measurement")
    last = first * 2 ** (len(sizes) - 1)
    for config in configs:  # Each of them may be among the last.
        work.is_trained(replace(config, epochs=last), work.folder_of(config))
    rungs, left = [], tuple(configs)
    for number, size in enumerate(sizes[1:]):
        found = list(_trained(work, left, first * 2**number))
        kept = going_on(
            [network.val_images - network.val_correct for network in found],
            [network.macs for network in found],
            [network.parameters for network in found],
            size,
        )
        found = [replace(network, goes_on=place in kept) for place, network in enumerate(found)]
        rungs.append(Rung(first * 2**number, tuple(found)))
        left = tuple(left[place] for place in kept)
        work.progress.say(rung_text(rungs[-1]))
    return tuple(replace(config, epochs=last) for config in left), tuple(rungs)


def _planned(timed: Sequence[float], minutes: float) -> tuple[int, float]:
    """Return the number of epochs of the first rung, and the seconds of all trainings; raise if there is no time for one."""
    once = planned_seconds(timed)
    # A first rung of one epoch has just been trained, unless it is also the last one, which has other folders.
    twice = 0.0 if len(rung_sizes(len(timed))) > 1 else sum(timed)
    first = max(int((60 * minutes - sum(timed)) // once), int(60 * minutes >= once + twice))
    if first < 1:
        raise ConfigError(
            f"{field('minutes')}={minutes:g} is too short for {counted(timed, 'network')}, which need about "
            f"{(once + twice) / 60:.1f}: give more, or name fewer"
        )
    return first, first * once + (twice if first == 1 else sum(timed))


def _seconds_of_an_epoch(work: NetworkWork, configs: Sequence[TrainConfig], minutes: float) -> list[float]:
    """Return how long an epoch of each network takes; raise as soon as these epochs exceed the limit."""
    timed: list[float] = []
    for network in _trained(work, configs, 1):
        timed.append(network.seconds)
        if sum(timed) > 60 * minutes:
            raise ConfigError(
                f"{field('minutes')}={minutes:g} is too short: one epoch of {len(timed)} of the "
                f"{counted(len(configs), 'network')} took {sum(timed) / 60:.2g} minutes: give more, or name fewer"
            )
    return timed


def _trained(work: NetworkWork, configs: Sequence[TrainConfig], epochs: int) -> Iterator[RungNetwork]:
    for place, config in enumerate(configs):
        name = name_of(config)
        folder = work.folder / "rungs" / str(epochs) / folder_name(name)
        said = f"{place + 1} of {len(configs)}, {name}, {counted(epochs, 'epoch')}"
        result = work.trained(replace(config, epochs=epochs), folder, said)
        kept, images = result.history[result.epoch - 1], result.val_images
        assert images is not None  # noqa: S101  # The sweep has validation images.
        assert kept.val_accuracy is not None  # noqa: S101
        cost = work.cost(config, folder)
        right = round(kept.val_accuracy * images)
        yield RungNetwork(name, images, right, cost.parameters, cost.macs, result.seconds)


def rung_sizes(networks: int) -> tuple[int, ...]:
    """Return how many networks each rung trains: all of them, then half of those before, until three are left."""
    sizes = [networks]
    while sizes[-1] > _LAST:
        sizes.append(max(_LAST, (sizes[-1] + 1) // 2))
    return tuple(sizes)


def planned_seconds(epoch_seconds: Sequence[float]) -> float:
    """Return the seconds of all rungs if the first trains for one epoch, which takes each network so many seconds.

    They grow in proportion to its epochs. The slowest networks are assumed to go on.
    """
    slowest = sorted(epoch_seconds, reverse=True)
    return math.fsum(2.0**rung * sum(slowest[:size]) for rung, size in enumerate(rung_sizes(len(slowest))))


def going_on(wrong: Sequence[int], macs: Sequence[int], parameters: Sequence[int], count: int) -> tuple[int, ...]:
    """Return the positions of the `count` networks that go on to the next rung, in their order.

    Each has its number of wrong validation images, of multiply-accumulates for one image, and of parameters.
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
