"""A difference is said at most as often as promised where nothing differs, at any number of looks, and soon where it does."""

from collections.abc import Callable
from math import exp

import numpy as np
import pytest
from numpy.typing import NDArray

from edgecnn.edge.serving.answered import difference
from edgecnn.edge.serving.answered.difference import LEVEL, MOST_CELLS, cell_of, cells, differs, evidence, sentence

MIX = np.array([0.3, 0.2, 0.15, 0.1, 0.1, 0.05, 0.05, 0.03, 0.015, 0.005])
SERVICES = 400
Counts = NDArray[np.int64]
Differs = Callable[..., NDArray[np.bool_]]


def alarms(
    judge: Differs, test_images: int, live: NDArray[np.float64], days: int = 20, looks: int = 40, each: int = 5
) -> float:
    """Return the share of services in which a difference is ever found, each with test images of its own."""
    rng = np.random.default_rng(0)
    expected = rng.multinomial(test_images, MIX, SERVICES)
    always, found = np.zeros_like(expected), np.zeros(SERVICES, bool)
    for day in range(1, days + 1):
        today = np.zeros_like(always)
        for _ in range(looks):
            new = rng.multinomial(each, live, SERVICES)
            always, today = always + new, today + new
            found |= judge(expected, always, today, day)
    return float(found.mean())


def looked_at_once(expected: Counts, always: Counts, today: Counts, day: int) -> NDArray[np.bool_]:
    """The usual G-test at the same level, for one look: 21.67 is 99 % of chi-squared with 9 degrees of freedom."""
    test, live = expected.astype(float), always.astype(float)
    likelihood = difference._likelihood
    return np.asarray(2 * (likelihood(test) + likelihood(live) - likelihood(test + live)) > 21.67)


@pytest.mark.parametrize("test_images", [20, 300, 5000])
def test_no_difference_is_found_in_equal_pictures_more_often_than_promised_and_a_test_for_one_look_finds_them(
    test_images: int,
) -> None:
    assert alarms(differs, test_images, MIX) <= LEVEL
    assert alarms(looked_at_once, test_images, MIX) > 3 * LEVEL


def test_a_difference_is_found_soon_and_in_a_long_life_on_the_day_it_begins() -> None:
    other = MIX.copy()
    other[[0, 1]] += -0.2, 0.2
    assert alarms(differs, 5000, other, days=1, looks=40, each=20) == 1
    expected = np.round(5000 * MIX).astype(int)
    past, today = np.round(10**6 * MIX).astype(int), np.round(500 * other).astype(int)
    assert differs(expected, past, np.zeros(10, int), 300) == np.False_
    assert differs(expected, past + today, today, 300) == np.True_
    fewer = np.round(280 * other).astype(int)  # Each day has a share of the level, and a later day a smaller one.
    assert [bool(differs(expected, past + fewer, fewer, day)) for day in (1, 300)] == [True, False]


def test_few_test_images_leave_more_possible() -> None:
    seen = [40, 60]
    assert [bool(differs([count, count], seen, seen, 1)) for count in (5, 50, 5000)] == [False] * 3
    assert [bool(differs([count, count], [0, 100], [0, 100], 1)) for count in (5, 50, 5000)] == [False, True, True]


@pytest.mark.parametrize("images", [3, 30, 1000])
@pytest.mark.parametrize("mix", [MIX, np.array([0.999, 0.001]), np.full(32, 1 / 32)])
def test_the_distribution_is_outside_of_the_set_that_test_images_leave_possible_as_seldom_as_stated(
    images: int, mix: NDArray[np.float64]
) -> None:
    answers = np.random.default_rng(1).multinomial(images, mix, 40_000).astype(float)
    true = (answers * np.log(mix)).sum(1)
    outside = difference._likelihood(answers) - true > difference._bound(len(mix))
    assert outside.mean() <= difference._SET * LEVEL / 2


def test_against_one_distribution_the_evidence_is_a_probability_ratio_or_less() -> None:
    """Over all sequences of three answers, a mixture's probabilities sum to one."""
    sequences = np.stack(np.meshgrid(*[range(3)] * 3), -1).reshape(-1, 3)
    counts = np.stack([(sequences == cell).sum(1) for cell in range(3)], 1)
    many = 10**9  # Then the test images leave one distribution possible.
    expected = np.array([many // 2, many // 4, many // 4])
    ratio = np.exp(evidence(expected, counts))
    probability = (np.array([0.5, 0.25, 0.25]) ** counts).prod(1)
    assert 0.85 < (ratio * probability).sum() <= 1


def test_the_levels_of_all_parts_are_the_promised_one() -> None:
    parts = difference._SET + difference._ALWAYS + difference._TODAY
    assert 2 * parts * difference._EACH == pytest.approx(LEVEL)
    assert sum(6 / (np.pi * day) ** 2 for day in range(1, 100_000)) == pytest.approx(1, abs=1e-4)
    assert exp(-difference._bound(10)) < 1e-9


def test_many_classes_are_taken_together_in_their_order() -> None:
    assert cells([1, 2, 3]) == [1, 2, 3]
    assert len(cells([1] * 1000)) == MOST_CELLS
    assert sum(cells([1] * 1000)) == 1000
    places = [cell_of(place, 1000) for place in range(1000)]
    assert places == sorted(places)


def test_what_differs_most_is_named_with_both_shares() -> None:
    text = sentence("int8.tflite", "classes", [50, 30, 20], [100, 500, 400], ("cat", "dog", "bird"), "2026-11-30 06:34 UTC")
    for part in ("int8.tflite", "classes", "cat", "10.0 % of 1,000", "50.0 % of 100", "2026-11-30 06:34 UTC"):
        assert part in text
    assert "error" not in text
