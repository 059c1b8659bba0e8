"""Compares a file with itself: the differences that this machine shows where there are none."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgecnn.benchmarks.compare.compare import NO_EVIDENCE, evidence
from edgecnn.benchmarks.machine.host import Machine, State, read_machine, read_state
from edgecnn.benchmarks.machine.noise import Noise
from edgecnn.benchmarks.measure.launches import Candidate, measure, noise_of
from edgecnn.benchmarks.measure.options import Plan
from edgecnn.benchmarks.results.between import Between, between_benchmarks, ratio_of
from edgecnn.benchmarks.results.latency_summary import launch_logs, ratios
from edgecnn.benchmarks.results.records import Launch, Report
from edgecnn.benchmarks.statistics import binomial
from edgecnn.edge.errors import ArtifactError, ConfigError, field
from edgecnn.edge.export_records import Interval
from edgecnn.edge.files import read_bytes
from edgecnn.edge.records import from_json
from edgecnn.edge.result import Progress, Result, Silent

# Share of "no evidence" that intervals of 95 % promise.
_CLAIM = 0.95
# Below this probability (one machine in a hundred by chance) the intervals do not hold.
_CHANCE = 0.01


@dataclass(frozen=True)
class Trials:
    """Comparisons of a file with itself.

    Attributes:
        ratios: Ratio of each comparison.
        no_evidence: Number of their intervals that contain 1, as they should.
        holds: False if so few would occur by chance on less than 1 % of machines whose intervals hold.
    """

    ratios: tuple[Interval, ...]
    no_evidence: int
    holds: bool


@dataclass(frozen=True, repr=False)
class SelfTest(Result):
    """The effect of a machine's noise on comparisons.

    Attributes:
        file: The measured file.
        plan: Plan of each side of each trial.
        side_by_side: Ratios within one benchmark, as in its table.
        one_after_another: Ratios of separate benchmarks, as `edgecnn compare` computes them for one result per side.
        with_floor: The same ratios, with intervals that include `between`, as `edgecnn compare` computes them with a floor.
        launch_deviation: Standard deviation of the launches of one benchmark, as a share of the time.
        between: Variation between benchmarks, beyond what their launches explain.
        noise_floor: 95th percentile of the distance of the ratios of both kinds from 1, as a share.
        machine: The machine.
        before: Its state at the start.
        after: Its state at the end.
        noise: Noise that made the times unstable.
    """

    file: str
    plan: Plan
    side_by_side: Trials
    one_after_another: Trials
    with_floor: Trials
    launch_deviation: float
    between: Between
    noise_floor: float
    machine: Machine
    before: State
    after: State
    noise: tuple[Noise, ...]

    @property
    def holds(self) -> bool:
        """Return whether both kinds of interval hold without a floor."""
        return self.side_by_side.holds and self.one_after_another.holds


@dataclass(frozen=True)
class _Trial(Silent):
    """The progress of one of several trials. The estimate is for this trial only, and not shown."""

    progress: Progress
    trial: int
    trials: int

    def step(self, done: int, total: int, text: str, detail: str = "") -> None:
        """Pass on how much of all trials is done."""
        self.progress.step(self.trial * total + done, self.trials * total, f"trial {self.trial + 1} of {self.trials}")


def selftest(candidate: Candidate, plan: Plan, trials: int, progress: Progress) -> SelfTest:
    """Compare a file with itself `trials` times, each time in new processes.

    Raises:
        ConfigError: If there are fewer than 2 launches.
        EdgeCnnError: As in `edgecnn.benchmarks.measure.launches.measure`.
    """
    if plan.launches < 2:
        raise ConfigError(f"{field('launches')} must be 2 or more: one gives no interval")
    machine, before = read_machine(), read_state()
    firsts: list[Sequence[Launch]] = []
    logs: list[NDArray[np.float64]] = []
    beside: list[Interval] = []
    noise: list[Noise] = []
    for trial in range(trials):
        measured, _ = measure((candidate, candidate), plan, lambda processes, launches: None, _Trial(progress, trial, trials))
        first, second = measured.launches
        ratio = ratios((first, second), 0)[1]
        assert ratio  # noqa: S101  # Two launches or more, and two files.
        beside.append(ratio)
        firsts.append(first)
        logs.append(np.concatenate([launch_logs(first), launch_logs(second)]))
        noise += noise_of([(candidate.name, own) for own in measured.launches], (before, *measured.during), measured.load)
    # Both sides of a trial run at the same time and share the variation between benchmarks.
    by_trial = np.array(logs)
    between = between_benchmarks(by_trial)
    pairs = list(zip(firsts[::2], firsts[1::2], strict=False))
    after_each = [ratio_of([new], [old]) for old, new in pairs]
    far = [abs(ratio.estimate - 1) for ratio in (*beside, *after_each)]
    return SelfTest(
        file=candidate.name,
        plan=plan,
        side_by_side=_trials(beside),
        one_after_another=_trials(after_each),
        with_floor=_trials([ratio_of([new], [old], between) for old, new in pairs]),
        launch_deviation=float(np.sqrt(by_trial.reshape(trials, 2, plan.launches).var(axis=2, ddof=1).mean())),
        between=between,
        noise_floor=float(np.percentile(far, 95)),
        machine=machine,
        before=before,
        after=read_state(),
        noise=tuple(noise),
    )


def read_floor(path: Path, reports: Sequence[Report]) -> Between:
    """Read the variation between a machine's benchmarks of one file, from the JSON of `edgecnn selftest`, to use for results.

    Raises:
        ArtifactError: If it is missing, damaged, or from another edgecnn.
        ConfigError: If it is from another machine than a result.
    """
    found = from_json(SelfTest, read_bytes(path), str(path))
    if not (0 <= found.between.variance < math.inf and 1 <= found.between.degrees < math.inf):
        raise ArtifactError(f"{path} is damaged (no variance between benchmarks): write it again with edgecnn selftest")
    for report in reports:
        if _identity(report.machine) != _identity(found.machine):
            machines = " and ".join(", ".join(map(str, _identity(machine))) for machine in (found.machine, report.machine))
            raise ConfigError(f"{path} is from another machine than a result ({machines}): run edgecnn selftest there")
    return found.between


def _identity(machine: Machine) -> tuple[str, str | None, str | None, int]:
    return machine.machine, machine.board, machine.cpu, machine.cores


def _trials(ratios: Sequence[Interval]) -> Trials:
    quiet = sum(evidence(ratio) == NO_EVIDENCE for ratio in ratios)
    return Trials(tuple(ratios), quiet, binomial.cdf(quiet, len(ratios), _CLAIM) >= _CHANCE)
