"""Folds are chosen by what they cost, alone and together."""

import math
from collections.abc import Mapping, Sequence

import pytest

from edgecnn.convert.export.tuning.search import Folds, cheapest_folds

FOLDABLE = {"a": (2, 4), "b": (2,), "c": (2,)}


class Machine:
    """What folds cost: the product of each one's own cost, except for some that are given together."""

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
    ("changed", "together", "expected", "cost"),
    [
        ({}, {}, {"a": 4, "b": 2}, 0.63),
        ({("a", 4): 0.85}, {}, {"a": 2, "b": 2}, 0.72),
        ({("b", 2): 0.995}, {}, {"a": 4}, 0.7),
        ({}, {frozenset("ab"): 0.71}, {"a": 4}, 0.7),
        ({("a", 2): 1.0, ("a", 4): 1.2, ("b", 2): 1.0}, {}, {}, 1.0),
        ({("c", 2): 0.9}, {frozenset("abc"): 0.8, frozenset("ab"): 0.75, frozenset("ac"): 0.6}, {"a": 4, "c": 2}, 0.6),
    ],
    ids=["the best number of each", "fewer columns", "less than a percent", "one loses with the other", "none", "except one"],
)
def test_what_was_measured_to_cost_least_is_chosen(
    changed: Mapping[tuple[str, int], float], together: Mapping[frozenset[str], float], expected: Folds, cost: float
) -> None:
    folds, found = cheapest_folds(FOLDABLE, Machine({**ALONE, **changed}, together))
    assert folds == expected
    assert found == pytest.approx(cost)


def test_without_a_convolution_nothing_is_measured() -> None:
    machine = Machine(ALONE, {})
    assert cheapest_folds({}, machine) == ({}, 1.0)
    assert not machine.measured


def test_what_there_is_no_time_for_is_not_chosen() -> None:
    def first_two(many: Sequence[Folds]) -> list[float]:
        return [0.9, 0.8, *[math.inf] * (len(many) - 2)] if len(many) == 4 else [math.inf] * len(many)

    assert cheapest_folds(FOLDABLE, first_two) == ({"a": 4}, 0.8)
