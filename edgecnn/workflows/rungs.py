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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgecnn.benchmarks.results.sweep import Rung, RungNetwork
from edgecnn.benchmarks.show.sweep import rung_text
from edgecnn.convert.training.records import TrainResult
from edgecnn.edge.errors import ConfigError, field
from edgecnn.edge.text import counted
from edgecnn.workflows.networks import PlannedNetwork, trainings_of

# A sweep names three networks: the most accurate, the balanced and the fastest.
_LAST = 3
# Epochs that show how long a network trains: TensorFlow builds the training step in the first, as long as several epochs of
# few images take.
_TIMED = 2

# Share of the limit that these epochs of each network may take, where the others may be left out.
_LEARNING = 0.25

Figures = NDArray[np.float64]
GoesOn = Callable[[Sequence[RungNetwork], int], Sequence[int]]
"""Returns the positions of so many networks of a rung that are trained further."""


def on_front(networks: Sequence[RungNetwork], count: int) -> list[int]:
    """Return the positions of the `count` networks that go on to the next rung, in their order, where a front is looked for."""
    costs = [(network.val_images - network.val_correct, network.macs, network.parameters) for network in networks]
    # Twice as many errors matter as much for a good network as for a bad one.
    figures = np.log(np.array(costs, np.float64) + 1)
    spans = np.ptp(figures, axis=0)
    scaled = (figures - figures.min(axis=0)) / np.where(spans > 0, spans, 1)
    chosen: list[int] = []
    while len(chosen) < count:
        rest = [place for place in range(len(figures)) if place not in chosen]
        rank = [place for place in rest if not any(_beats(figures[other], figures[place]) for other in rest)]
        chosen += rank if len(chosen) + len(rank) <= count else _spread(scaled, rank, chosen, count - len(chosen))
    return sorted(chosen)


class TrainingPace(NamedTuple):
    """How long a network trains, in seconds.

    Attributes:
        start: What the first epoch takes beyond the others.
        epoch: Each epoch.
        timed: Epochs that showed it.
    """

    start: float
    epoch: float
    timed: int = _TIMED

    def seconds(self, epochs: int) -> float:
        """Return the seconds of so many epochs."""
        return self.start + epochs * self.epoch


def run_rungs(
    networks: Sequence[PlannedNetwork], minutes: float, goes_on: GoesOn = on_front, least_last: int = 0
) -> tuple[tuple[PlannedNetwork, ...], tuple[Rung, ...]]:
    """Train all rungs but the last, and return the networks that are left, with their epochs, and the rungs.

    The number of epochs follows from the time of two or three epochs of each network, recorded in `rungs/2` or 3: the same call
    plans the same again, and continues. The epochs of the settings are ignored. There must be validation images.

    Args:
        networks: The networks, all in one folder.
        minutes: Limit of the training time.
        goes_on: What goes on to the next rung.
        least_last: Epochs that the last rung needs: as many of the last networks are left out as the limit is too short for;
            one stays. 0: none is left out.

    Raises:
        ConfigError: If the limit is too short for one epoch in the first rung.
        KeyboardInterrupt: If interrupted.
    """
    shown, progress = ", then ".join(map(str, rung_sizes(len(networks)))), networks[0].work.progress
    progress.say(f"Successive halving of {counted(networks, 'network')}: {shown}, each time for twice as many epochs")
    progress.say("First a few epochs of each, to learn how long they take")
    paces = _paces(networks, minutes, fewer=least_last > 0)
    rest = minutes
    while len(paces) > 1 and _last_epochs(len(paces), _first_epochs(paces, rest)) < least_last:
        rest -= (slow := paces.pop()).seconds(slow.timed) / 60
    if len(paces) < len(networks):
        progress.say(f"In {minutes:g} minutes there is time for {counted(paces, 'network')} of {len(networks)}")
        networks = networks[: len(paces)]
    sizes = rung_sizes(len(networks))
    first, seconds = _planned(paces, rest)
    plan = ", ".join(f"{size} for {counted(first * 2**rung, 'epoch')}" for rung, size in enumerate(sizes))
    progress.say(f"Plan: {plan}; at most about {seconds / 60:.1f} minutes of training, then export and measurement")
    last = _last_epochs(len(networks), first)
    for work, config in networks:  # Each of them may be among the last.
        work.is_trained(replace(config, epochs=last), work.folder_of(config))
    rungs, left = [], tuple(networks)
    for number, size in enumerate(sizes[1:]):
        found = list(_trained(left, first * 2**number))
        kept = sorted(goes_on(found, size))
        found = [replace(network, goes_on=place in kept) for place, network in enumerate(found)]
        rungs.append(Rung(first * 2**number, tuple(found)))
        left = tuple(left[place] for place in kept)
        progress.say(rung_text(rungs[-1]))
    return tuple(PlannedNetwork(work, replace(config, epochs=last)) for work, config in left), tuple(rungs)


