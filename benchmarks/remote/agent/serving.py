"""Has systemd run the service of the releases: `edgecnn serve` on whatever is current."""

from __future__ import annotations

import getpass
import os
import secrets
import shutil
from pathlib import Path
from typing import Any

from edgecnn.benchmarks.remote.agent import systemctl
from edgecnn.benchmarks.remote.agent.conversation import Failed
from edgecnn.benchmarks.remote.agent.releases import BUNDLE_NAME, Releases
from edgecnn.benchmarks.remote.agent.unit import Service

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def start(releases: Releases, asked: dict[str, Any], runs: bool) -> bool:
    """Write the unit of the service, and start it unless it runs with this unit; return whether it was started.

    Args:
        releases: The releases.
        asked: `host` and `port` of the service, and `writes_code`, as in `Service`.
        runs: Whether it runs.

    Raises:
        Failed: If systemd does not run here or refuses, or the service fails.
    """
    release = releases.current()
    own = os.geteuid() != 0
    program = str(releases.root / "current/venv/bin/edgecnn") if release and release.venv else shutil.which("edgecnn")
    if program is None:
        raise Failed("edgecnn is not on the PATH there: install it")
    if asked["host"] not in _LOOPBACK:
        _write_token(releases)
    service = Service(
        program=program,
        model=str(releases.root / "current" / BUNDLE_NAME),
        state=str(releases.service),
        arguments=("--host", asked["host"], "--port", str(asked["port"])),
        user=None if own else getpass.getuser(),
        home=str(Path.home()),
        writes_code=asked["writes_code"],
    )
    if not systemctl.write(service) and runs:
        return False
    systemctl.enable(own)
    if own:
        systemctl.linger(getpass.getuser())
    systemctl.restart(own)
    return True


def revive() -> bool:
    """Start the service again if it has a unit, and return whether it has: systemd may have given it up after many failures.

    Raises:
        Failed: If systemd refuses, or the service fails.
    """
    own = os.geteuid() != 0
    has_unit = systemctl.unit_path(own).is_file()
    if has_unit:
        systemctl.restart(own)
    return has_unit


def unit_state() -> dict[str, Any] | None:
    """Return what systemd says of the service; None without a unit or without systemd."""
    own = os.geteuid() != 0
    if not systemctl.unit_path(own).is_file():
        return None
    try:
        return dict(systemctl.state(own)._asdict())
    except Failed:
        return None


def _write_token(releases: Releases) -> None:
    """Write a token for a service that others can reach, once: a new one at each start would lock clients out."""
    path = Path(f"{releases.service}.env")
    if path.exists():
        return
    number = os.open(str(path), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(number, "w") as stream:
        stream.write(f"EDGECNN_TOKEN={secrets.token_urlsafe(16)}\n")
