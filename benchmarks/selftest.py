"""The same file against itself: what this machine shows where there is nothing to see."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks import binomial
from benchmarks.compare import NO_EVIDENCE, evidence, ratio_of
from benchmarks.host import Machine, State, read_machine, read_state
from benchmarks.intervals import Interval
from benchmarks.latency import Plan
from benchmarks.launches import Candidate, Progress, measure
from benchmarks.noise import Noise, machine_noise, time_noise
from benchmarks.results import Launch
from benchmarks.summary import round_medians, summarize
from edge.errors import ConfigError

# Of "no evidence", that intervals of 95 % promise.
_CLAIM = 0.95
# Fewer than that by chance in one machine of a hundred: then the intervals do not hold.
_CHANCE = 0.01


@dataclass(frozen=True)
class Trials:
    """Comparisons of a file with itself.

    Attributes:
        ratios: One for each.
        no_evidence: How many of their intervals contain 1, as they should.
        holds: False if so few would come by chance in less than 1 % of machines whose intervals hold.
    """

    ratios: tuple[Interval, ...]
    no_evidence: int
    holds: bool


@dataclass(frozen=True)
class SelfTest:
    """What a machine's noise does to comparisons.

    Attributes:
        file: What was measured.
        plan: Of each side of each trial.
        side_by_side: Ratios within one benchmark, as its table gives them.
        one_after_another: Ratios of separate benchmarks, as `edgecnn compare` gives them.
        noise_floor: The 95th percentile of how far the ratios of both kinds are from 1: a share.
        machine: Where.
        before: Its state at the start.
        after: And at the end.
        noise: What made the times unstable.
    """

    file: str
    plan: Plan
    side_by_side: Trials
    one_after_another: Trials
    noise_floor: float
    machine: Machine
    before: State
    after: State
    noise: tuple[Noise, ...]

    @property
    def holds(self) -> bool:
        """Tell whether both kinds of interval hold."""
        return self.side_by_side.holds and self.one_after_another.holds


def selftest(candidate: Candidate, plan: Plan, trials: int, on_progress: Progress) -> SelfTest:
    """Measure a file beside itself, `trials` times, every time in new processes.

    Raises:
        ConfigError: If there are not 4 to 1,000 trials, or fewer than 2 launches.
        EdgeCnnError: As `benchmarks.launches.measure`.
    """
    if not 4 <= trials <= 1000:
        raise ConfigError(f"--trials must be 4 to 1000, got {trials}")
    if plan.launches < 2:
        raise ConfigError("--launches must be 2 or more: one gives no interval")
    machine, before = read_machine(), read_state()
    firsts: list[Sequence[Launch]] = []
    beside: list[Interval] = []
    noise: list[Noise] = []
    for trial in range(trials):

        def progress(done: int, steps: int, text: str, trial: int = trial) -> None:
            on_progress(trial * steps + done, trials * steps, f"trial {trial + 1} of {trials}")

        measured, _ = measure((candidate, candidate), plan, lambda processes: None, progress)
        first, second = measured.launches
        ratio = summarize(second, first, (50,)).ratio
        assert ratio  # noqa: S101  # Two launches or more, and two files.
        beside.append(ratio)
        firsts.append(first)
        clocks = [item.clock_khz for launch in (*first, *second) for item in launch.rounds if item.clock_khz]
        noise += machine_noise((before, *measured.during), clocks, measured.load)
        for launches in (first, second):
            settled = [launch.settled for launch in launches]
            noise += time_noise(candidate.name, round_medians(launches).ravel().tolist(), settled)
    after_each = [ratio_of(new, old) for old, new in zip(firsts[::2], firsts[1::2], strict=False)]
    far = [abs(ratio.estimate - 1) for ratio in (*beside, *after_each)]
    return SelfTest(
        file=candidate.name,
        plan=plan,
        side_by_side=_trials(beside),
        one_after_another=_trials(after_each),
        noise_floor=float(np.percentile(far, 95)),
        machine=machine,
        before=before,
        after=read_state(),
        noise=tuple(noise),
    )


def _trials(ratios: Sequence[Interval]) -> Trials:
    quiet = sum(evidence(ratio) == NO_EVIDENCE for ratio in ratios)
    return Trials(tuple(ratios), quiet, binomial.cdf(quiet, len(ratios), _CLAIM) >= _CHANCE)
