"""What is allowed, and the judgement."""

from collections.abc import Iterable
from dataclasses import dataclass

from benchmarks.accuracy import Accuracy
from benchmarks.noise import NAMES, Noise
from benchmarks.percentiles import Percentile
from benchmarks.proportions import images_to_decide, images_to_decide_agreement
from edge.errors import ConfigError

UNJUDGED = "UNJUDGED"
PASS = "PASS"
UNDECIDED = "UNDECIDED"
INVALID = "INVALID"
FAIL = "FAIL"
# The worst last: what is known to be outside stays so, however the rest is measured again.
STATUSES = (UNJUDGED, PASS, UNDECIDED, INVALID, FAIL)

ACCURACY_LIMITS = ("max_drop_points", "min_agreement_percent")


@dataclass(frozen=True)
class Budget:
    """What a file may cost. None is no limit.

    Attributes:
        max_drop_points: Percentage points of accuracy below the reference, 0 to 100.
        min_agreement_percent: Images with the reference's class, 0 to 100 %.
        max_p90_ms: Nine of ten single-image inferences, in milliseconds.
        max_size_kib: Of the file, in 1,024 bytes.
        max_memory_mib: Peak resident memory of the process, in 1,048,576 bytes.

    Raises:
        ConfigError: If out of range.
    """

    max_drop_points: float | None = 0.5
    min_agreement_percent: float | None = None
    max_p90_ms: float | None = None
    max_size_kib: float | None = None
    max_memory_mib: float | None = None

    def __post_init__(self) -> None:
        for name in ACCURACY_LIMITS:
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 100:
                raise ConfigError(f"{name} must be 0 to 100, got {value}")
        for name in ("max_p90_ms", "max_size_kib", "max_memory_mib"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise ConfigError(f"{name} must be above 0, got {value}")

    def of_accuracy(self) -> tuple[str, ...]:
        """Return the names of the limits that are set and judge a file beside a reference, on labelled images."""
        return tuple(name for name in ACCURACY_LIMITS if getattr(self, name) is not None)

    def of_exported(self) -> tuple[str, ...]:
        """Return the names of the limits that are set and judge exported files only, not the reference."""
        return tuple(name for name in ("max_p90_ms", "max_size_kib", "max_memory_mib") if getattr(self, name) is not None)


@dataclass(frozen=True)
class Policy:
    """What to do with noise.

    Attributes:
        allow: Names of noise that is judged anyway (`benchmarks.noise.NAMES`), or `noise` for all of them.
        strict: Any other noise is INVALID, with or without a budget that rests on times; only a FAIL weighs more.

    Raises:
        ConfigError: If a name is unknown.
    """

    allow: tuple[str, ...] = ()
    strict: bool = False

    def __post_init__(self) -> None:
        for name in self.allow:
            if name not in (*NAMES, "noise"):
                raise ConfigError(f"--allow {name} is unknown: use noise, or one of {', '.join(NAMES)}")

    def allows(self, noise: Noise) -> bool:
        """Tell whether times may be judged in spite of it."""
        return "noise" in self.allow or noise.name in self.allow


@dataclass(frozen=True)
class Check:
    """One limit.

    Attributes:
        status: `PASS`, `FAIL`, `UNDECIDED` or `INVALID`.
        text: A sentence with the figure, its evidence and the limit.
    """

    status: str
    text: str


@dataclass(frozen=True)
class Verdict:
    """The judgement of one file, or of all.

    Attributes:
        status: `PASS`, `FAIL`, `INVALID`, `UNDECIDED`, or `UNJUDGED` where there is no limit to judge by.
        checks: One for each limit.
    """

    status: str
    checks: tuple[Check, ...]


@dataclass(frozen=True)
class Figures:
    """What a file is judged by.

    Attributes:
        name: The file's.
        exported: False for the float Keras model that a manifest's files are judged against: only its accuracy is judged.
        size_bytes: Of the file.
        peak_memory_bytes: Of the process.
        p90: Of single-image latency.
        accuracy: Beside the reference; None where it was not measured.
        reference: What that is, as texts call it.
    """

    name: str
    exported: bool
    size_bytes: int
    peak_memory_bytes: int
    p90: Percentile
    accuracy: Accuracy | None
    reference: str


def judge(figures: Figures, budget: Budget, noise: tuple[Noise, ...] = (), policy: Policy = Policy()) -> Verdict:
    """Judge one file.

    Accuracy is a test of non-inferiority: PASS where the whole interval of the drop lies within the limit, FAIL where
    all of it lies beyond, else UNDECIDED. Agreement and p90 likewise, by their bounds. Noise makes the limit of p90
    INVALID, because it rests on times; with `policy.strict` it is an INVALID check of its own.

    Raises:
        ValueError: If there is a limit of accuracy, and no accuracy.
    """
    checks = []
    if budget.of_accuracy() and figures.accuracy is None:
        raise ValueError(f"accuracy must have been measured to judge {budget.of_accuracy()[0]}")
    if figures.accuracy and budget.max_drop_points is not None:
        checks.append(_drop(figures.accuracy, budget.max_drop_points, figures.reference))
    if figures.accuracy and budget.min_agreement_percent is not None:
        checks.append(_agreement(figures.accuracy, budget.min_agreement_percent, figures.reference))
    against = tuple(item for item in noise if item.file in (None, figures.name) and not policy.allows(item))
    if figures.exported:
        if budget.max_p90_ms is not None:
            checks.append(_p90(figures, budget.max_p90_ms, against))
        if budget.max_size_kib is not None:
            checks.append(_limit("size", figures.size_bytes / 2**10, "KiB", budget.max_size_kib))
        if budget.max_memory_mib is not None:
            checks.append(_limit("peak memory", figures.peak_memory_bytes / 2**20, "MiB", budget.max_memory_mib))
    if policy.strict and against:
        checks.append(Check(INVALID, f"the measurement is unstable: {_texts(against, figures.name)}"))
    named = tuple(Check(check.status, f"{figures.name}: {check.text}") for check in checks)
    return Verdict(_worst(check.status for check in named), named)


def join(verdicts: tuple[Verdict, ...]) -> Verdict:
    """Return the verdict on all files: the worst of theirs; files without a limit do not count beside others.

    Raises:
        ValueError: If there is no verdict to join: nothing measured is nothing passed.
    """
    if not verdicts:
        raise ValueError("verdicts must have at least one, got none")
    checks = tuple(check for verdict in verdicts for check in verdict.checks)
    return Verdict(_worst(verdict.status for verdict in verdicts), checks)


def _worst(statuses: Iterable[str]) -> str:
    return max(statuses, key=STATUSES.index, default=UNJUDGED)


def _side(within: bool, beyond: bool) -> str:
    return PASS if within else FAIL if beyond else UNDECIDED


def _drop(accuracy: Accuracy, allowed: float, reference: str) -> Check:
    drop = accuracy.drop
    status = _side(100 * drop.high <= allowed, 100 * drop.low > allowed)
    direction = "above" if drop.estimate < 0 else "below"
    text = (
        f"accuracy {accuracy.accuracy:.2%} is {100 * abs(drop.estimate):.2f} points {direction} {reference}, the "
        f"drop lies in {100 * drop.low:+.3f} to {100 * drop.high:+.3f} (95 %), allowed are {allowed:.2f}"
    )
    if status == UNDECIDED:
        images = images_to_decide(accuracy.lost, accuracy.gained, accuracy.images, allowed / 100)
        text += f"; {accuracy.images:,} images do not decide, {_need(images)}"
    return Check(status, text)


def _need(images: int | None) -> str:
    return f"about {images:,} images like these would decide" if images else "no number of images like these would decide"


def _agreement(accuracy: Accuracy, least: float, reference: str) -> Check:
    share = accuracy.agreement
    status = _side(100 * share.low >= least, 100 * share.high < least)
    text = (
        f"{100 * share.estimate:.2f} % of images have {reference}'s class ({100 * share.low:.2f} to "
        f"{100 * share.high:.2f} %, 95 %), needed are {least:.2f} %"
    )
    if status == UNDECIDED:
        images = images_to_decide_agreement(accuracy.same_class, accuracy.images, least / 100)
        text += f"; {accuracy.images:,} images do not decide, {_need(images)}"
    return Check(status, text)


def _p90(figures: Figures, allowed: float, against: tuple[Noise, ...]) -> Check:
    p90 = figures.p90
    if p90.value_ns is None:
        return Check(INVALID, f"p90 can't be judged: it needs {p90.needed_runs} runs, these are {p90.runs}: raise --min-runs")
    seen = f"p90 is {p90.value_ns / 1e6:.4g} ms, allowed are {allowed:g}"
    if against:
        return Check(INVALID, f"{seen}, but it can't be judged: {_texts(against, figures.name)}")
    if p90.low_ns is None or p90.high_ns is None:
        return Check(INVALID, f"{seen}, but it can't be judged: one launch says nothing of the next: raise --launches")
    low, high = p90.low_ns / 1e6, p90.high_ns / 1e6
    status = _side(high <= allowed, low > allowed)
    text = f"p90 is {p90.value_ns / 1e6:.4g} ms ({low:.4g} to {high:.4g}, 99 % each side), allowed are {allowed:g}"
    if status == UNDECIDED:
        text += f"; {p90.runs:,} runs do not decide: raise --launches"
    return Check(status, text)


def _limit(what: str, value: float, unit: str, allowed: float) -> Check:
    return Check(PASS if value <= allowed else FAIL, f"{what} is {value:.6g} {unit}, allowed are {allowed:g}")


def _texts(noise: tuple[Noise, ...], name: str) -> str:
    return "; ".join(f"{item.text.removeprefix(f'{name}: ')} ({item.name})" for item in noise)
