"""The model of costs, fitted to costs that are what it assumes."""

import itertools
import random

import numpy as np
import pytest

from edgecnn.convert.export.tuning.search import AdditiveCosts, Placement

NAMES = tuple("abcdefgh")
SAVES = dict(zip(NAMES, (-0.1, 0.2, -0.05, -0.06, 0.3, 0.01, -0.02, 0.04), strict=True))
BORDER = 0.03


def cost(placement: Placement) -> float:
    kept = [False, *(name in placement for name in NAMES), False]
    return 1 + sum(SAVES[name] for name in placement) + BORDER * sum(a != b for a, b in itertools.pairwise(kept))


def placements(count: int) -> list[Placement]:
    rng = random.Random(0)  # noqa: S311
    return [Placement(name for name in NAMES if rng.random() < 0.5) for _ in range(count)]


EVERY = [Placement(kept) for size in range(len(NAMES) + 1) for kept in itertools.combinations(NAMES, size)]


def test_costs_of_placements_that_were_not_measured_are_predicted() -> None:
    model = AdditiveCosts(NAMES, {one: cost(one) for one in placements(60)})
    assert model.predict(EVERY) == pytest.approx([cost(one) - 1 for one in EVERY], abs=0.01)


def test_the_cheapest_placement_is_the_best_of_all() -> None:
    model = AdditiveCosts(NAMES, {one: cost(one) for one in placements(60)})
    assert model.cheapest() == min(EVERY, key=cost) == {"a", "c", "d"}


def test_draws_differ_as_long_as_little_is_known_and_agree_when_much_is() -> None:
    little = AdditiveCosts(NAMES, {Placement(): 1.0, Placement(NAMES): cost(Placement(NAMES))})
    much = AdditiveCosts(NAMES, {one: cost(one) for one in EVERY})
    rng = np.random.default_rng(0)
    drawn = [{model.cheapest(rng) for _ in range(30)} for model in (little, much)]
    assert len(drawn[0]) > 10
    assert drawn[1] <= set(sorted(EVERY, key=cost)[:4])


def test_a_measured_run_says_something_about_each_of_its_operators() -> None:
    model = AdditiveCosts(NAMES, {Placement(): 1.0, Placement("abcd"): 0.6})
    one, other = model.predict([Placement("ab"), Placement("gh")])
    assert one < other
