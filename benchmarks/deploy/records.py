"""What deploying says of each board."""

from dataclasses import dataclass
from typing import Any, Final, Literal

from edgecnn.benchmarks.bundle.golden import GoldenCheck
from edgecnn.benchmarks.doctor.examine import Examination
from edgecnn.edge.result import Result
from edgecnn.edge.serving.answered.summary import Answered

SCHEMA = 1
Outcome = Literal["deployed", "unchanged", "rolled back", "refused", "taken back", "failed", "not tried"]
GOOD: Final = ("deployed", "unchanged", "rolled back")
"""Outcomes after which the wanted bundle is in service."""


@dataclass(frozen=True)
class Deployed:
    """What became of a bundle on one board.

    Attributes:
        host: Host as named.
        outcome: `deployed`; `unchanged` if it was in service already; `rolled back`, as requested; `refused` before it went
            into service; `taken back`, so that the earlier one is in service; `failed` for any other reason; `not tried` after
            another board's failure.
        reason: Why it is not in service, in a sentence; None if it is.
        sha256: SHA-256 of the bundle; None if no bundle was named and the board did not say which.
        previous: SHA-256 of the bundle that was in service before; None if there was none.
        serving: Whether a service answers with it; otherwise it is the board's current one, for programs.
        received_bytes: Number of the bundle's bytes that the board received: less than all if an earlier bundle shares some.
        answers: Number of golden images that the service answered while it was watched.
        seconds: Duration of each step in seconds.
        shadowed: Number of live pictures that it answered too before it went into service.
        agreed: Number of them for which every file of it named the class of the file in service.
        signer: Who signed the bundle, as the board's list of allowed signers names them; None if the board has no list.
        golden: What its files computed there; None if it did not come so far.
    """

    host: str
    outcome: Outcome
    reason: str | None
    sha256: str | None = None
    previous: str | None = None
    serving: bool = False
    received_bytes: int = 0
    answers: int = 0
    shadowed: int = 0
    agreed: int = 0
    signer: str | None = None
    seconds: dict[str, float] | None = None
    golden: GoldenCheck | None = None


@dataclass(frozen=True, repr=False)
class Deployment(Result):
    """What became of a bundle on all boards.

    Attributes:
        schema: Number of this record's layout.
        command: Command that repeats it.
        name: Name of the model folder; empty for a rollback.
        size_bytes: Size of the bundle in bytes; 0 for a rollback.
        files: Names of the model files in it.
        why: Why it holds these files, in a sentence; None if they were named, or are a bundle's.
        boards: One for each board, in the order in which they were named.
    """

    schema: int
    command: str
    name: str
    size_bytes: int
    files: tuple[str, ...]
    why: str | None
    boards: tuple[Deployed, ...]

    def rows(self) -> list[dict[str, Any]]:
        """Return one dict for each board."""
        rows: list[dict[str, Any]] = self.to_dict()["boards"]
        return rows


@dataclass(frozen=True)
class ReleaseRecord:
    """A bundle that is or was in service on a board.

    Attributes:
        sha256: SHA-256 of the bundle.
        name: Name of its model folder on the workstation.
        version: Version of edgecnn that deployed it.
        since: Time at which it went into service, as ISO 8601 in UTC, by the board's clock.
        kept: Whether it had been watched for the time that was asked for.
        withdrawn: Whether it was taken out of service because an earlier one was put back.
    """

    sha256: str
    name: str
    version: str
    since: str
    kept: bool
    withdrawn: bool


@dataclass(frozen=True)
class ServedFile:
    """A model file with which a service answers.

    Attributes:
        file: Name of the file.
        sha256: SHA-256 of the file.
        runtime: Package and version that runs it.
    """

    file: str
    sha256: str
    runtime: str


@dataclass(frozen=True)
class ServiceRecord:
    """What a service says of itself.

    Attributes:
        address: Where it answers.
        version: Version of its edgecnn.
        started: Time at which it started, as ISO 8601 in UTC, by the board's clock.
        memory_bytes: Memory that it takes in bytes.
        sha256: SHA-256 of the bundle with which it answers; None if that is no bundle.
        files: The files of it.
        answers: What it answered; None if it does not say.
    """

    address: str
    version: str
    started: str
    memory_bytes: int
    sha256: str | None
    files: tuple[ServedFile, ...]
    answers: Answered | None = None


@dataclass(frozen=True)
class UnitRecord:
    """What systemd says of a service.

    Attributes:
        active: `active`, `activating`, `inactive`, `failed` and so on.
        result: `success`, or how it failed: `exit-code`, `signal`, `watchdog`, `oom-kill`, `start-limit-hit` and so on.
        restarts: How often systemd started it again by itself since somebody started it.
        since: Time since which it is so, as ISO 8601 in UTC, by the board's clock; None if it never ran.
        enabled: Whether it starts at boot.
        memory_bytes: Memory of all its processes in bytes; None if it does not run, or its kernel does not count memory.
    """

    active: str
    result: str
    restarts: int
    since: str | None
    enabled: bool
    memory_bytes: int | None


@dataclass(frozen=True)
class BoardStatus:
    """What runs on one board.

    Attributes:
        host: Host as named.
        error: Why nothing is known, in a sentence; None if it answered.
        releases: The bundles that are there, the one in service last.
        service: What the service says of itself; None if none runs.
        unit: What systemd says of it; None without a unit.
    """

    host: str
    error: str | None
    releases: tuple[ReleaseRecord, ...] = ()
    service: ServiceRecord | None = None
    unit: UnitRecord | None = None


@dataclass(frozen=True, repr=False)
class DeployStatus(Result):
    """What runs on all boards.

    Attributes:
        schema: Number of this record's layout.
        boards: One for each board, in the order in which they were named.
    """

    schema: int
    boards: tuple[BoardStatus, ...]


@dataclass(frozen=True)
class BoardCheck:
    """What a board says of itself, or of the bundle in service there.

    Attributes:
        host: Host as named.
        error: Why there is no answer, in a sentence; None if there is one.
        golden: What the bundle's files compute there, if that was asked.
        examination: What edgecnn doctor found there, if that was asked.
    """

    host: str
    error: str | None
    golden: GoldenCheck | None = None
    examination: Examination | None = None


@dataclass(frozen=True, repr=False)
class BoardChecks(Result):
    """What all boards say.

    Attributes:
        schema: Number of this record's layout.
        boards: One for each board, in the order in which they were named.
    """

    schema: int
    boards: tuple[BoardCheck, ...]

    @property
    def problem(self) -> str | None:
        """The boards on which something does not work; None if all work."""
        bad = [
            board.host
            for board in self.boards
            if (board.golden and not board.golden.passed) or (board.examination and board.examination.problems)
        ]
        return f"problems on {', '.join(bad)}: see above" if bad else None
