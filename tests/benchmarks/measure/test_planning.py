"""Launches, rounds and runs chosen from costs, with those of a quick file, Keras and slow models."""

import numpy as np
import pytest

from edgecnn.benchmarks.measure.options import Plan, PlanOptions
from edgecnn.benchmarks.measure.planning import FileCost, choose_plan, round_of, round_seconds, total_seconds
from edgecnn.benchmarks.statistics.intervals import mean_interval

QUICK = FileCost("int8.tflite", 0.4, 26e-6)
KERAS = FileCost("model.keras", 7.0, 460e-6)
FREE = FileCost("int8.tflite", 0.001, 26e-6)
MODERATE = FileCost("int8.tflite", 0.6, 0.005)
SLOW = FileCost("int8.tflite", 0.9, 0.07)
SECOND = FileCost("int8.tflite", 2.5, 1.0)
VERY_SLOW = FileCost("int8.tflite", 20.5, 10.0)
COSTS = [
    (QUICK,),
    (QUICK, QUICK),
    (KERAS, QUICK, QUICK),
    (FREE,),
    (MODERATE,),
    (SLOW,),
    (SECOND,),
    (VERY_SLOW,),
    (VERY_SLOW, QUICK),
]
USUAL = Plan(max_seconds=70)


def runs_of(plan: Plan, cost: FileCost) -> int:
    """Return how many runs of the file a round times."""
    turn = round_of(plan, cost.run_seconds)
    return max(turn.runs, -(-int(turn.seconds / cost.run_seconds) // turn.inputs) * turn.inputs)


def test_a_model_of_ten_seconds_is_measured_in_minutes() -> None:
    plan = choose_plan(PlanOptions(), [VERY_SLOW])
    assert (plan.launches, plan.rounds) == (5, 1)
    turn = round_of(plan, 10)
    assert (turn.runs, turn.inputs, turn.warm_up_runs) == (3, 3, 0)  # 15 runs: a p50 takes 11.
    assert total_seconds(plan, [VERY_SLOW]) < 260
    # The plan of quick files would take more than three hours.
    assert total_seconds(Plan(), [VERY_SLOW]) > 10_000


@pytest.mark.parametrize("cost", [SLOW, SECOND])
def test_of_a_slow_model_most_of_the_time_is_measuring(cost: FileCost) -> None:
    plan = choose_plan(PlanOptions(), [cost])
    timed = plan.launches * plan.rounds * runs_of(plan, cost) * cost.run_seconds
    assert timed >= 0.55 * total_seconds(plan, [cost])
    assert round_of(plan, cost.run_seconds).warm_up_runs <= runs_of(plan, cost) / 10


@pytest.mark.parametrize("costs", COSTS)
def test_the_plan_takes_no_longer_than_five_launches_of_four_rounds_and_has_five_launches(costs: tuple[FileCost, ...]) -> None:
    plan = choose_plan(PlanOptions(), costs)
    assert plan.launches >= 5
    usual = min(total_seconds(Plan(max_seconds=70, rounds=rounds), costs) for rounds in (1, 4))
    assert total_seconds(plan, costs) <= 1.25 * usual  # Rounds of few runs are rounded to whole ones.


def spread(plan: Plan, sets: int = 4000) -> float:
    """Return the mean width of the interval if launches have a standard deviation of 1 and rounds of 0.3."""
    random = np.random.default_rng(0)
    rounds = random.standard_normal((sets, plan.launches, 1)) + 0.3 * random.standard_normal((sets, plan.launches, plan.rounds))
    return float(np.mean([(found := mean_interval(values)).high - found.low for values in rounds.mean(axis=2)]))


@pytest.mark.parametrize(("cost", "share"), [(QUICK, 0.9), (MODERATE, 0.8), (SLOW, 0.5), (FREE, 0.45)])
def test_the_chosen_plan_finds_smaller_differences_in_the_same_time(cost: FileCost, share: float) -> None:
    plan = choose_plan(PlanOptions(), [cost])
    assert total_seconds(plan, [cost]) <= 1.001 * total_seconds(USUAL, [cost])
    assert spread(plan) < share * spread(USUAL)


def test_a_file_that_opens_slowly_is_named_and_does_not_cost_launches_in_silence() -> None:
    plan = choose_plan(PlanOptions(), [KERAS, QUICK, QUICK])
    assert (plan.launches, plan.rounds) == (5, 4)
    assert "model.keras" in plan.chosen
    assert "model.keras" not in choose_plan(PlanOptions(), [QUICK, QUICK]).chosen


@pytest.mark.parametrize("cost", [QUICK, SLOW, VERY_SLOW, FREE])
def test_launches_that_are_asked_for_are_made(cost: FileCost) -> None:
    for launches in (1, 3, 40):
        assert choose_plan(PlanOptions(launches=launches), [cost]).launches == launches


@pytest.mark.parametrize("costs", COSTS)
def test_runs_and_seconds_that_are_asked_for_are_made_however_long_they_take(costs: tuple[FileCost, ...]) -> None:
    plan = choose_plan(PlanOptions(min_seconds=3, min_runs=2000), costs)
    for cost in costs:
        runs = plan.launches * plan.rounds * runs_of(plan, cost)
        assert runs >= 2000
        assert runs * cost.run_seconds > 2.9


@pytest.mark.parametrize("cost", [QUICK, KERAS, FREE, MODERATE, SLOW])
def test_what_is_not_slow_has_the_runs_of_a_p99(cost: FileCost) -> None:
    plan = choose_plan(PlanOptions(), [cost])
    assert plan.launches * plan.rounds * runs_of(plan, cost) >= 662


@pytest.mark.parametrize(
    ("run_seconds", "inputs", "warm_up"),
    [(26e-6, 100, 10), (0.0004, 70, 10), (0.001, 50, 10), (0.0011, 50, 5), (0.005, 50, 5), (10.0, 50, 5)],
)
def test_a_round_has_whole_turns_of_as_many_inputs_as_fit(run_seconds: float, inputs: int, warm_up: int) -> None:
    turn = round_of(Plan(), run_seconds)
    assert (turn.runs, turn.inputs, turn.warm_up_runs) == (50, inputs, warm_up)


@pytest.mark.parametrize(
    ("runs", "inputs"), [(1, 1), (12, 12), (20, 20), (21, 30), (99, 100), (101, 60), (150, 80), (2000, 100)]
)
def test_turns_of_the_inputs_overshoot_a_round_by_little(runs: int, inputs: int) -> None:
    assert round_of(Plan(0, 20 * runs), 1.0).inputs == inputs


def test_a_bound_on_the_time_goes_before_runs_and_leaves_those_of_a_p50() -> None:
    assert round_of(Plan(max_seconds=20), 0.1).runs == 10
    assert round_of(Plan(max_seconds=20), 10.0).runs == 1
    assert round_of(Plan(max_seconds=20, launches=5, rounds=1), 10.0).runs == 3
    assert round_of(Plan(0, 5, max_seconds=20, launches=5, rounds=1), 10.0).runs == 1
    assert round_of(Plan(max_seconds=20), 26e-6).runs == 50


def test_an_interval_width_takes_twenty_launches_and_the_best_rounds_of_each() -> None:
    quick = choose_plan(PlanOptions(until_width_percent=1.5), [QUICK])
    assert (quick.launches, quick.rounds, quick.until_width_percent) == (20, 1, 1.5)
    # sqrt(c_open / c_round) s_R / s_L: about sqrt(8 / 0.2) * 0.3.
    assert choose_plan(PlanOptions(until_width_percent=1), [KERAS, QUICK, QUICK]).rounds == 2
    assert choose_plan(PlanOptions(launches=30, until_width_percent=1), [QUICK]).launches == 30


def test_the_time_of_a_round_is_that_of_its_runs_and_of_those_before() -> None:
    assert round_seconds(Plan(), [FileCost("a", 1, 0.001)]) == pytest.approx(60 * 0.001)
    assert total_seconds(Plan(), [FileCost("a", 1, 0.001)] * 2) == pytest.approx(5 * (2 + 4 * 2 * 0.06))
