"""Answers one request."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import Any

from edgecnn.benchmarks.remote.agent.conversation import (
    SIGNALS,
    Failed,
    Interrupted,
    interrupt,
    last_words,
    os_error,
    read_line,
    tell,
)
from edgecnn.benchmarks.remote.agent.deploy import deploy, rollback, status
from edgecnn.benchmarks.remote.agent.files import fetch, workplace
from edgecnn.benchmarks.remote.agent.process import execute
from edgecnn.benchmarks.remote.agent.releases import Releases
from edgecnn.benchmarks.remote.agent.software import find, install


def main() -> None:
    """Answer one request."""
    for number in SIGNALS:
        signal.signal(number, interrupt)
    try:
        sys.stdout.write("\n")  # Output of a shell's start-up files may lack a final newline.
        sys.stdout.flush()
        tell("ready")
        request = json.loads(read_line())
        cache = Path.home() / ".cache" / "edgecnn"
        if request["do"] == "status":  # It changes nothing, and does not wait for whoever does.
            done = status(request, Releases(Path.home()))
        else:
            with workplace(cache) as run:
                done = _ANSWERS[request["do"]](request, cache, run)
        tell("done", *done)  # After all cleaning up, since it ends the connection.
    except Failed as failure:
        last_words(str(failure))
    except OSError as error:
        last_words(os_error(error))
    except Interrupted:
        sys.exit(1)


def bench(request: dict[str, Any], cache: Path, run: Path) -> tuple[int, str, str]:
    """Fetch a bundle, install if requested, and run a command on it; return its exit code, output and last line of errors.

    Raises:
        Failed: If it can't be run.
        Interrupted: If the requester is gone.
        OSError: If the disk is full or has another problem.
    """
    venv = cache / "venv"
    program = install(request, venv, cache, run) if request["install"] else find(request, [venv], run)
    return _run(program, fetch("bundle", request["bundle"], cache, run), request, run)


def examine(request: dict[str, Any], cache: Path, run: Path) -> tuple[int, str, str]:
    """Run a command on the bundle in service, or without one. Result and errors are those of `bench`."""
    releases = Releases(Path.home())
    release = releases.current() if request["in_service"] else None
    if release is None and request["command"] == "verify":
        raise Failed(f"no bundle was deployed there: type {request['mend']}")
    own = releases.program(release) if release else None
    return _run(own or find(request, [cache / "venv"], run), releases.bundle(release) if release else None, request, run)


def _run(program: str, bundle: Path | None, request: dict[str, Any], run: Path) -> tuple[int, str, str]:
    for name, text in request.get("files", {}).items():
        (run / name).write_bytes(text.encode())
    command = [program, request["command"], *([str(bundle)] if bundle else []), *request.get("arguments", ()), "--json", "-"]
    code, printed, said = execute(command, run, lambda line: tell("say", line))
    return code, printed, "".join(said[-1:])


_ANSWERS = {"bench": bench, "examine": examine, "deploy": deploy, "rollback": rollback}
