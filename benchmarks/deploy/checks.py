"""Runs `edgecnn verify` and `edgecnn doctor` on boards, of the bundle that is in service there."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from edgecnn.benchmarks.bundle.golden import GoldenCheck
from edgecnn.benchmarks.deploy.records import SCHEMA, BoardCheck, BoardChecks
from edgecnn.benchmarks.doctor.examine import Examination
from edgecnn.benchmarks.remote.calls import Tell, converse, not_understood, side_by_side
from edgecnn.benchmarks.remote.install import running_version
from edgecnn.benchmarks.remote.ssh import Connection, check_hosts
from edgecnn.edge.errors import ArtifactError, ConfigError, EdgeCnnError, field, setting
from edgecnn.edge.records import from_json
from edgecnn.edge.result import Progress

_JUDGED = (0, ArtifactError.exit_code)


def verified_on(hosts: Sequence[str], progress: Progress) -> BoardChecks:
    """Compare the golden vectors of the bundles in service on boards. Errors are those of `examined_on`."""
    return _asked("verify", GoldenCheck, "golden", hosts, progress)


def examined_on(hosts: Sequence[str], progress: Progress) -> BoardChecks:
    """Examine boards, and the bundles in service there.

    Raises:
        ConfigError: If no board or an invalid one is named.
    """
    return _asked("doctor", Examination, "examination", hosts, progress)


def _asked(command: str, kind: type[Any], name: str, hosts: Sequence[str], progress: Progress) -> BoardChecks:
    if not hosts:
        raise ConfigError(f"no board is named: add {field('devices')}, for example pi@raspberrypi.local")
    check_hosts(hosts)
    deploy = f"edgecnn deploy FOLDER {setting('devices', hosts[0])} {setting('install', True)}"
    request = {
        "do": "examine",
        "command": command,
        "arguments": [],
        "files": {},
        "version": running_version(),
        "mend": deploy,
        "deploy": deploy,
        "needs_bundle": kind is GoldenCheck,
    }

    def talk(connection: Connection, tell: Tell) -> BoardCheck:
        code, printed, last = converse(connection, request, {}, tell)
        if code not in _JUDGED or not printed.strip():
            raise EdgeCnnError(last.removeprefix("edgecnn: ") or f"edgecnn {command} ended there with code {code}")
        try:
            found = from_json(kind, printed, "its result")
        except ArtifactError as error:
            raise not_understood() from error
        return replace(BoardCheck(connection.host, None), **{name: found})

    answers = side_by_side(hosts, talk, progress.say)
    return BoardChecks(SCHEMA, tuple(item.value or BoardCheck(item.host, item.error) for item in answers))
