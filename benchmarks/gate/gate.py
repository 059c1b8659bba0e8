"""What a judgement is: its status, a check for each limit, the verdict on a file and on all, and what it is made from."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

from edgecnn.benchmarks.gate.accuracy import Accuracy
from edgecnn.benchmarks.machine.noise import Noise
from edgecnn.benchmarks.measure.options import Allow
from edgecnn.benchmarks.statistics.percentiles import Percentile
from edgecnn.edge.export_records import Parity
from edgecnn.edge.option import check

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
        text: A sentence with the figure, its evidence and the limit. In the verdict on all files, it begins with the names of
            those of which it says the same.
    """

    status: Status
    text: str


@dataclass(frozen=True)
class Verdict:
    """The judgement of one file, or of all.

    Attributes:
        status: `UNJUDGED` if there is no limit, or nothing to judge it by.
        checks: One for each limit; in the verdict on all files, one for each limit and finding.
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
        exported: False for the float model that is the reference of a manifest's files: only its accuracy is judged.
        size_bytes: Size of the file in bytes.
        peak_memory_bytes: Peak memory of the process in bytes.
        p90: 90th percentile of single-image latency.
        accuracy: Accuracy compared with the reference; None if it was not measured.
        reference: Name of the reference in texts.
        class_names: Class names by index.
        recorded: Agreement of the file with the reference at its export, if it is stored and the float model is not
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
    return Verdict(worst(verdict.status for _, verdict in verdicts if verdict.judged), checks)


def worst(statuses: Iterable[Status]) -> Status:
    """Return the worst of these; `UNJUDGED` if there are none."""
    return max(statuses, key=STATUSES.index, default=UNJUDGED)
