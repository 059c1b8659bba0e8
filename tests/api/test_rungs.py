"""A sweep within a time limit: its plan, from the seconds of two epochs of each network, and which networks go on.

Real trainings: test_sweep_chosen.
"""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edgecnn.benchmarks.results.sweep import RungNetwork
from edgecnn.convert.training.config import TrainConfig
from edgecnn.convert.training.records import Epoch
from edgecnn.edge.errors import ConfigError
from edgecnn.edge.text import counted
from edgecnn.workflows.networks import PlannedNetwork, Training
from edgecnn.workflows.rungs import TrainingPace, on_front, planned_seconds, run_rungs, rung_sizes

SECONDS = 6.0
IMAGES = 1000


class Work:
    """Networks of which each epoch takes six seconds, the first `start` more; the more filters, the better and the larger."""

    def __init__(self, start: float = 0.0) -> None:
        self.folder, self.start, self.size = Path("out"), start, ""
        self.said: list[str] = []
        self.progress = SimpleNamespace(say=self.said.append)
        self.trained_for: list[tuple[int, int]] = []
        self.ahead_for: list[list[tuple[int, int]]] = []

    def name_of(self, config: TrainConfig) -> str:
        return ",".join(map(str, config.filters))

    def is_trained(self, config: TrainConfig, folder: Path) -> bool:
        return False

    def folder_of(self, config: TrainConfig) -> Path:
        return self.folder

    def train_ahead(self, work: Any, trainings: Sequence[Training]) -> None:
        self.ahead_for.append([(config.epochs, config.filters[0]) for config, _, _ in trainings])

    def trained(self, training: Training) -> Any:
        config, folder, _ = training
        size = config.filters[0]
        assert folder == Path("out", "rungs", str(config.epochs), f"{size}-{size}-{size}")
        self.trained_for.append((config.epochs, size))
        history = [Epoch(number, 0.1, 0.9, SECONDS, 0.1, 1 - 1 / (size + 1)) for number in range(1, config.epochs + 1)]
        seconds = self.start + SECONDS * config.epochs
        return SimpleNamespace(epoch=1, history=tuple(history), val_images=IMAGES, seconds=seconds)

    def cost(self, config: TrainConfig, folder: Path) -> Any:
        return SimpleNamespace(parameters=config.filters[0], macs=config.filters[0])


def networks_of(work: Any, count: int) -> list[PlannedNetwork]:
    """Networks of 1 to `count` filters a stage."""
    configs = [TrainConfig(filters=(size, size, size), dropout=0.3, network="cnn") for size in range(1, count + 1)]
    return [PlannedNetwork(work, config) for config in configs]


def planned(networks: int, minutes: float, start: float = 0.0) -> tuple[Work, Any]:
    work = Work(start)
    return work, run_rungs(networks_of(work, networks), minutes)


def test_the_epochs_are_as_many_as_the_limit_allows() -> None:
    """Six networks: 6 + 2 * 3 = 12 epochs for each of the first rung, and 12 to learn the time: 48 epochs in 4.8 minutes."""
    work, (final, rungs) = planned(6, 4.8)
    assert "Plan: 6 for 3 epochs, 3 for 6 epochs; at most about 4.8 minutes of training, then export" in work.said[2]
    assert work.trained_for == [(epochs, size) for epochs in (2, 3) for size in range(1, 7)]
    # Other machines get a whole rung at a time.
    assert work.ahead_for == [[(epochs, size) for size in range(1, 7)] for epochs in (2, 3)]
    assert [config.epochs for _, config in final] == [6, 6, 6]
    # All six are on the front: the most accurate goes on, the smallest, and one between them.
    assert [config.filters[0] for _, config in final] == [1, 3, 6]
    (rung,) = rungs
    assert (rung.epochs, [network.goes_on for network in rung.networks]) == (3, [True, False, True, False, False, True])
    assert [network.val_correct for network in rung.networks] == [round(IMAGES * (1 - 1 / (size + 1))) for size in range(1, 7)]
    assert work.said[-1].startswith("After 3 epochs went on: 1,1,1 (50.00 %), 3,3,3 (75.00 %), 6,6,6 (85.70 %); not: 2,2,2, ")


def test_what_the_first_epoch_takes_beyond_the_others_is_planned_once_a_training() -> None:
    """Six networks that start in 12 s: 6 * (12 + 12) s to learn the time, 9 starts, 12 * 6 s an epoch of the first rung."""
    work, _ = planned(6, (144 + 108 + 4 * 72) / 60, start=12.0)
    assert "Plan: 6 for 4 epochs, 3 for 8 epochs; at most about 9.0 minutes" in work.said[2]


