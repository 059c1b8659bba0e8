"""What deploying says of boards, as text."""

from collections.abc import Callable, Iterator

from edgecnn.benchmarks.deploy.records import (
    GOOD,
    BoardChecks,
    BoardStatus,
    Deployed,
    Deployment,
    DeployStatus,
    ServiceRecord,
)
from edgecnn.edge.serving.answered.summary import Answered
from edgecnn.edge.show.table import TextTable, table_text
from edgecnn.edge.text import WIDTH, counted, paragraphs

_MOST_CLASSES = 5
_SHORT = 12
"""Digits of a hash that people see."""


def deployment_text(done: Deployment, width: int = WIDTH) -> str:
    """Return where the bundle is in service, a row for each board, and a paragraph for each without it."""
    good = [board for board in done.boards if board.outcome in GOOD]
    what = done.name or "The earlier model"
    count = f"{len(good)} of {counted(done.boards, 'board')}" if len(done.boards) > 1 else done.boards[0].host
    head = f"{what} is in service on {count}." if good else f"{what} is not in service."
    columns: dict[str, Callable[[Deployed], str]] = {
        "board": lambda board: board.host,
        "outcome": lambda board: board.outcome,
        "bundle": lambda board: (board.sha256 or "-")[:_SHORT],
        "before": lambda board: (board.previous or "-")[:_SHORT],
        "received\nKiB": lambda board: f"{board.received_bytes / 1024:,.0f}",
        "total\ns": lambda board: f"{sum((board.seconds or {}).values()):.1f}",
    }
    table = table_text(TextTable.of(done.boards, columns), width)
    lines = [_sentence(board) for board in done.boards]
    return "\n".join([head, "", table, "", *paragraphs(lines, width, "  ")])


def _sentence(board: Deployed) -> str:
    if board.outcome not in GOOD:
        return f"{board.host}: {board.outcome}. {board.reason}"
    said = [f"{board.host}: {board.outcome}."]
    if board.golden and board.golden.files:
        said.append(f"{counted(sum(file.vectors for file in board.golden.files), 'golden vector')} agree there.")
    if board.shadowed:
        pictures = counted(board.shadowed, "live picture")
        said.append(f"It named the same class as the one before for {board.agreed:,} of {pictures}.")
    if board.signer:
        said.append(f"{board.signer} signed it.")
    if not board.serving:
        said.append("No service runs there: programs find it as ~/.local/share/edgecnn/current/model.zip.")
    else:
        watched = f"; it was watched for {counted(board.answers, 'answer')}" if board.answers else ""
        said.append(f"The service answers with it{watched}.")
    return " ".join(said)


def status_text(found: DeployStatus, width: int = WIDTH) -> str:
    """Return a paragraph for each board."""
    return "\n\n".join("\n".join(paragraphs(_board(board), width, "  ")) for board in found.boards)


def _board(board: BoardStatus) -> list[str]:
    if board.error:
        return [f"{board.host}: NO RESULT: {board.error}"]
    if not board.releases:
        return [f"{board.host}: no bundle was deployed there."]
    last = board.releases[-1]
    watched = "" if last.kept else ", not watched to the end"
    lines = [f"{board.host}: {last.name} ({last.sha256[:_SHORT]}) since {_time(last.since)}{watched}."]
    if board.unit:
        boot = "starts at boot" if board.unit.enabled else "does not start at boot"
        since = _time(board.unit.since) if board.unit.since else "never"
        lines.append(
            f"systemd: {board.unit.active} since {since} ({board.unit.result}), "
            f"{counted(board.unit.restarts, 'restart')}; it {boot}."
        )
    lines += [_service(board.service, last.sha256), *_answered(board.service.answers if board.service else None)]
    if earlier := [item for item in board.releases[:-1] if not item.withdrawn]:
        lines.append("Before it: " + ", ".join(f"{item.name} ({item.sha256[:_SHORT]})" for item in reversed(earlier)) + ".")
    return lines


def _service(service: ServiceRecord | None, sha256: str) -> str:
    if service is None:
        return "No service runs there."
    same = "" if service.sha256 == sha256 else f", which answers with another bundle ({(service.sha256 or '-')[:_SHORT]}),"
    files = ", ".join(file.file for file in service.files)
    memory = f"{service.memory_bytes / 2**20:.0f} MiB"
    return (
        f"A service{same} runs since {_time(service.started)}: {files}, edgecnn {service.version}, {memory}, {service.address}."
    )


def _time(iso: str) -> str:
    """Return a time in UTC, as ISO 8601, the way people write it."""
    return f"{iso[:19].replace('T', ' ')} UTC"


def _answered(answers: Answered | None) -> Iterator[str]:
    """Yield what a service answered, a line for each time and for each file."""
    if answers is None or answers.since is None:
        return
    for name, traffic in (("In the last hour", answers.hour), (f"Since {_time(answers.since)}", answers.all)):
        times = f", p50 {traffic.p50_ms:.3g} ms, p90 {traffic.p90_ms:.3g} ms" if traffic.p50_ms and traffic.p90_ms else ""
        yield f"{name}: {counted(traffic.pictures, 'picture')}, {counted(traffic.errors, 'error')}{times}."
    for file in answers.files:
        most = sorted(file.classes.items(), key=lambda item: -item[1])[:_MOST_CLASSES]
        shares = ", ".join(f"{name} {100 * count / file.answers:.0f} %" for name, count in most if file.answers)
        refused = f"; {counted(file.refused, 'answer')} refused" if file.refused else ""
        if shares:
            yield f"{file.file}: {counted(file.answers, 'answer')}: {shares}{refused}."
        yield from file.differences


def checks_text(found: BoardChecks, width: int = WIDTH) -> str:
    """Return what each board says, below its name."""
    parts = []
    for board in found.boards:
        result = board.golden or board.examination
        text = result.to_text(width) if result else "\n".join(paragraphs([f"NO RESULT: {board.error}"], width, "  "))
        parts.append(f"{board.host}\n{text}" if len(found.boards) > 1 else text)
    return "\n\n".join(parts)
