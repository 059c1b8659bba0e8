"""The service on a device: its systemd unit is written, enabled, started and asked how it is, by systemctl."""

from __future__ import annotations

import os
import re
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

from edgecnn.benchmarks.remote.agent.conversation import Failed, tell
from edgecnn.benchmarks.remote.agent.unit import Service, unit_text, view

UNIT = "edgecnn.service"
_BOOTED = Path("/run/systemd/system")
_LINGERING = Path("/var/lib/systemd/linger")


class ServiceState(NamedTuple):
    """What systemd says of the service.

    Attributes:
        active: `active`, `activating`, `inactive`, `failed`, ...
        result: `success`, or how it failed: `exit-code`, `signal`, `watchdog`, `oom-kill`, `start-limit-hit`, ...
        restarts: How often systemd started it again by itself since somebody started it.
        since: When `active` became so, ISO 8601 in UTC; None if it never ran.
        enabled: Whether it starts at boot.
        memory_bytes: Memory of all its processes; None if it does not run, or the kernel counts no memory: then no limit holds.
    """

    active: str
    result: str
    restarts: int
    since: str | None
    enabled: bool
    memory_bytes: int | None


def version() -> int:
    """Return the version of systemd.

    Raises:
        Failed: If it does not run here.
    """
    found = re.match(r"systemd (\d+)", _systemctl(False, "--version"))
    if not found:
        raise Failed("systemctl there does not say its version: start edgecnn serve by hand")
    return int(found[1])


def write(service: Service) -> bool:
    """Write the unit, whole or not at all, and the folder of its state; return whether the unit is new or another one.

    Raises:
        Failed: If systemd does not run here, or a path has a control character.
        OSError: If the unit can't be written.
    """
    found, own = version(), service.user is None
    path = unit_path(own)
    unit_text(service, found)  # What no unit can hold is said first.
    Path(service.state).mkdir(mode=0o700, parents=True, exist_ok=True)
    if own and not _can_isolate(service):
        tell("say", "the service can read all that you can: this system gives a user's programs no view of files of their own")
        service = service._replace(isolated=False)
    text = unit_text(service, found)
    try:
        if path.read_text(encoding="utf-8") == text:
            return False
    except (OSError, ValueError):  # It is missing or damaged.
        pass
    part = path.with_name(path.name + ".part")
    path.parent.mkdir(parents=True, exist_ok=True)
    with part.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    if not own:
        part.chmod(0o644)  # Whatever root's umask is.
    part.replace(path)
    _change(own, "daemon-reload")
    return True


def _can_isolate(service: Service) -> bool:
    """Whether a user's own manager can give a program what `view` asks for: some kernels let users make no namespaces."""
    lines = view(service._replace(state="/tmp", home="/nowhere"))  # noqa: S108  # systemd-run reads odd paths otherwise.
    asked = ["systemd-run", "--user", "--quiet", "--wait", "--collect", *(f"--property={line}" for line in lines), "true"]
    return not _run(asked).returncode


def unit_path(own: bool) -> Path:
    """Return where the unit is; `own`, here and below: of the caller's own manager, and not of the system's."""
    return Path.home() / ".config/systemd/user" / UNIT if own else Path("/etc/systemd/system") / UNIT


def enable(own: bool) -> None:
    """Have the service start at boot; a user's own also needs `linger`. Errors are those of `restart`."""
    _change(own, "enable", UNIT)


def restart(own: bool) -> None:
    """Start the service, or start it again, and wait until it answers; a crash loop before is forgotten.

    Raises:
        Failed: If systemd does not run here, refuses, or the service fails: then with the last line that it logged.
    """
    _change(own, "reset-failed", UNIT, may_fail=True)  # It fails if the unit never ran.
    _change(own, "restart", UNIT)


def state(own: bool) -> ServiceState:
    """Return what systemd says of the service.

    Raises:
        Failed: If systemd does not run here, or there is no such unit.
    """
    lines = _systemctl(own, "show", UNIT).splitlines()
    said = {name: value for name, _, value in (line.partition("=") for line in lines)}
    if said.get("LoadState") != "loaded":
        raise Failed(f"{UNIT} is not a service there ({said.get('LoadError') or said.get('LoadState')}): install it")
    changed = int(said.get("StateChangeTimestampMonotonic") or 0) / 1e6
    began = time.time() - (time.clock_gettime(time.CLOCK_MONOTONIC) - changed)
    memory = said.get("MemoryCurrent", "")
    return ServiceState(
        active=said["ActiveState"],
        result=said.get("Result", ""),
        restarts=int(said.get("NRestarts") or 0),
        since=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(began)) if changed else None,
        enabled=said.get("UnitFileState") == "enabled",
        memory_bytes=int(memory) if memory.isdigit() and int(memory) < 2**63 else None,
    )


def linger(user: str) -> None:
    """Have a user's own services run from boot on, and after the end of the connection.

    Raises:
        Failed: If systemd does not run here, or refuses; the message has the command for an administrator.
    """
    _require_systemd()
    if (_LINGERING / user).exists():
        return
    done = _run(["loginctl", "enable-linger", user])
    if done.returncode:
        raise Failed(
            f"without a login, services of {user} do not run there: type there once: sudo loginctl enable-linger {user}"
        )


def _last_logged(own: bool, since: float) -> list[str]:
    """Return the last line that the service logged since a time; none if the user may not read the journal."""
    field = "_SYSTEMD_USER_UNIT" if own else "_SYSTEMD_UNIT"
    done = _run(
        ["journalctl", f"{field}={UNIT}", f"--since=@{since:.6f}", "--lines=1", "--output=cat", "--quiet", "--no-pager"]
    )
    return [line.strip() for line in done.stdout.splitlines() if line.strip()]


def _change(own: bool, *words: str, may_fail: bool = False) -> None:
    """Have systemctl change something; only root has a service that is not its `own`, and needs no sudo."""
    _require_systemd()
    began = time.time()
    done = _run(["systemctl", *(["--user"] if own else []), *words])
    if done.returncode and not may_fail:
        why = (_last_logged(own, began) if words[0] == "restart" else []) or [_problem(done)]
        more = f"journalctl {'--user ' if own else ''}--unit {UNIT} says more"
        raise Failed(f"systemctl {' '.join(words)} failed there ({why[-1]}): {more}")


def _systemctl(own: bool, *words: str) -> str:
    _require_systemd()
    done = _run(["systemctl", *(["--user"] if own else []), "--no-pager", *words])
    if done.returncode:
        raise Failed(f"systemctl {' '.join(words)} failed there ({_problem(done)}): try it there")
    return done.stdout


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    # Some connections come without it; the manager is where it always is.
    environment = {"XDG_RUNTIME_DIR": f"/run/user/{os.getuid()}", **os.environ, "LC_ALL": "C"}
    try:
        return subprocess.run(
            command, input="", env=environment, capture_output=True, encoding="utf-8", errors="replace", check=False
        )
    except FileNotFoundError:
        raise Failed(f"{command[0]} is not installed there: install it") from None


def _problem(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    return lines[-1] if lines else f"exit code {done.returncode}"


def _require_systemd() -> None:
    if not _BOOTED.is_dir():
        raise Failed("systemd is not running there: start edgecnn serve by hand, and at boot by what starts programs there")
