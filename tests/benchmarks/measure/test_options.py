"""Plans and options: what is out of range, and a round's share of the runs and the time."""

from math import nan
from typing import Any

import pytest

from edgecnn.benchmarks.measure.options import BenchOptions, Plan, PlanOptions
from edgecnn.edge.errors import ConfigError


@pytest.mark.parametrize(
    ("kind", "field", "values", "message"),
    [
        (Plan, "min_seconds", (-0.1, 86_400.1, nan), "must be 0 to 86,400"),
        (Plan, "min_runs", (0, 10**7 + 1), "must be 1 to 10,000,000"),
        (Plan, "launches", (0, 101), "must be 1 to 100"),
        (Plan, "rounds", (0, 101), "must be 1 to 100"),
        (PlanOptions, "min_seconds", (-1,), "must be 0 to 86,400"),
        (PlanOptions, "min_runs", (0,), "must be 1 to 10,000,000"),
        (PlanOptions, "launches", (101,), "must be 1 to 100"),
        (PlanOptions, "until_width_percent", (0, 100.1, nan), "must be above 0 and at most 100 %"),
        (BenchOptions, "threads", ((1, 1), ()), "must be different numbers, for example 1,2,4"),
        (BenchOptions, "batch", (0, 4097), "must be 1 to 4096 images"),
        (BenchOptions, "rate", (0.0, nan), "must be 0.1 to 1,000,000 images a second"),
        (BenchOptions, "sustained_seconds", (86_401.0,), "must be 0 to 86,400 s"),
    ],
)
def test_what_is_out_of_range_is_refused(kind: type, field: str, values: tuple[Any, ...], message: str) -> None:
    for value in values:
        with pytest.raises(ConfigError) as caught:
            kind(**{field: value})
        assert str(caught.value) == f"{field} {message}, got {value}"


@pytest.mark.parametrize(
    ("field", "values", "message"),
    [("threads", (0, -1, 65), "must be 1 to 64"), ("percents", (0.0, 100.0), "must be above 0 and below 100")],
)
def test_one_of_several_that_is_out_of_range_is_named(field: str, values: tuple[Any, ...], message: str) -> None:
    for value in values:
        options: dict[str, Any] = {field: (value,)}
        with pytest.raises(ConfigError) as caught:
            BenchOptions(**options)
        assert str(caught.value) == f"{field} {message}, got {value}"


@pytest.mark.parametrize(
    "plan", [{"min_seconds": 0}, {"min_seconds": 86_400}, {"min_runs": 10**7}, {"launches": 100, "rounds": 100}]
)
def test_the_ends_of_the_ranges_are_plans(plan: dict[str, Any]) -> None:
    Plan(**plan)


@pytest.mark.parametrize(("min_runs", "share"), [(1, 1), (19, 1), (20, 1), (21, 2), (1000, 50), (1001, 51)])
def test_a_rounds_share_of_the_runs_is_rounded_up(min_runs: int, share: int) -> None:
    assert Plan(min_runs=min_runs, launches=5, rounds=4).round_runs == share


def test_a_rounds_share_of_the_seconds_is_exact() -> None:
    assert Plan(min_seconds=3, launches=5, rounds=4).round_seconds == 0.15
