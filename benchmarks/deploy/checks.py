"""Runs `edgecnn verify` and `edgecnn doctor` on boards."""

from collections.abc import Sequence
from typing import TypeVar

from edgecnn.benchmarks.bundle.golden import GoldenCheck
from edgecnn.benchmarks.deploy.records import SCHEMA, BoardCheck, BoardChecks
from edgecnn.benchmarks.doctor.examine import Examination
from edgecnn.benchmarks.remote.calls import Answer, Tell, converse, not_understood, side_by_side
from edgecnn.benchmarks.remote.install import running_version
from edgecnn.benchmarks.remote.ssh import Connection, check_hosts
from edgecnn.edge.errors import ArtifactError, EdgeCnnError, setting
from edgecnn.edge.records import from_json
from edgecnn.edge.result import SILENT, Progress

Found = TypeVar("Found", GoldenCheck, Examination)

_JUDGED = (0, ArtifactError.exit_code)


def verified_on(hosts: Sequence[str], progress: Progress) -> BoardChecks:
    """Compare the golden vectors of the bundles in service on boards. Errors are those of `examined_on`."""
    answers = _answers("verify", GoldenCheck, hosts, progress)
    return BoardChecks(SCHEMA, tuple(BoardCheck(item.host, item.error, golden=item.value) for item in answers))


def examined_on(hosts: Sequence[str], progress: Progress) -> BoardChecks:
    """Examine boards, and the bundles in service there.

    Raises:
        ConfigError: If no board or an invalid one is named.
    """
    answers = _answers("doctor", Examination, hosts, progress)
    return BoardChecks(SCHEMA, tuple(BoardCheck(item.host, item.error, examination=item.value) for item in answers))


def measuring_on(host: str, mend: str) -> Examination:
    """Return what measures files on a board: its runtimes and its machine; `mend` installs runtimes there.

    Raises:
        ConfigError: If the host name is invalid.
        EdgeCnnError: If it can't be reached, or has another edgecnn or none.
    """
    (found,) = _answers("doctor", Examination, [host], SILENT, mend)
    if found.value is None:
        raise EdgeCnnError(f"{host}: {found.error}")
    return found.value


def _answers(
    command: str, kind: type[Found], hosts: Sequence[str], progress: Progress, mend: str | None = None
) -> tuple[Answer[Found], ...]:
    """Let boards run a command: on the bundle in service, or if `mend` says what installs edgecnn there, without one."""
    check_hosts(hosts)
    request = {
        "do": "examine",
        "command": command,
        "version": running_version(),
        "mend": mend or f"edgecnn deploy FOLDER {setting('devices', hosts[0])} {setting('install', True)}",
        "in_service": mend is None,
    }

    def talk(connection: Connection, tell: Tell) -> Found:
        code, printed, last = converse(connection, request, {}, tell)
        if code not in _JUDGED or not printed.strip():
            raise EdgeCnnError(last.removeprefix("edgecnn: ") or f"edgecnn {command} ended there with code {code}")
        try:
            return from_json(kind, printed, "its result")
        except ArtifactError as error:
            raise not_understood() from error

    return side_by_side(hosts, talk, progress.say)
