"""The progress of a benchmark, and its remaining time."""

import time
from collections.abc import Callable, Sequence

from edgecnn.benchmarks.measure.options import Plan, PlanOptions
from edgecnn.benchmarks.measure.planning import FileCost, choose_plan, duration_text, round_seconds, total_seconds
from edgecnn.edge.result import Progress
from edgecnn.edge.text import counted

_LONG_SECONDS = 60.0


class Schedule:
    """Counts steps, records opening times, and estimates the remaining time.

    Args:
        files: Number of files.
        plan: The plan, or the requested one.
        progress: Receives the steps, and the estimate as a line.
    """

    def __init__(self, files: int, plan: Plan | PlanOptions, progress: Progress) -> None:
        self.costs: list[FileCost] = []
        self._files, self._asked, self._progress = files, plan, progress
        self._plan = plan if isinstance(plan, Plan) else None
        self._done = 0
        self._start, self._expected = time.monotonic(), 0.0
        self._after = 0.0
        self._is_settled = False

    def opening(self, launch: int, name: str) -> None:
        """Report that a file is opened."""
        self._step(launch, f"opening {name}")

    def opened(self, name: str, seconds: float, run_seconds: float) -> None:
        """Record how long opening a file took; the plan uses the first launch's times."""
        if len(self.costs) < self._files:
            self.costs.append(FileCost(name, seconds, run_seconds))
            self._warn()
        self._done += 1
        self._expected += next(cost.open_seconds for cost in self.costs if cost.name == name)

    def settle(self, finish_seconds: Callable[[Sequence[FileCost]], float]) -> Plan:
        """Return the plan. The first call chooses it and reports how long it will take."""
        if self._is_settled:
            return self._settled()
        self._is_settled = True
        plan = self._plan = self._choose()
        self._after = finish_seconds(self.costs)
        whole = total_seconds(plan, self.costs) + self._after
        launches, rounds = counted(plan.launches, "launch"), counted(plan.rounds, "round")
        more = "" if plan.until_width_percent is None else " or more"
        self._progress.say(f"estimate: about {duration_text(whole)}{more}, {launches}{more} of {rounds}")
        return plan

    def timing(self, launch: int, turn: int) -> None:
        """Report that a round of one file is timed."""
        plan = self._settled()
        self._step(launch, f"round {turn} of {plan.rounds}")
        self._done += 1
        self._expected += round_seconds(plan, self.costs) / self._files

    def _warn(self) -> None:
        """If it will take minutes, report that after the first file already: the others may take long to open."""
        if len(self.costs) > 1 or self._files == 1:
            return
        least = total_seconds(self._choose(), self.costs)
        if least > _LONG_SECONDS:
            self._progress.say(f"estimate: more than {duration_text(least)}")

    def _choose(self) -> Plan:
        return self._asked if isinstance(self._asked, Plan) else choose_plan(self._asked, self.costs)

    def _settled(self) -> Plan:
        assert self._plan  # noqa: S101  # `settle` comes before the first round.
        return self._plan

    def _step(self, launch: int, detail: str) -> None:
        left = self._left(launch)
        detail = detail if left is None else f"{detail}, about {duration_text(left)} left"
        self._progress.step(self._done, self._steps(launch), f"launch {launch}{self._of_launches()}", detail)

    def _of_launches(self) -> str:
        plan = self._plan or self._asked
        fixed = plan.launches is not None and plan.until_width_percent is None
        return f" of {plan.launches}" if fixed else ""

    def _steps(self, launch: int) -> int:
        plan = self._plan
        return self._files * (1 + plan.rounds) * max(plan.launches, launch) if plan else self._files

    def _left(self, launch: int) -> float | None:
        """Return the remaining time, if the rest is as much faster or slower than expected as the part done."""
        if len(self.costs) < self._files or self._plan is None:
            return None
        each = total_seconds(self._plan, self.costs) / self._plan.launches
        rest = each * max(self._plan.launches, launch) - self._expected
        pace = (time.monotonic() - self._start) / self._expected if self._expected else 1.0
        return max(rest, 0.0) * pace + self._after
