"""Folds are chosen by what they cost alone, and by what each still gains among the others."""

from collections.abc import Mapping, Sequence

import pytest

from edgecnn.convert.export.tuning.folds import Folds, cheapest_folds

FOLDABLE = {"a": (2, 4), "b": (2,), "c": (2,)}


class Machine:
    """What folds cost: the product of each one's own cost, but for some that are told together."""

    def __init__(self, alone: Mapping[tuple[str, int], float], together: Mapping[frozenset[str], float]) -> None:
        self._alone, self._together = alone, together
        self.measured: list[Folds] = []

    def __call__(self, many: Sequence[Folds]) -> list[float]:
        self.measured += many
        return [self._cost(folds) for folds in many]

    def _cost(self, folds: Folds) -> float:
        found = self._together.get(frozenset(folds))
        if found is None:
            found = 1.0
            for one in folds.items():
                found *= self._alone[one]
        return found


ALONE = {("a", 2): 0.8, ("a", 4): 0.7, ("b", 2): 0.9, ("c", 2): 1.1}


@pytest.mark.parametrize(
    ("changed", "together", "expected"),
    [
        ({}, {}, {"a": 4, "b": 2}),
        ({("a", 4): 0.85}, {}, {"a": 2, "b": 2}),
        ({("b", 2): 0.995}, {}, {"a": 4}),
        ({}, {frozenset({"a", "b"}): 0.7}, {"a": 4}),
        ({("a", 2): 1.0, ("a", 4): 1.2, ("b", 2): 1.0}, {}, {}),
    ],
    ids=["the best number of each", "fewer columns", "less than a percent", "one gains nothing with the other", "none"],
)
def test_the_cheapest_are_chosen(
    changed: Mapping[tuple[str, int], float], together: Mapping[frozenset[str], float], expected: Folds
) -> None:
    assert cheapest_folds(FOLDABLE, Machine({**ALONE, **changed}, together), lambda: False) == expected


def test_nothing_is_measured_without_time_or_without_a_convolution() -> None:
    machine = Machine(ALONE, {})
    assert cheapest_folds(FOLDABLE, machine, lambda: True) == {}
    assert cheapest_folds({}, machine, lambda: False) == {}
    assert not machine.measured


def test_when_the_time_is_up_the_best_of_each_is_taken() -> None:
    machine = Machine(ALONE, {})
    assert cheapest_folds(FOLDABLE, machine, lambda: bool(machine.measured)) == {"a": 4, "b": 2}
    assert len(machine.measured) == 4
