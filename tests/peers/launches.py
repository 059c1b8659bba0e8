"""Files -> raw times: a new process for each file, number of threads and round, in an order that is shuffled each round."""

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

from benchmarks.worker import read_memory
from tests.peers.lineup import PROJECT_ROOT, THREADS, Entry

# Few: on a machine whose cores are taken some runtimes need a quarter of a second for a run with two threads.
_RUNS = 20


class Failed(Exception):
    """Why a runtime could not do something, in words."""


@dataclass(frozen=True)
class Built:
    """A file that is ready to run.

    Attributes:
        entry: What it is.
        path: The file, or the first of two.
        size_bytes: Of all its files.
        inputs: An .npy file of images (n, h, w, c) in the dtype that the file takes.
    """

    entry: Entry
    path: Path
    size_bytes: int
    inputs: Path


@dataclass(frozen=True)
class Launch:
    """What one process gave; see `Figures`."""

    start_ns: int
    import_ns: int
    load_ns: int
    times_ns: list[int]
    peak_memory_bytes: int


class Child:
    """`tests.peers.child` with one file. A context manager: it ends with the block."""

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
            [sys.executable, "-m", "tests.peers.child", *arguments],
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
        """Return the answer to a command of `tests.peers.child`. Errors as above."""
        assert self._process.stdin
        with suppress(BrokenPipeError):  # It died: the answer, which is missing, tells how.
            self._process.stdin.write(json.dumps(command).encode() + b"\n")
            self._process.stdin.flush()
        return self._answer()

    def peak_memory_bytes(self) -> int:
        """Return the most resident memory that the process ever had."""
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
    """Give each file, with each number of threads, its turn in each round.

    Only one process exists at a time, so that no other runtime's waiting threads take its core, and a drift of the machine
    hits all files of a round alike. A file that fails once is left out from there on.

    Args:
        files: What to measure.
        rounds: How many turns each has.
        seconds: Of timed runs in a turn, after a warm-up.
        on_progress: Gets a line for each round.

    Returns:
        The launches by file and threads, one for each round; and what failed, with the reason.
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
    """Return what every child process sees.

    Compiled Python files are kept, or each start would compile them anew. OpenVINO and NNCF believe to be in CI: elsewhere
    their import alone sends telemetry, without asking.
    """
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "CI": "true", "NNCF_CI": "1", "ORT_DISABLE_TELEMETRY": "1"}


def death(code: int, said: str) -> str:
    """Say how a process ended, with the last line that it printed."""
    last = next((line.strip() for line in reversed(said.splitlines()) if line.strip()), "it printed nothing")
    how = f"crashed ({signal.Signals(-code).name})" if code < 0 else f"ended with code {code}"
    return f"{how}: {last[:200]}"
