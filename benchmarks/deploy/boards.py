"""Puts a bundle into service on boards over ssh, puts an earlier one back, and says what runs there."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from edgecnn.benchmarks.bundle.golden import GoldenCheck
from edgecnn.benchmarks.deploy.options import DeployOptions
from edgecnn.benchmarks.deploy.records import (
    GOOD,
    SCHEMA,
    BoardStatus,
    Deployed,
    DeployStatus,
    ReleaseRecord,
    ServiceRecord,
    UnitRecord,
)
from edgecnn.benchmarks.gate.gate import PASS
from edgecnn.benchmarks.remote.agent.receiving import Chunk, chunks
from edgecnn.benchmarks.remote.calls import Answer, Tell, converse, not_understood, side_by_side
from edgecnn.benchmarks.remote.remote import Install, parsed, requested, sent_file
from edgecnn.benchmarks.remote.ssh import Connection, check_hosts
from edgecnn.benchmarks.results.records import Report
from edgecnn.benchmarks.statistics import binomial
from edgecnn.edge.errors import ArtifactError, EdgeCnnError, load_json
from edgecnn.edge.records import from_json, from_value
from edgecnn.edge.result import Progress
from edgecnn.edge.text import printable

T = TypeVar("T")
MOST_AT_ONCE = 8
"""Boards that are deployed to at a time: after the first failure no further one is begun."""
_STEPS = {
    "software": "looking for edgecnn",
    "send": "sending the bundle",
    "verify": "verifying it there",
    "bench": "measuring it there",
    "load": "the running service loads it",
    "shadow": "answering live pictures too",
    "switch": "going over to it",
    "watch": "watching the service",
}


@dataclass(frozen=True)
class Order:
    """What every board is to put into service.

    Attributes:
        bundle: The bundle.
        name: Name of its model folder.
        version: Version of edgecnn here; the board's must be the same.
        mend: Command that installs edgecnn there, for messages.
        options: How it goes into service.
        signature: OpenSSH's signature of the bundle; None for none.
        writes_code: Whether a runtime of its files does, as in `Runtime`.
        install: None installs nothing.
        budget: Text of a TOML file with limits; None measures nothing there.
        arguments: Options of `edgecnn bench` there, with a budget.
        most_ms: Largest time of the service's median answer in milliseconds; None for any.
        judged: Returns a board's result as judged here, with a budget; it raises if that is not of what was sent.
    """

    bundle: Path
    name: str
    version: str
    mend: str
    options: DeployOptions
    signature: str | None = None
    writes_code: bool = False
    install: Install | None = None
    budget: str | None = None
    arguments: tuple[str, ...] = ()
    most_ms: float | None = None
    judged: Callable[[Report], Report] = field(default=lambda report: report)


def deploy_to(hosts: Sequence[str], order: Order, progress: Progress) -> tuple[Deployed, ...]:
    """Put a bundle into service on boards: all side by side, or the first one alone before the others.

    After the first failure no further board is begun; those under way are finished.

    Raises:
        ConfigError: If no host is named, a name is invalid, or the bundle can't be read.
    """
    check_hosts(hosts)
    parts = chunks(order.bundle)
    request = _request(order, parts)
    stop = threading.Event()

    def talk(connection: Connection, tell: Tell) -> Deployed | None:
        if stop.is_set():
            return None
        found = Deployed(connection.host, "failed", None)
        try:
            found = _deployed(connection, order, request, parts, tell)
            return found
        finally:
            if found.outcome not in GOOD:
                stop.set()

    groups = [hosts[:1], hosts[1:]] if order.options.canary and len(hosts) > 1 else [hosts]
    answers = [item for group in groups for item in _talked(group, talk, stop, progress)]
    return tuple(map(_outcome, answers))


def _talked(
    hosts: Sequence[str], talk: Callable[[Connection, Tell], Deployed | None], stop: threading.Event, progress: Progress
) -> Sequence[Answer[Deployed | None]]:
    """Talk to a group of boards, unless an earlier one has failed."""
    if stop.is_set():
        return [Answer(host, None, None) for host in hosts]
    found = side_by_side(hosts, talk, progress.say, min(MOST_AT_ONCE, len(hosts)))
    if any(item.error for item in found):
        stop.set()
    return found


def _outcome(answer: Answer[Deployed | None]) -> Deployed:
    if answer.error is not None:
        return Deployed(answer.host, "failed", answer.error)
    return answer.value or Deployed(answer.host, "not tried", "another board failed before it")


def rolled_back(hosts: Sequence[str], progress: Progress) -> tuple[Deployed, ...]:
    """Put the earlier bundle back into service on boards, side by side.

    Raises:
        ConfigError: If no host is named, or a name is invalid.
    """
    check_hosts(hosts)

    def talk(connection: Connection, tell: Tell) -> Deployed | None:
        _, printed, _ = converse(connection, {"do": "rollback"}, {}, tell, {"step": lambda step: None})
        return _read(connection.host, printed)

    return tuple(map(_outcome, side_by_side(hosts, talk, progress.say)))


def statuses(hosts: Sequence[str], progress: Progress) -> DeployStatus:
    """Return what runs on boards.

    Raises:
        ConfigError: If no host is named, or a name is invalid.
    """
    check_hosts(hosts)

    def talk(connection: Connection, tell: Tell) -> BoardStatus:
        _, printed, _ = converse(connection, {"do": "status"}, {}, tell)
        return _read_status(connection.host, printed)

    found = side_by_side(hosts, talk, progress.say)
    return DeployStatus(SCHEMA, tuple(item.value or BoardStatus(item.host, item.error) for item in found))


def _request(order: Order, parts: Sequence[Chunk]) -> dict[str, Any]:
    """Return the request to `edgecnn.benchmarks.remote.agent`."""
    options = order.options
    request: dict[str, Any] = {
        "do": "deploy",
        "bundle": {**sent_file(order.bundle, order.name), "chunks": [[part.size, part.sha256] for part in parts]},
        "version": order.version,
        "mend": order.mend,
        "install": requested(order.install),
        "signature": order.signature,
        "shadow": None,
        "service": {"host": options.host, "port": options.port, "writes_code": order.writes_code} if options.service else None,
        "watch": options.watch_seconds,
    }
    if options.shadow:
        request["shadow"] = {"pictures": options.shadow, "keep_bytes": round(2**20 * options.shadow_keep_mib)}
    if order.budget is not None:
        request |= {"budget": order.budget, "arguments": list(order.arguments), "most_ms": order.most_ms}
    return request


def _deployed(connection: Connection, order: Order, request: dict[str, Any], parts: Sequence[Chunk], tell: Tell) -> Deployed:
    """Let one board do it."""

    def send(numbers: list[Any]) -> None:
        if not all(isinstance(number, int) and 0 <= number < len(parts) for number in numbers):
            raise not_understood()
        if numbers:
            size = sum(parts[number].size for number in numbers)
            tell(f"sending {size / 2**20:.1f} of {request['bundle']['size'] / 2**20:.1f} MiB")
        for number in numbers:
            if not connection.send_part(order.bundle, parts[number].offset, parts[number].size):
                return

    def judge(printed: list[Any]) -> None:
        connection.answer(_refusal(order.judged(parsed(str(printed[0])))))

    def step(name: list[Any]) -> None:
        tell(_STEPS.get(str(name[0]), printable(str(name[0]))))

    files = {"wheel": order.install.wheel} if order.install and order.install.wheel else {}

    def agreed(counts: list[Any]) -> None:
        if len(counts) != 2 or not all(isinstance(count, int) for count in counts):
            raise not_understood()
        connection.answer(_disagreement(counts[0], counts[1], order.options.min_agreement_percent / 100))

    others = {
        "chunks": send,
        "step": step,
        **({"agreed": agreed} if order.options.shadow else {}),
        **({} if order.budget is None else {"judge": judge}),
    }
    _, printed, _ = converse(connection, request, files, tell, others)
    found = _read(connection.host, printed)
    if found.sha256 != request["bundle"]["sha256"]:
        raise not_understood()
    if found.outcome in GOOD and not (found.golden and found.golden.files and found.golden.passed):
        raise EdgeCnnError("it says that the bundle is in service, without golden vectors that agree: try again")
    tell(found.reason or found.outcome)
    return found


def _disagreement(answered: int, same: int, least: float) -> str | None:
    """Return why live pictures don't show that two bundles agree; None if they do, by the exact interval (95 %)."""
    if not 0 <= same <= answered or not answered:
        raise not_understood()
    low = binomial.interval(same, answered).low
    if low >= least:
        return None
    return (
        f"it named the same class for {same:,} of {answered:,} live pictures, so for {100 * low:.2f} % or more (95 %); the "
        f"limit is {100 * least:g} %: look at the pictures, or shadow more of them"
    )


