"""Kills deployments, the agent, the service and all at once at random moments; the board must have a whole model in service."""

import hashlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from functools import partial
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import numpy as np

from edgecnn.benchmarks.remote.agent.releases import BUNDLE_NAME, Releases
from tools.faults.judge import Column
from tools.faults.table import Log, Outcome, attempt

VICTIMS = ("deploy", "agent", "service", "power")
"""What is killed: the command here, the agent there, the service, or everything at once, as if the board lost its power."""
_RUN_TO_THE_END = 8
"""One deployment in this many is not killed; after it nothing of the killed ones may be left."""
_SIGNALS = (signal.SIGKILL, signal.SIGTERM)
_WAIT_SECONDS = 30.0
_SLOWER = 10  # A busy machine may take that many times as long as for the last one that ran to its end.
_WATCH = "0.3s"


class DeployBoard:
    """A home on this machine that stands in for a board, with a service in it that is started again whenever it has ended."""

    def __init__(self, folder: Path, bases: Path) -> None:
        """Deploy a first bundle, and start the service."""
        shutil.rmtree(folder, ignore_errors=True)
        self.folder, self.home = folder, folder / "home"
        (self.home / "bin").mkdir(parents=True)
        (folder / "tmp").mkdir()
        self.releases = Releases(self.home)
        self._environment = {**os.environ, "TMPDIR": str(folder / "tmp"), "PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}
        self._write_programs()
        self._bundles = [self._bundle(bases, name) for name in ("int8.tflite", "float32.tflite")]
        self.hashes = {hashlib.sha256(path.read_bytes()).hexdigest() for path in self._bundles}
        self._service: subprocess.Popen[bytes] | None = None
        self._port = 0
        self.seconds = 0.0
        self.problem = self.finish(0)

    def close(self) -> None:
        """End the service."""
        if self._service:
            self._service.kill()
            self._service.wait()

    def kill(self, number: int, rng: np.random.Generator) -> tuple[Column, str]:
        """Kill something during one deployment, and return its column and the reason."""
        victim, sent = VICTIMS[int(rng.integers(len(VICTIMS)))], _SIGNALS[int(rng.integers(len(_SIGNALS)))]
        moment = float(rng.uniform(0, 1.05 * self.seconds))
        process = self._start(number)
        try:
            process.wait(moment)
            ended = True
        except subprocess.TimeoutExpired:
            ended = False
            self._send(victim, process, signal.SIGKILL if victim == "power" else sent)
        how = f"{victim}, {sent.name} after {moment:.2f} of {self.seconds:.2f} s"
        try:
            process.wait(max(_WAIT_SECONDS, _SLOWER * self.seconds))
        except subprocess.TimeoutExpired:
            process.kill()
            return Column.HANG, f"{how}: it does not end"
        if b"Traceback" in self._said():
            return Column.TRACEBACK, f"{how}: {self._said().splitlines()[-1].decode(errors='replace')}"
        if alive := self._agents(_WAIT_SECONDS):
            return Column.ORPHAN, f"{how}: the agent, process {alive[0]}, outlives it"
        if problem := self._torn():
            return Column.TORN, f"{how}: {problem}"
        return (Column.FINISHED if ended else Column.ENDED), ""

    def finish(self, number: int) -> str:
        """Deploy to the end, and return what is wrong afterwards."""
        started = time.monotonic()
        process = self._start(number)
        try:
            process.wait(2 * _WAIT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            return "it does not end"
        self.seconds = time.monotonic() - started  # Measured each time, since the machine's load changes.
        if process.returncode:
            return f"exit code {process.returncode}: {self._said().decode(errors='replace').strip().splitlines()[-1]}"
        wanted = hashlib.sha256(self._bundles[number % 2].read_bytes()).hexdigest()
        if (release := self.releases.current()) is None or release.sha256 != wanted or not release.kept:
            return "another bundle is in service"
        return self._torn()

    def left(self) -> str:
        """Return what killed deployments have left behind."""
        root = self.releases.root
        names = [*root.rglob("*.new"), *(root / "incoming").iterdir(), *(self.folder / "tmp").iterdir()]
        run = self.home / ".cache/edgecnn/run"
        found = sorted(str(path.relative_to(self.folder)) for path in (*names, *([run] if run.exists() else [])))
        for path in names:  # So that each is counted once.
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        return f"left behind: {', '.join(found[:3])}" if found else ""

    def _torn(self) -> str:
        """Return why no whole model is in service; "" if one is."""
        place = self.releases.root / "current"
        try:
            name, data = place.readlink().name, (place / BUNDLE_NAME).read_bytes()
        except OSError as error:
            return f"nothing is in service: {error}"
        if hashlib.sha256(data).hexdigest() != name or name not in self.hashes:
            return "what is in service is no bundle that was deployed"
        self._keep_service_running()
        end = time.monotonic() + _WAIT_SECONDS
        while time.monotonic() < end:
            with suppress(OSError, ValueError, KeyError, HTTPException):
                return "" if self._answer()["files"] else "the service answers with no file"
            self._keep_service_running()
            time.sleep(0.05)
        return "the service does not answer"

    def _answer(self) -> Any:
        connection = HTTPConnection("127.0.0.1", self._port, timeout=5)
        try:
            connection.request("GET", "/api/model")
            return json.load(connection.getresponse())
        finally:
            connection.close()

    def _keep_service_running(self) -> None:
        """Start the service if it has ended, as systemd would."""
        if self._service and self._service.poll() is None:
            return
        self.releases.service.mkdir(mode=0o700, exist_ok=True)
        log = self.folder / "service.log"
        model = self.releases.root / "current" / BUNDLE_NAME
        command = [sys.executable, "-m", "edgecnn", "serve", str(model), "--state", str(self.releases.service), "--port", "0"]
        with log.open("wb") as stream:
            how: dict[str, Any] = {"stdout": stream, "stderr": stream, "env": self._environment, "start_new_session": True}
            self._service = subprocess.Popen(command, **how)
        end = time.monotonic() + _WAIT_SECONDS
        while time.monotonic() < end and self._service.poll() is None:
            if b"http://127.0.0.1:" in (text := log.read_bytes()):
                self._port = int(text.partition(b"http://127.0.0.1:")[2].partition(b"/")[0])
                return
            time.sleep(0.02)

    def _start(self, number: int) -> subprocess.Popen[bytes]:
        bundle = str(self._bundles[number % 2])
        command = [sys.executable, "-m", "edgecnn", "deploy", bundle, "--device", "board", "--watch", _WATCH]
        with (self.folder / "deploy.log").open("wb") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, env=self._environment, start_new_session=True)

    def _said(self) -> bytes:
        return (self.folder / "deploy.log").read_bytes()

    def _send(self, victim: str, process: subprocess.Popen[bytes], number: signal.Signals) -> None:
        pids = {"deploy": [process.pid], "agent": self._agents(0), "service": [self._service.pid] if self._service else []}
        for pid in pids.get(victim) or [pid for several in pids.values() for pid in several]:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        if self._service and victim in ("service", "power"):
            self._service.wait(_WAIT_SECONDS)

    def _agents(self, seconds: float) -> list[int]:
        """Return the processes of the agent and of what it runs, after some time to end, without the service."""
        end = time.monotonic() + seconds
        while True:
            found = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal() and self._is_there(path)]
            if not found or time.monotonic() >= end:
                return found
            time.sleep(0.02)

    def _is_there(self, process: Path) -> bool:
        try:
            of_board = f"HOME={self.home}".encode() in (process / "environ").read_bytes().split(b"\0")
            return of_board and (process / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except OSError:
            return False

    def _bundle(self, bases: Path, file: str) -> Path:
        path = self.folder / f"{file}.zip"
        command = [sys.executable, "-m", "edgecnn", "bundle", "m", "--file", file, "--images", "100", "--out", str(path)]
        subprocess.run(command, cwd=bases, check=True, capture_output=True, env=self._environment)
        return path

    def _write_programs(self) -> None:
        """Write an ssh that runs the agent here with the board's home, and the board's edgecnn."""
        python, path = shlex.quote(sys.executable), f"{self.home / 'bin'}:/usr/bin:/bin"
        tree = shlex.quote(str(Path(__file__).parents[2]))
        programs: dict[Path, Any] = {
            self.folder
            / "bin/ssh": f"for last; do :; done\nexport HOME={shlex.quote(str(self.home))} PATH={shlex.quote(path)}\n"
            'exec sh -c "$last"',
            self.home / "bin/edgecnn": f'cd {tree} && exec {python} -m edgecnn "$@"',
            self.home / "bin/python3": f'exec {python} "$@"',
        }
        for program, text in programs.items():
            program.parent.mkdir(exist_ok=True)
            program.write_text(f"#!/bin/sh\n{text}\n")
            program.chmod(0o755)


def torture_deploys(bases: Path, out: Path, seed: int, kills: int, log: Log) -> None:
    """Kill deployments.

    Args:
        bases: Result of `tools.faults.bases.make_bases`.
        out: Working folder.
        seed: Seed of victims, signals and moments. What a moment hits also depends on the machine.
        kills: Number of kills.
        log: Takes the outcomes.
    """
    board = DeployBoard(out / "deploys", bases)

    def note(number: int, column: Column, reason: str) -> None:
        log.add(Outcome("deploy", column, str(number), "deploy", reason))

    def finish(number: int) -> tuple[Column, str]:
        if problem := board.finish(number):
            return Column.TORN, problem
        return (Column.LEFT, left) if (left := board.left()) else (Column.FINISHED, "")

    try:
        if board.problem:
            note(0, Column.CODE, f"undisturbed: {board.problem}")
            return
        done, number = 0, 1
        while done < kills:
            if number % _RUN_TO_THE_END == 0:
                note(number, *attempt(partial(finish, number)))
            else:
                column, reason = attempt(partial(board.kill, number, np.random.default_rng([seed, number])))
                note(number, column, reason)
                done += column is not Column.FINISHED
            number += 1
        note(number, *attempt(partial(finish, number)))
        log.say(f"deploy: killed {done} times")
    finally:
        board.close()
