"""Measures raw times: a new process for each file, number of threads and round, in an order shuffled each round."""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from edgecnn.benchmarks.timing.worker import read_memory
from tools.peers.lineup import PROJECT_ROOT, THREADS, Entry

# Few: on a busy machine some runtimes need a quarter of a second for a run with two threads.
_RUNS = 20


class Failed(Exception):
    """Why a runtime failed, in words."""


@dataclass(frozen=True)
class Built:
    """A file that is ready to run.

    Attributes:
        entry: Its row.
        path: The file, or the first of two.
        size_bytes: Size of all its files in bytes.
        inputs: An .npy file of images (n, h, w, c) in the file's input dtype.
    """

    entry: Entry
    path: Path
    size_bytes: int
    inputs: Path


@dataclass(frozen=True)
class Launch:
    """Results of one process; see `Figures`."""

    start_ns: int
    import_ns: int
    load_ns: int
    times_ns: list[int]
    peak_memory_bytes: int


class Child:
    """`tools.peers.child` with one file, as a context manager: it ends with the block."""

    def __init__(self, built: Built, threads: int) -> None:
        """Start the process and wait for its first answer.

        Raises:
            Failed: If the runtime can't open or run the file.
        """
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  # Closed with the process.
        reader, writer = os.pipe()
        arguments = [built.entry.runtime, str(built.path), str(threads), str(built.inputs), str(writer)]
        started = time.monotonic_ns()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tools.peers.child", *arguments],
            stdin=subprocess.PIPE,
            stdout=self._said,
            stderr=self._said,
            pass_fds=[writer],
            cwd=PROJECT_ROOT,
            env=environment(),
        )
        os.close(writer)
        self._answers = os.fdopen(reader)
        try:
            opened = self._answer()
        except BaseException:
            self.close()
            raise
        self.start_ns = opened["answered_ns"] - started
        self.import_ns, self.load_ns = opened["import_ns"], opened["load_ns"]

    def ask(self, *command: Any) -> dict[str, Any]:
        """Return the answer to a command of `tools.peers.child`. Errors are as above."""
        assert self._process.stdin
        with suppress(BrokenPipeError):  # It died, which the missing answer shows.
            self._process.stdin.write(json.dumps(command).encode() + b"\n")
            self._process.stdin.flush()
        return self._answer()

    def peak_memory_bytes(self) -> int:
        """Return the peak resident memory of the process."""
        return read_memory(Path(f"/proc/{self._process.pid}/status")).peak_bytes

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()
        self._answers.close()
        self._said.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _answer(self) -> dict[str, Any]:
        line = self._answers.readline()
        if not line:
            code = self._process.wait()
            self._said.seek(0)
            raise Failed(death(code, self._said.read().decode(errors="replace")))
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise Failed(answer["error"])
        return answer


def measure(
    files: Sequence[Built], rounds: int, seconds: float, on_progress: Callable[[str], None]
) -> tuple[dict[tuple[Entry, int], list[Launch]], dict[Entry, str]]:
    """Give each file a turn in each round, with each number of threads.

    Only one process exists at a time, so no other runtime's waiting threads take its core, and a drift of the machine
    affects all files of a round equally. A file that fails once is skipped from then on.

    Args:
        files: Files to measure.
        rounds: Number of turns of each file.
        seconds: Duration of timed runs in a turn, after a warm-up.
        on_progress: Called with a line of text for each round.

    Returns:
        The launches by file and threads, one per round; and the reason for each file that failed.
    """
    order = random.Random(0)  # noqa: S311  # An order, not a secret.
    turns = [(built, threads) for built in files for threads in THREADS]
    launches: dict[tuple[Entry, int], list[Launch]] = {(built.entry, threads): [] for built, threads in turns}
    failed: dict[Entry, str] = {}
    for number in range(1, rounds + 1):
        on_progress(f"round {number} of {rounds}: {len(turns)} processes, one after another")
        for built, threads in order.sample(turns, len(turns)):
            if built.entry in failed:
                continue
            try:
                launches[built.entry, threads].append(_launch(built, threads, seconds))
            except Failed as error:
                failed[built.entry] = f"{error} ({threads} thread{'s' if threads > 1 else ''})"
    return {key: found for key, found in launches.items() if key[0] not in failed}, failed


def _launch(built: Built, threads: int, seconds: float) -> Launch:
    with Child(built, threads) as child:
        times_ns = child.ask("time", _RUNS, seconds)["times_ns"]
        return Launch(child.start_ns, child.import_ns, child.load_ns, times_ns, child.peak_memory_bytes())


def environment() -> dict[str, str]:
    """Return the environment of every child process.

    Compiled Python files are kept; otherwise each start would compile them again. OpenVINO and NNCF get the setting of CI:
    elsewhere their import sends telemetry without asking.
    """
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "CI": "true", "NNCF_CI": "1", "ORT_DISABLE_TELEMETRY": "1"}


def death(code: int, said: str) -> str:
    """Return how a process ended, with the last line that it printed."""
    last = next((line.strip() for line in reversed(said.splitlines()) if line.strip()), "it printed nothing")
    how = f"crashed ({signal.Signals(-code).name})" if code < 0 else f"ended with code {code}"
    return f"{how}: {last[:200]}"
