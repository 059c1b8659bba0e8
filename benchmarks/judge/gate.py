"""The budget of a file, and the judgement."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, get_args

from edgecnn.benchmarks.judge.accuracy import Accuracy
from edgecnn.benchmarks.judge.accuracy_checks import (
    ALL_LEARNT,
    LimitCheck,
    agreement,
    brier_increase,
    drop,
    minimum,
    nothing_to_judge_by,
    worst_class,
)
from edgecnn.benchmarks.judge.budget import Budget
from edgecnn.benchmarks.judge.latency_check import p90_check
from edgecnn.benchmarks.judge.stored_reference import doubt
from edgecnn.benchmarks.machine.noise import Noise, texts
from edgecnn.benchmarks.measure.options import Allow
from edgecnn.benchmarks.statistics.percentiles import Percentile
from edgecnn.edge.export_records import Parity
from edgecnn.edge.options.option import check

# The worst comes last: a file known to be outside stays so, however the rest is measured again.
Status = Literal["PASS", "UNJUDGED", "UNDECIDED", "INVALID", "FAIL"]
STATUSES: tuple[Status, ...] = get_args(Status)
PASS: Final = "PASS"
UNJUDGED: Final = "UNJUDGED"
UNDECIDED: Final = "UNDECIDED"
INVALID: Final = "INVALID"
FAIL: Final = "FAIL"


@dataclass(frozen=True)
class Policy:
    """How noise is handled.

    Attributes:
        allow: Names of noise to ignore (`edgecnn.benchmarks.machine.noise.NAMES`), or `noise` for all of them.
        strict: Whether any other noise makes the result INVALID, even without a limit on times; only FAIL takes precedence.

    Raises:
        ConfigError: If a name is unknown.
    """

    allow: Allow = ()
    strict: bool = False

    def __post_init__(self) -> None:
        check(self)

    def allows(self, noise: Noise) -> bool:
        """Return whether times may be judged despite this noise."""
        return "noise" in self.allow or noise.name in self.allow


@dataclass(frozen=True)
class Check:
    """One limit.

    Attributes:
        status: `UNJUDGED` if there is nothing to judge by; it never passes.
        text: A sentence with the figure, its evidence and the limit.
    """

    status: Status
    text: str


@dataclass(frozen=True)
class Verdict:
    """The judgement of one file, or of all.

    Attributes:
        status: `UNJUDGED` if there is no limit, or nothing to judge it by.
        checks: One for each limit.
    """

    status: Status
    checks: tuple[Check, ...]

    @property
    def judged(self) -> bool:
        """Whether a limit was set."""
        return bool(self.checks) or self.status != UNJUDGED

    @property
    def is_invalid(self) -> bool:
        """Whether it must not be judged at all and has to be measured again."""
        return self.status == INVALID

    @property
    def refuses(self) -> bool:
        """Whether a limit was set and is not shown to be met."""
        return any(check.status != PASS for check in self.checks)


@dataclass(frozen=True)
class Figures:
    """The figures by which a file is judged.

    Attributes:
        name: Name of the file.
        exported: False for the float Keras model that is the reference of a manifest's files: only its accuracy is judged.
        size_bytes: Size of the file in bytes.
        peak_memory_bytes: Peak memory of the process in bytes.
        p90: 90th percentile of single-image latency.
        accuracy: Accuracy compared with the reference; None if it was not measured.
        reference: Name of the reference in texts.
        class_names: Class names by index.
        recorded: Agreement of the file with the reference at its export, if it is stored and the Keras model is not
            measured in the same run; else None.
    """

    name: str
    exported: bool
    size_bytes: int
    peak_memory_bytes: int
    p90: Percentile
    accuracy: Accuracy | None
    reference: str
    class_names: tuple[str, ...] = ()
    recorded: Parity | None = None


def judge(figures: Figures, budget: Budget, noise: tuple[Noise, ...] = (), policy: Policy = Policy()) -> Verdict:
    """Judge one file.

    Accuracy is judged by a test of non-inferiority: PASS if the whole interval of the drop lies within the limit, FAIL if
    all of it lies beyond, else UNDECIDED. The other limits on accuracy and p90 are judged the same way, by their bounds. If the
    reference is not shown to be right more often than a guess, the result is UNJUDGED, and also if a stored reference is not
    where the file came from (`edgecnn.benchmarks.judge.stored_reference`), or every image is a copy of a training image. Noise
    makes the limit on p90 INVALID, because it depends on times, unless p90 is within the limit however much the noise changed
    it; with `policy.strict`, noise is a separate INVALID check.

    Raises:
        ValueError: If there is a limit on accuracy, but no accuracy.
    """
    checks = []
    if budget.of_accuracy() and figures.accuracy is None:
        raise ValueError(f"accuracy must have been measured to judge {budget.of_accuracy()[0]}")
    if figures.accuracy:
        checks += accuracy_checks(figures.accuracy, budget, figures.reference, figures.class_names)
        if figures.recorded and budget.beside_reference():
            reason = doubt(figures.accuracy, figures.recorded, budget.max_drop_points, figures.reference)
            checks += [Check(UNJUDGED, reason)] if reason else []
    against = tuple(item for item in noise if item.file in (None, figures.name) and not policy.allows(item))
    if figures.exported:
        if budget.max_p90_ms is not None:
            latency = p90_check(figures.p90, budget.max_p90_ms, against)
            checks.append(Check(INVALID, latency) if isinstance(latency, str) else _check(latency))
        if budget.max_size_kib is not None:
            checks.append(_limit("size", figures.size_bytes / 2**10, "KiB", budget.max_size_kib))
        if budget.max_memory_mib is not None:
            checks.append(_limit("peak memory", figures.peak_memory_bytes / 2**20, "MiB", budget.max_memory_mib))
    if policy.strict and against:
        checks.append(Check(INVALID, f"the measurement is unstable: {texts(against)}"))
    named = tuple(Check(check.status, f"{figures.name}: {check.text}") for check in checks)
    return Verdict(_worst(check.status for check in named), named)


def join(verdicts: tuple[Verdict, ...]) -> Verdict:
    """Return the verdict on all files: the worst of theirs; files without a limit count only if no file has one.

    Raises:
        ValueError: If there is no verdict to combine: nothing measured means nothing passed.
    """
    if not verdicts:
        raise ValueError("verdicts must have at least one, got none")
    checks = tuple(check for verdict in verdicts for check in verdict.checks)
    return Verdict(_worst(verdict.status for verdict in verdicts if verdict.judged), checks)


def _worst(statuses: Iterable[Status]) -> Status:
    return max(statuses, key=STATUSES.index, default=UNJUDGED)


def _side(within: bool, beyond: bool) -> Status:
    return PASS if within else FAIL if beyond else UNDECIDED


def accuracy_checks(accuracy: Accuracy, budget: Budget, reference: str, class_names: tuple[str, ...]) -> list[Check]:
    """Judge accuracy alone, as `judge` does: a check for each limit, and one for a lost class. Arguments: see `Figures`."""
    checks = []
    if accuracy.all_learnt and budget.of_accuracy():
        return [Check(UNJUDGED, ALL_LEARNT)]
    if budget.min_accuracy_percent is not None:
        checks.append(_check(minimum(accuracy, budget.min_accuracy_percent)))
    if not budget.beside_reference():
        return checks
    if reason := nothing_to_judge_by(accuracy, reference):
        return [*checks, Check(UNJUDGED, reason)]
    if budget.max_drop_points is not None:
        checks.append(_check(drop(accuracy, budget.max_drop_points, reference)))
    if budget.min_agreement_percent is not None:
        checks.append(_check(agreement(accuracy, budget.min_agreement_percent, reference)))
    if found := worst_class(accuracy, budget.max_class_drop_points, class_names):
        checks.append(_check(found))
    if budget.max_brier_increase is not None:
        checks.append(_check(brier_increase(accuracy, budget.max_brier_increase)))
    return checks


def _check(found: LimitCheck) -> Check:
    return Check(_side(found.within, found.beyond), found.text)


def _limit(what: str, value: float, unit: str, allowed: float) -> Check:
    return Check(PASS if value <= allowed else FAIL, f"{what} is {value:.6g} {unit}, the limit is {allowed:g}")
