"""Judges files: accuracy and latency against their limits."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

from edgecnn.benchmarks.gate.accuracy import Accuracy
from edgecnn.benchmarks.gate.accuracy_checks import (
    ALL_LEARNT,
    LimitCheck,
    agreement,
    brier_increase,
    doubt,
    drop,
    minimum,
    nothing_to_judge_by,
    worst_class,
)
from edgecnn.benchmarks.gate.budget import Budget
from edgecnn.benchmarks.machine.noise import Noise, hidden_factor
from edgecnn.benchmarks.measure.options import Allow
from edgecnn.benchmarks.statistics.percentiles import Percentile, launch_share, launches_needed
from edgecnn.edge.export_records import Parity
from edgecnn.edge.option import check


def p90_check(p90: Percentile, allowed: float, noise: tuple[Noise, ...]) -> LimitCheck | str:
    """Compare the p90 of every launch with its limit in milliseconds.

    Noise that can only have added time leaves an upper bound true, so p90 may still be within its limit. If noise may hide
    how slow a run can be, the bound times `hidden_factor` must be within the limit.

    Args:
        p90: 90th percentile of single-image latency.
        allowed: The limit in milliseconds.
        noise: Noise that disturbed these times and is not ignored.

    Returns:
        The limit compared with the measurement, or why it can't be judged.
    """
    if p90.value_ns is None:
        return f"p90 can't be judged: it needs {p90.needed_runs} runs, but has {p90.runs}: measure more runs"
    seen = f"p90 is {p90.value_ns / 1e6:.4g} ms, the limit is {allowed:g}"
    factor = hidden_factor(noise)
    if noise and (p90.high_ns is None or factor * p90.high_ns / 1e6 > allowed):
        return f"{seen}, but it can't be judged: {_reasons(noise)}"
    if len(p90.launches) < 2:
        return f"{seen}, but it can't be judged: one launch says nothing about others: measure more launches"
    if p90.low_ns is None or p90.high_ns is None:
        why = f"each launch needs {p90.needed_runs} runs, all {len(p90.launches)} have {p90.runs}: measure more runs"
        return f"{seen}, but it can't be judged: {why}"
    low, high, count = p90.low_ns / 1e6, p90.high_ns / 1e6, len(p90.launches)
    within, beyond = high <= allowed, low > allowed
    if not (within or beyond):
        return LimitCheck(False, False, f"{seen}; {_launches_apart(p90, allowed)}")
    bound, share = (f"at most {high:.4g}", "are within") if within else (f"at least {low:.4g}", "exceed")
    text = f"{seen}; all {count} launches have {bound}: {launch_share(count):.0%} of launches or more {share} it (95 %)"
    most = launches_needed(0.9)
    text += "" if count >= most else f"; {most} launches would cover 9 in 10"
    return LimitCheck(within, beyond, text + _despite(noise, factor))


def _reasons(noise: tuple[Noise, ...]) -> str:
    return "; ".join(item.reason for item in noise)


def _despite(noise: tuple[Noise, ...], factor: int) -> str:
    """Return why a limit is kept despite noise."""
    if not noise:
        return ""
    why = "it can only have added time" if factor == 1 else f"even {factor} times these times are within the limit"
    return f"; the machine was noisy ({', '.join(dict.fromkeys(item.name for item in noise))}), but {why}"


def _launches_apart(p90: Percentile, allowed: float) -> str:
    """Return which launch prevents a PASS."""
    bounds = [(item.value_ns / 1e6, (item.low_ns or 0) / 1e6, (item.high_ns or 0) / 1e6) for item in p90.launches]
    number, (value, low, high) = max(enumerate(bounds, 1), key=lambda item: item[1])
    within = sum(item[2] <= allowed for item in bounds)
    mend = "find out what slows it" if low > allowed else "measure more runs"
    return (
        f"{within} of {len(bounds)} launches are within it, the slowest is launch {number} with {value:.4g} ms ({low:.4g} to "
        f"{high:.4g}, 99 % each side): {mend}"
    )


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
        checks: One for each limit; of all files, one for each limit and finding, which begins with the names of the files.
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
    where the file came from (`edgecnn.benchmarks.gate.accuracy_checks`), or every image is a copy of a training image. Noise
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
        checks.append(Check(INVALID, f"the measurement is unstable: {_reasons(against)}"))
    return Verdict(_worst(check.status for check in checks), tuple(checks))


def join(verdicts: Sequence[tuple[str, Verdict]]) -> Verdict:
    """Return the verdict on all files, given by name: the worst of theirs; files without a limit count only if no file has one.

    A check names the files of which it says the same.

    Raises:
        ValueError: If there is no verdict to combine: nothing measured means nothing passed.
    """
    if not verdicts:
        raise ValueError("verdicts must have at least one, got none")
    files: dict[Check, list[str]] = {}
    for name, verdict in verdicts:
        for limit in verdict.checks:
            files.setdefault(limit, []).append(name)
    checks = tuple(Check(limit.status, f"{', '.join(names)}: {limit.text}") for limit, names in files.items())
    return Verdict(_worst(verdict.status for _, verdict in verdicts if verdict.judged), checks)


def _worst(statuses: Iterable[Status]) -> Status:
    return max(statuses, key=STATUSES.index, default=UNJUDGED)


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
    return Check(PASS if found.within else FAIL if found.beyond else UNDECIDED, found.text)


def _limit(what: str, value: float, unit: str, allowed: float) -> Check:
    return Check(PASS if value <= allowed else FAIL, f"{what} is {value:.6g} {unit}, the limit is {allowed:g}")
