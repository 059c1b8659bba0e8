"""Chooses launches, rounds and runs by how long files take, or until an interval is as narrow as was asked for.

The schedule of the benchmark, with its remaining time, follows from the same costs.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from edgecnn.benchmarks.measure.options import Plan, PlanOptions
from edgecnn.benchmarks.results.latency_summary import fastest, ratios, summarize
from edgecnn.benchmarks.results.records import Launch
from edgecnn.benchmarks.statistics.intervals import fastest_quantile
from edgecnn.benchmarks.timing.latency import MOST_INPUTS, ROUND_WARM_UP_RUNS
from edgecnn.benchmarks.timing.requests import TimeRound
from edgecnn.edge.export_records import Interval
from edgecnn.edge.result import Progress
from edgecnn.edge.text import counted, duration_text


def narrow_enough(plan: Plan, files: Sequence[Sequence[Launch]]) -> bool:
    """Return whether every interval of the files' launches so far is within the plan's width, if it has one, on either side.

    These are intervals of each file's time divided by the fastest's, or of its own time for a single file.
    """
    if plan.until_width_percent is None:
        return True
    intervals = [summarize(files[0], ()).typical_ns] if len(files) == 1 else ratios(files, fastest(files))
    return all(_share(interval) <= plan.until_width_percent / 100 for interval in intervals if interval)


def _share(interval: Interval) -> float:
    return max(interval.high - interval.estimate, interval.estimate - interval.low) / interval.estimate


MOST_LAUNCHES = 100
UNTIL_WIDTH_LAUNCHES = 20
"""Fewest launches to examine: a few that agree by chance would stop too early, and the interval would hold less often."""

_LAUNCHES, _ROUNDS = 5, 4
_MOST_CHOSEN = 20
# Fewer runs have no p50.
_MEDIAN_RUNS = 11
# Defaults for a file. A p99 takes 662 runs in all, and the bounds of a p90 take 64 in each launch.
_SECONDS, _RUNS = 1.0, 1000
_ROUND_SECONDS, _LEAST_RUNS, _LEAST_LAUNCH_RUNS = 0.05, 700, 64
_MOST_SECONDS = 70.0
# Standard deviation of rounds / that of launches: measured 0.3 % / 1 % on the machine of docs/explanation/measuring.md.
_ROUND_SD = 0.3
# Ten runs of this duration cost little.
_SHORT_SECONDS = 0.001
# Launches are not split into rounds of fewer runs, whose medians and inputs would show little.
_LEAST_ROUND_RUNS = 10


@dataclass(frozen=True)
class FileCost:
    """The time of one file in the first launch.

    Attributes:
        name: Name of the file.
        open_seconds: Time from starting its process to the end of its warm-up.
        run_seconds: Time of one run.
    """

    name: str
    open_seconds: float
    run_seconds: float


def round_of(plan: Plan, run_seconds: float) -> TimeRound:
    """Return what a round of a file times, the same in every launch.

    A round is whole turns of the same inputs, so that a model whose time depends on its input does not look unsteady. It takes
    100 inputs if they fit, and fewer if a run is long. Before it come 10 runs, or at most a tenth of its runs.
    """
    runs, step = plan.round_runs, max(run_seconds, 1e-9)
    if plan.max_seconds is not None:
        rounds = plan.launches * plan.rounds
        least = min(runs, -(-_MEDIAN_RUNS // rounds))
        runs = max(least, min(runs, int(plan.max_seconds / rounds / step)))
    wanted = max(runs, math.ceil(plan.round_seconds / step))
    turns = -(-wanted // MOST_INPUTS)
    warm_up = ROUND_WARM_UP_RUNS if step <= _SHORT_SECONDS else min(ROUND_WARM_UP_RUNS, wanted // 10)
    return TimeRound(runs, plan.round_seconds, min(MOST_INPUTS, _rounded(-(-wanted // turns))), warm_up)


def total_seconds(plan: Plan, costs: Sequence[FileCost]) -> float:
    """Return how long opening and timing the files takes."""
    return plan.launches * (_open_seconds(costs) + plan.rounds * round_seconds(plan, costs))


def round_seconds(plan: Plan, costs: Sequence[FileCost]) -> float:
    """Return how long one round of all files takes."""
    total = 0.0
    for cost in costs:
        turn, runs = _turn(plan, cost)
        total += (math.ceil(runs / turn.inputs) * turn.inputs + turn.warm_up_runs) * cost.run_seconds
    return total


def _turn(plan: Plan, cost: FileCost) -> tuple[TimeRound, float]:
    """Return what a round of a file times, and how many runs that will be."""
    turn = round_of(plan, cost.run_seconds)
    return turn, max(turn.runs, turn.seconds / max(cost.run_seconds, 1e-9))


def choose_plan(options: PlanOptions, costs: Sequence[FileCost]) -> Plan:
    """Return the launches and rounds that find the smallest differences in the time that 5 launches of 4 rounds would take.

    The variance of a file's time is (s_L^2 + s_R^2 / R) / L over L launches of R rounds (two-stage sampling: Cochran, 1977,
    "Sampling Techniques", chapter 10, whose best R is sqrt(c_open / c_round) s_R / s_L). An interval is `fastest_quantile`
    times its root: with more files, more launches pay. There are at least 5 launches, unless fewer are requested: what
    `options` ask for is kept. `costs` are those of the first launch.
    """
    if options.until_width_percent is not None:
        launches = max(options.launches or 0, UNTIL_WIDTH_LAUNCHES)
        one = _plan(options, launches, 1)
        rounds = _ROUND_SD * math.sqrt(_open_seconds(costs) / round_seconds(one, costs))
        best = _plan(options, launches, min(max(round(rounds), 1), _ROUNDS))
        why = f"launches went on until intervals were within {options.until_width_percent:g} %"
        return replace(best, chosen=f"{why}: {_shares(best, costs)}")
    allowed = total_seconds(_usual(options, costs), costs)
    counts = range(_LAUNCHES, _MOST_CHOSEN + 1) if options.launches is None else (options.launches,)
    plans = [_plan(options, launches, rounds) for launches in counts for rounds in range(1, _ROUNDS + 1)]
    within = [plan for plan in plans if total_seconds(plan, costs) <= allowed * 1.000001 and _has_runs(plan, costs)]
    best = min(within or plans[:1], key=lambda plan: _width(plan, len(costs)))
    if options.launches is not None:
        return best
    why = f"launches and rounds were chosen to find the smallest differences in {duration_text(allowed)}"
    return replace(best, chosen=f"{why}: {_shares(best, costs)}")


def _usual(options: PlanOptions, costs: Sequence[FileCost]) -> Plan:
    """Return the default plan, with a single round if four rounds of slow runs would take too long."""
    launches = options.launches or _LAUNCHES
    slowest = max(cost.run_seconds for cost in costs)
    rounds = _ROUNDS if launches * _ROUNDS * slowest <= _MOST_SECONDS else 1
    seconds = _SECONDS if options.min_seconds is None else options.min_seconds
    return Plan(seconds, options.min_runs or _RUNS, launches, rounds, _bound(options))


def _plan(options: PlanOptions, launches: int, rounds: int) -> Plan:
    seconds = _ROUND_SECONDS * launches * rounds if options.min_seconds is None else options.min_seconds
    runs = options.min_runs or max(_LEAST_RUNS, _LEAST_LAUNCH_RUNS * launches)
    return Plan(seconds, runs, launches, rounds, _bound(options), until_width_percent=options.until_width_percent)


def _has_runs(plan: Plan, costs: Sequence[FileCost]) -> bool:
    """Return whether every launch of every file has the runs for a p90, and each of several rounds enough of them."""
    for cost in costs:
        least = min(_LEAST_LAUNCH_RUNS, plan.min_runs / plan.launches) / plan.rounds
        if _turn(plan, cost)[1] < max(least, _LEAST_ROUND_RUNS if plan.rounds > 1 else 1):
            return False
    return True


def _bound(options: PlanOptions) -> float | None:
    return _MOST_SECONDS if options.min_runs is None else None


def _width(plan: Plan, files: int) -> float:
    """Return the width of the intervals in standard deviations of launches; a single launch gives no width for others."""
    spread = math.sqrt((1 + _ROUND_SD**2 / plan.rounds) / plan.launches)
    return spread * (fastest_quantile(files, plan.launches) if plan.launches > 1 else 1)


def _shares(plan: Plan, costs: Sequence[FileCost]) -> str:
    opening, slowest = _open_seconds(costs), max(costs, key=lambda cost: cost.open_seconds)
    each = duration_text(round_seconds(plan, costs))
    text = f"opening takes {duration_text(opening)} of each launch, a round {each}"
    if len(costs) == 1 or slowest.open_seconds <= opening * 2 / 3:
        return text
    return (
        f"{text}; {slowest.name} alone takes {duration_text(slowest.open_seconds)} to open; without it there is time for more"
    )


def _open_seconds(costs: Sequence[FileCost]) -> float:
    return sum(cost.open_seconds for cost in costs)


def _rounded(number: int) -> int:
    """Return a number above 20 rounded up to one digit, so that slightly different benchmarks use the same inputs."""
    unit = 10 ** (len(str(number)) - 1)
    return number if number <= 20 else -(-number // unit) * unit


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
        self._after: float | None = None

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
        if self._plan and self._after is not None:
            return self._plan
        plan = self._plan = self._choose()
        self._after = finish_seconds(self.costs)
        whole = total_seconds(plan, self.costs) + self._after
        launches, rounds = counted(plan.launches, "launch"), counted(plan.rounds, "round")
        more = "" if plan.until_width_percent is None else " or more"
        self._progress.say(f"estimate: about {duration_text(whole)}{more}, {launches}{more} of {rounds}")
        return plan

    def timing(self, launch: int, turn: int, plan: Plan) -> None:
        """Report that a round of one file is timed."""
        self._step(launch, f"round {turn} of {plan.rounds}")
        self._done += 1
        self._expected += round_seconds(plan, self.costs) / self._files

    def _warn(self) -> None:
        """If it will take minutes, report that after the first file already: the others may take long to open."""
        if len(self.costs) > 1 or self._files == 1:
            return
        least = total_seconds(self._choose(), self.costs)
        if least > _LONG_SECONDS:
            self._progress.say(f"This takes more than {duration_text(least)}: an estimate follows once every file is open.")

    def _choose(self) -> Plan:
        return self._asked if isinstance(self._asked, Plan) else choose_plan(self._asked, self.costs)

    def _step(self, launch: int, detail: str) -> None:
        plan, left = self._plan, self._left(launch)
        asked = plan or self._asked
        of = f" of {asked.launches}" if asked.launches is not None and asked.until_width_percent is None else ""
        steps = self._files * (1 + plan.rounds) * max(plan.launches, launch) if plan else self._files
        detail = detail if left is None else f"{detail}, about {duration_text(left)} left"
        self._progress.step(self._done, steps, f"launch {launch}{of}", detail)

    def _left(self, launch: int) -> float | None:
        """Return the remaining time, if the rest is as much faster or slower than expected as the part done."""
        if len(self.costs) < self._files or self._plan is None:
            return None
        each = total_seconds(self._plan, self.costs) / self._plan.launches
        rest = each * max(self._plan.launches, launch) - self._expected
        pace = (time.monotonic() - self._start) / self._expected if self._expected else 1.0
        return max(rest, 0.0) * pace + (self._after or 0.0)