def _refusal(report: Report) -> str | None:
    """Return why a board's result does not let the bundle into service; None if it does."""
    if not report.verdict.refuses and report.verdict.status == PASS:
        return None
    reasons = [check.text for check in report.verdict.checks if check.status != PASS]
    return f"it is {report.verdict.status} there: {'; '.join(reasons) or 'no limit judged it'}"


def _read(host: str, printed: str) -> Deployed:
    """Return what a board says that it did, checked."""
    value = _object(printed)
    golden = value.pop("golden", None)
    try:
        check = from_json(GoldenCheck, golden, "its result") if isinstance(golden, str) else None
        return from_value(Deployed, {**value, "host": host, "golden": None if check is None else check.to_dict()}, "its result")
    except ArtifactError as error:
        raise not_understood() from error


def _read_status(host: str, printed: str) -> BoardStatus:
    value = _object(printed)
    try:
        releases = tuple(_record(ReleaseRecord, item) for item in value["releases"])
        service = value["service"]
        unit = value["unit"] and _record(UnitRecord, value["unit"])
        if service is not None:
            serving = service["serving"]
            service = _record(ServiceRecord, {**service, "sha256": serving["sha256"], "files": serving["files"]})
        return BoardStatus(host, None, releases, service, unit)
    except (ArtifactError, KeyError, TypeError, AttributeError) as error:
        raise not_understood() from error


def _record(kind: type[T], value: Any) -> T:
    """Return a record from what a board says, which may say more."""
    return from_value(kind, {item.name: value.get(item.name) for item in fields(kind)}, "its result")  # type: ignore[arg-type]  # A dataclass.


def _object(printed: str) -> dict[str, Any]:
    try:
        value = load_json(printed, "its result", "try again")
    except ArtifactError as error:
        raise not_understood() from error
    if not isinstance(value, dict):
        raise not_understood()
    return value
