"""The edgecnn of the device: found, or installed into a virtual environment of its own."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import struct
import sys
from pathlib import Path
from typing import Any

from edgecnn.benchmarks.remote.agent.conversation import Failed, ignore_signals, tell
from edgecnn.benchmarks.remote.agent.files import fetch
from edgecnn.benchmarks.remote.agent.process import execute

_STAMP = "edgecnn.json"


def find(request: dict[str, Any], venvs: list[Path], run: Path) -> str:
    """Return an edgecnn of the requested version: on the PATH, or in one of these virtual environments of an earlier --install.

    Raises:
        Failed: If there is no such edgecnn.
    """
    versions = []
    made = [str(venv / "bin" / "edgecnn") for venv in venvs if _read_stamp(venv)]  # If incomplete, it might lack a runtime.
    for program in (shutil.which("edgecnn"), *made):
        if program and os.access(program, os.X_OK):
            version = _version(program, run)
            if version == request["version"]:
                return program
            versions.append(f"{program} is {version or 'broken'}")
    if versions:
        raise Failed(f"it needs edgecnn {request['version']}, as here; {', '.join(versions)}: type {request['mend']}")
    raise Failed(f"edgecnn is not installed there: type {request['mend']}")


def stamp_of(request: dict[str, Any]) -> dict[str, Any]:
    """Return the record of the environment that a request asks for.

    Raises:
        Failed: If no runtime of its files exists for this system.
    """
    wanted, bits = request["install"], 8 * struct.calcsize("P")
    source, extras = (wanted["wheel"] or {}).get("sha256") or request["version"], wanted["extras"][str(bits)]
    if not extras:
        raise Failed(
            f"the runtime of these files does not exist for {bits}-bit systems: export others, or install a 64-bit system"
        )
    return {"source": source, "python": sys.version, "bits": bits, "extras": extras}


def install(request: dict[str, Any], venv: Path, cache: Path, run: Path) -> str:
    """Create or reuse a virtual environment, and return its edgecnn.

    Raises:
        Failed: If it can't be created; an incomplete one is removed.
    """
    program, wanted, stamp, had = venv / "bin" / "edgecnn", request["install"], stamp_of(request), _read_stamp(venv)
    bits, extras = stamp["bits"], stamp["extras"]
    if all(had.get(key) == value for key, value in stamp.items() if key != "extras"):
        extras = stamp["extras"] = sorted({*extras, *had["extras"]})  # Measuring other files must not remove a runtime.
    if stamp == had and _version(str(program), run) == request["version"]:
        tell("say", f"using {venv}, which has edgecnn {request['version']}")
        return str(program)
    _require_venv(bits)
    source = f"edgecnn[{','.join(extras)}]=={request['version']}"
    if wanted["wheel"]:
        source = f"{fetch('wheel', wanted['wheel'], cache, run)}[{','.join(extras)}]"
    tell("say", f"installing edgecnn {request['version']} with {', '.join(extras)} into {venv} (minutes, on a slow board)")
    try:
        shutil.rmtree(str(venv), ignore_errors=True)
        shared = ["--system-site-packages"] if bits == 32 else []  # Debian's numpy, since the index has none for 32-bit boards.
        _check([sys.executable, "-m", "venv", *shared, str(venv)], run, "a virtual environment can't be created there")
        # Only wheels: a board without a compiler would fail after an hour.
        pip = [str(venv / "bin" / "python"), "-m", "pip", "install", "--no-input", "--only-binary=:all:", "--progress-bar=off"]
        _check([*pip, "--disable-pip-version-check", source], run, "pip could not install edgecnn there")
        if _version(str(program), run) != request["version"]:
            raise Failed(f"the edgecnn that was installed there is {_version(str(program), run) or 'broken'}")
        (venv / _STAMP).write_text(json.dumps(stamp))
    except BaseException:
        ignore_signals()
        shutil.rmtree(str(venv), ignore_errors=True)
        raise
    return str(program)


def _require_venv(bits: int) -> None:
    if importlib.util.find_spec("ensurepip") is None:
        raise Failed("python3-venv is not installed there: there, type sudo apt install python3-venv")
    if bits == 32 and importlib.util.find_spec("numpy") is None:
        raise Failed(
            "numpy is not installed there, and a 32-bit system needs Debian's: there, type sudo apt install python3-numpy"
        )


def _check(command: list[str], run: Path, problem: str) -> None:
    """Run a step of the installation.

    Raises:
        Failed: If it fails; the message has its reason.
    """
    code, printed, said = execute(command, run)
    if code:
        lines = [line.strip() for line in (*printed.splitlines(), *said) if line.strip()]
        full = [line for line in lines if "No space left on device" in line]
        errors = [line for line in lines if line.startswith("ERROR:")]
        raise Failed(f"{problem}: {[f'exit code {code}', *lines[-1:], *errors[-1:], *full[-1:]][-1]}")


def _version(program: str, run: Path) -> str | None:
    """Return the output of `edgecnn --version`; None if it can't run."""
    try:
        code, printed, _ = execute([program, "--version"], run)
    except OSError:
        return None
    words = printed.split()
    return words[1] if code == 0 and len(words) == 2 else None


def _read_stamp(venv: Path) -> dict[str, Any]:
    """Return the record that a finished installation wrote; an interrupted one wrote nothing."""
    try:
        return dict(json.loads((venv / _STAMP).read_text()))
    except (OSError, ValueError):
        return {}
