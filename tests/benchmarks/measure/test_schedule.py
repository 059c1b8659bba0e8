"""The progress and duration of a benchmark, with a clock that only the test moves."""

from collections.abc import Callable
from types import SimpleNamespace

import pytest

from edgecnn.benchmarks.measure import planning
from edgecnn.benchmarks.measure.options import Plan, PlanOptions
from edgecnn.benchmarks.measure.planning import FileCost, Schedule, total_seconds

Files = tuple[tuple[str, float, float], ...]
Run = Callable[..., list[str]]
FILES = (("a", 1.0, 0.1), ("b", 20.0, 10.0))


class Said:
    """Progress as texts."""

    def __init__(self, texts: list[str]) -> None:
        self.say = texts.append

    def step(self, done: int, total: int, text: str, detail: str = "") -> None:
        self.say(f"{done}/{total} {text}: {detail}")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Yield the messages while two files, of 0.1 and 10 s per run, take this many times their first duration."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(planning, "time", SimpleNamespace(monotonic=lambda: clock.now))

    def go(asked: Plan | PlanOptions, slower: float, files: Files = FILES) -> list[str]:
        said: list[str] = []
        made = Schedule(2, asked, Said(said))
        launch, plan = 1, Plan()
        while launch == 1 or launch <= plan.launches:
            for name, opening, step in files:
                made.opening(launch, name)
                taken = opening * (slower if launch > 1 else 1.0)
                clock.now += taken
                made.opened(name, taken, step)
            plan = made.settle(lambda costs: 100.0)
            for turn in range(1, plan.rounds + 1):
                for _ in range(2):
                    made.timing(launch, turn, plan)
                    clock.now += 10.1 * slower
            launch += 1
        return said

    return go


PLAN = Plan(min_seconds=0, min_runs=12, launches=3, rounds=2)


def test_an_estimate_is_given_once_before_the_first_round_and_what_is_left_falls(run: Run) -> None:
    said = run(PLAN, 1.0)
    estimates = [index for index, text in enumerate(said) if text.startswith("estimate: ")]
    assert estimates == [2]
    costs = [FileCost("a", 1, 0.1), FileCost("b", 20, 10)]
    assert total_seconds(PLAN, costs) == pytest.approx(3 * (21 + 2 * 2 * 10.1), rel=0.01)
    assert all(part in said[2] for part in ("about 4.7 min, ", "3 launches of 2 rounds"))
    said = [text for text in run(PLAN, 1.0) if "left" in text]
    assert all(part in said[0] for part in ("launch 1 of 3: ", ": round 1 of 2"))
    assert said[-1].startswith("17/18 launch 3 of 3: round 2 of 2, about ")
    assert said[-1].endswith("min left")
    assert [text.split()[0] for text in said] == [f"{done}/18" for done in range(2, 18)]


def test_a_machine_that_became_slower_has_more_left(run: Run) -> None:
    def left(said: list[str]) -> float:
        text = next(text for text in said if "launch 2 of 3: round 1" in text)
        number, unit = text.split("about ")[1].split()[:2]
        return float(number) * {"s": 1, "min": 60, "h": 3600}[unit]

    assert left(run(PLAN, 3.0)) > 1.5 * left(run(PLAN, 1.0))


def test_a_plan_is_said_as_soon_as_it_is_chosen_and_launches_without_an_end_are_not_counted_against_one(run: Run) -> None:
    said = run(PlanOptions(), 1.0)
    assert said[0] == "0/2 launch 1: opening a"
    assert "5 launches of 1 round" in said[3]
    assert any(text.startswith("4/20 launch 2 of 5: opening a") for text in said)
    said = run(PlanOptions(until_width_percent=1), 1.0)
    assert all(part in said[3] for part in ("or more, 20 launches or", "or more of 1 round"))
    assert not any(" of 20" in text for text in said)


def test_minutes_are_announced_after_the_first_file_already_and_estimated_once(run: Run) -> None:
    said = run(PlanOptions(), 1.0, (("b", 20.0, 10.0), ("a", 1.0, 0.1)))
    assert [index for index, text in enumerate(said) if text.startswith("estimate: ")] == [3]
    assert said[1].startswith("This takes more than 4.")
    assert said[2] == "1/2 launch 1: opening a"
    quick = run(PlanOptions(), 1.0, (("a", 0.4, 26e-6), ("b", 0.4, 26e-6)))
    assert not any("takes more than" in text for text in quick)