def _planned(paces: Sequence[TrainingPace], minutes: float) -> tuple[int, float]:
    """Return the number of epochs of the first rung, and the seconds of all trainings; raise if there is no time for one."""
    first = _first_epochs(paces, minutes)
    if first < 1:
        raise ConfigError(
            f"{field('minutes')}={minutes:g} is too short for {counted(paces, 'network')}, which need about "
            f"{min(_whole(paces, 1), _whole(paces, paces[0].timed)) / 60:.1f}: give more, or name fewer"
        )
    return first, _whole(paces, first)


def _first_epochs(paces: Sequence[TrainingPace], minutes: float) -> int:
    """Return the number of epochs of the first rung; 0 if there is no time for one."""
    starts, limit = planned_seconds(paces, 0), 60 * minutes
    timed = math.fsum(pace.seconds(pace.timed) for pace in paces)
    most = int((limit - timed - starts) // (planned_seconds(paces, 1) - starts))
    return max((first for first in (1, paces[0].timed, most) if first >= 1 and _whole(paces, first) <= limit), default=0)


def _last_epochs(networks: int, first: int) -> int:
    return first * int(2 ** (len(rung_sizes(networks)) - 1))


def _whole(paces: Sequence[TrainingPace], first: int) -> float:
    """Return the seconds of all trainings, those that show the time included, if the first rung has so many epochs."""
    # What showed the time is a first rung of as many epochs, unless that is also the last one, which has other folders.
    is_rung = first == paces[0].timed and len(rung_sizes(len(paces))) > 1
    return planned_seconds(paces, first) + (0.0 if is_rung else math.fsum(pace.seconds(pace.timed) for pace in paces))


def _paces(networks: Sequence[PlannedNetwork], minutes: float, fewer: bool) -> list[TrainingPace]:
    """Return how long each network trains; raise as soon as the epochs that show it exceed the limit, or take `fewer`."""
    paces, spent = list[TrainingPace](), 0.0
    # A model that is fine-tuned has another step, which is built too, from the second epoch on.
    timed = _TIMED + any(network.config.fine_tune for network in networks)
    for work, training in trainings_of(networks, timed):
        result = work.trained(training)
        epoch = result.history[-1].seconds
        paces.append(TrainingPace(max(0.0, result.seconds - len(result.history) * epoch), epoch, timed))
        spent += result.seconds
        if fewer and spent > 60 * minutes * _LEARNING:
            break
        if spent > 60 * minutes:
            raise ConfigError(
                f"{field('minutes')}={minutes:g} is too short: {timed} epochs of {len(paces)} of the "
                f"{counted(networks, 'network')} took {spent / 60:.2g} minutes: give more, or name fewer"
            )
    return paces


def _trained(networks: Sequence[PlannedNetwork], epochs: int) -> Iterator[RungNetwork]:
    for work, training in trainings_of(networks, epochs):
        result, cost = work.trained(training), work.cost(training.config, training.folder)
        name, validation = work.name_of(training.config), validation_of(result)
        yield RungNetwork(name, *validation, cost.parameters, cost.macs, result.seconds)


def validation_of(result: TrainResult) -> tuple[int, int]:
    """Return the number of validation images, and of those that the kept epoch's network classifies right."""
    kept, images = result.history[result.epoch - 1], result.val_images
    assert images is not None  # noqa: S101  # A search has validation images.
    assert kept.val_accuracy is not None  # noqa: S101
    return images, round(kept.val_accuracy * images)


def rung_sizes(networks: int) -> tuple[int, ...]:
    """Return how many networks each rung trains: all of them, then half of those before, until three are left."""
    sizes = [networks]
    while sizes[-1] > _LAST:
        sizes.append(max(_LAST, (sizes[-1] + 1) // 2))
    return tuple(sizes)


def planned_seconds(paces: Sequence[TrainingPace], first: int) -> float:
    """Return the seconds of all rungs if the first trains for so many epochs. The slowest networks are assumed to go on."""
    slowest = sorted(paces, key=lambda pace: -pace.epoch)
    rungs = enumerate(rung_sizes(len(slowest)))
    return math.fsum(pace.seconds(first * 2**rung) for rung, size in rungs for pace in slowest[:size])


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
