"""`edgecnn deploy` to an emulated board: a first model, a service, an update of it, and a rollback."""

import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgecnn.benchmarks.emulator.userland import HOME, Board
from edgecnn.benchmarks.remote.agent.service import running
from tools.pi.wheels import PROJECT_ROOT

_FILES = ("float32.tflite", "int8.tflite")
_SECONDS = 600
_PLACE = ".local/share/edgecnn"


class Wrong(Exception):
    """A step did not do what it should."""


def deploy_there(board: Board, models: Path) -> list[str]:
    """Deploy to a board from this machine, and return what is wrong.

    Args:
        board: The board; the deployment gets a home of its own.
        models: Folder with a manifest and exported files.
    """
    home = board.folders[HOME].with_name(f"{board.name}-deploy")
    there = replace(board, folders={**board.folders, HOME: home})
    (home / "bin").mkdir(parents=True)
    _program(home / "bin/edgecnn", 'exec python3 -m edgecnn "$@"')
    ssh = home.with_name(f"{home.name}-ssh") / "ssh"
    ssh.parent.mkdir()
    environment = {**there.environment(), "PATH": f"{HOME}/bin:{there.environment()['PATH']}"}
    settings = " ".join(f"{name}={shlex.quote(value)}" for name, value in environment.items())
    _program(ssh, f'for last; do :; done\nexec env -i {settings} {shlex.join(there.command(["sh", "-c"]))} "$last"')
    try:
        _steps(there, environment, models, ssh.parent)
    except Wrong as error:
        return [f"deploy: {error}"]
    print(f"{board.name}: deployed, updated and rolled back, with a service that answered", flush=True)
    return []


def _steps(board: Board, environment: dict[str, str], models: Path, path: Path) -> None:
    home = board.folders[HOME]
    state = home / _PLACE / "service"

    def deploy(*arguments: str) -> dict[str, Any]:
        command = [sys.executable, "-m", "edgecnn", "deploy", *arguments, "--device", board.name, "--json", "-"]
        told = {**os.environ, "PYTHONPATH": str(PROJECT_ROOT), "PATH": f"{path}:{os.environ['PATH']}"}
        done = subprocess.run(command, env=told, capture_output=True, text=True, check=False, timeout=_SECONDS)
        if done.returncode:
            raise Wrong(f"edgecnn {' '.join(command[3:])}: exit code {done.returncode}: {done.stderr[-2000:]}")
        (found,) = json.loads(done.stdout)["boards"]
        return dict(found)

    def require_serving(file: str) -> None:
        found = running(state)
        if found is None or [item["file"] for item in found["serving"]["files"]] != [file]:
            raise Wrong(f"{file} does not answer there, but {found}")

    first, second = _FILES
    images = models.parent / "images"  # The small models are of drawn images; the others are MNIST's.
    source = [str(models), *(["--data", str(images)] if images.exists() else [])]
    deploy(*source, "--file", first)
    with _serving(board, environment):
        require_serving(first)
        done = deploy(*source, "--file", second, "--watch", "2s")
        if (done["outcome"], done["serving"], done["answers"] > 0) != ("deployed", True, True):
            raise Wrong(f"the update is not in service: {done}")
        require_serving(second)
        deploy("--rollback")
        require_serving(first)
        if deploy("--status")["service"] is None:
            raise Wrong("--status knows of no service")


@contextmanager
def _serving(board: Board, environment: dict[str, str]) -> Iterator[None]:
    """Run the service on the board."""
    place = f"{HOME}/{_PLACE}"
    command = ["python3", "-m", "edgecnn", "serve", f"{place}/current/model.zip", "--state", f"{place}/service", "--port", "0"]
    log = board.folders[HOME] / "service.txt"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            board.command(command), env=environment, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream
        )
    try:
        end = time.monotonic() + _SECONDS
        while not re.search(r"http://\S+:\d+/", log.read_text(errors="replace")):
            if process.poll() is not None or time.monotonic() > end:
                raise Wrong(f"the service does not start: {log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.5)
        yield
    finally:
        process.terminate()
        process.wait(_SECONDS)


def _program(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