def test_a_first_rung_of_two_epochs_was_trained_to_learn_the_time_and_three_networks_have_one_rung() -> None:
    work, (final, _) = planned(6, 2.4)
    assert "Plan: 6 for 2 epochs, 3 for 4 epochs; at most about 2.4 minutes" in work.said[2]
    assert {config.epochs for _, config in final} == {4}
    work, (final, rungs) = planned(3, 1.25)
    assert "Plan: 3 for 2 epochs; at most about 1.2 minutes" in work.said[2]
    assert (rungs, [config.epochs for _, config in final]) == ((), [2, 2, 2])
    work, (final, _) = planned(3, 0.95)
    assert "Plan: 3 for 1 epoch; at most about 0.9 minutes" in work.said[2]
    assert [config.epochs for _, config in final] == [1, 1, 1]


@pytest.mark.parametrize(("networks", "minutes", "needed"), [(6, 2.39, "2.4"), (3, 0.89, "0.9")])
def test_a_limit_that_is_too_short_is_refused_with_what_is_needed(networks: int, minutes: float, needed: str) -> None:
    message = f"minutes={minutes:g} is too short for {networks} networks, which need about {needed}: give more, or name fewer"
    with pytest.raises(ConfigError, match=message):
        planned(networks, minutes)


def test_a_limit_is_refused_as_soon_as_the_epochs_that_time_the_networks_are_beyond_it() -> None:
    work = Work()
    with pytest.raises(ConfigError, match=r"minutes=0\.35.*short.*\b2 of the 6.*\b0\.4 minutes"):
        run_rungs(networks_of(work, 6), 0.35)
    assert [size for _, size in work.trained_for] == [1, 2]


@pytest.mark.parametrize(("minutes", "least", "left"), [(0.35, 1, 1), (0.9, 1, 2), (5.0, 1, 6), (5.0, 8, 3), (5.0, 20, 1)])
def test_a_search_trains_as_many_of_the_first_networks_as_there_is_time_for(minutes: float, least: int, left: int) -> None:
    work = Work()
    final, _ = run_rungs(networks_of(work, 6), minutes, lambda found, count: range(count), least)
    assert sum(line == f"In {minutes:g} minutes there is time for {counted(left, 'network')} of 6" for line in work.said) == (
        left < 6
    )
    assert [config.filters[0] for _, config in final] == list(range(1, min(left, 3) + 1))
    assert least <= final[0].config.epochs
    epochs = [epochs for epochs, _ in work.trained_for] + [config.epochs for _, config in final]
    assert SECONDS * sum(epochs) <= 60 * minutes


@pytest.mark.parametrize(
    ("networks", "sizes"),
    [(1, (1,)), (3, (3,)), (4, (4, 3)), (5, (5, 3)), (7, (7, 4, 3)), (12, (12, 6, 3)), (16, (16, 8, 4, 3))],
)
def test_each_rung_has_half_of_the_networks_until_three_are_left(networks: int, sizes: tuple[int, ...]) -> None:
    assert rung_sizes(networks) == sizes


def test_the_time_of_all_rungs_is_that_of_the_slowest_networks() -> None:
    assert planned_seconds([TrainingPace(10.0, 2.0), TrainingPace(20.0, 1.0)], 3) == 30 + 9
    # All seven for one epoch, the four slowest for two, the three slowest for four.
    assert planned_seconds([TrainingPace(0.0, second) for second in range(1, 8)], 1) == 28 + 2 * 22 + 4 * 18


def going_on(wrong: Sequence[int], macs: Sequence[int], parameters: Sequence[int], count: int) -> list[int]:
    figures = zip(wrong, parameters, macs, strict=True)
    return on_front(
        [RungNetwork("", IMAGES, IMAGES - errors, many, products, 1.0) for errors, many, products in figures], count
    )


def test_the_front_goes_on_from_the_most_accurate_to_what_is_far_from_it() -> None:
    wrong, macs, parameters = [50, 60, 30, 200], [100, 200, 300, 50], [10, 20, 30, 5]
    assert going_on(wrong, macs, parameters, 3) == [0, 2, 3]
    # Of a front of six, the most accurate goes on, then what is far from it: the smallest, then one between them.
    wrong, macs = [10, 12, 20, 40, 90, 400], [6000, 5500, 2000, 800, 300, 100]
    assert going_on(wrong, macs, macs, 3) == [0, 3, 5]
    assert going_on(wrong, macs, macs, 1) == [0]
    wrong, macs = [10, 11, 12, 5], [10, 11, 12, 100]
    assert going_on(wrong, macs, macs, 3) == [0, 1, 3]
    assert going_on(wrong, macs, macs, 4) == [0, 1, 2, 3]
    assert going_on([3, 3, 3], [1, 1, 1], [1, 1, 1], 2) == [0, 1]
    assert going_on([0, 0], [0, 0], [0, 0], 1) == [0]
