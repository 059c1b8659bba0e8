"""The parent's side of `worker`: starts a process, sends it commands, and replaces it if it crashes or hangs."""

import json
import os
import select
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tools.faults.bases import environment

HANG_SECONDS = 300.0
"""Time limit, far beyond what a command on these files takes on a busy machine, including its limits for unverified files."""
ROOMS = ("device", "keras")
"""What a worker has imported: see `worker.serve`."""
_GROWTH = 2**28
# Memory of a process above which a file is to blame; TensorFlow, here and in a child, takes more than 2 GiB by itself.
_LARGEST_START = {"device": 2**30, "keras": 5 * 2**29}
_COMMANDS = 400  # Then a new process starts, so that leftovers of one command hide nothing of another.


@dataclass(frozen=True)
class Answer:
    """The outcome of a command.

    Attributes:
        code: Exit code; None if it had none.
        out: Its standard output.
        err: Its standard error.
        traceback: Traceback of an exception that left `main`; empty if none did.
        died: Signal that ended the process, or its exit code; None if it lived.
        hung: Whether there was no answer within the time limit.
        peak_bytes: Peak resident memory of the process and its children so far, in bytes.
    """

    code: int | None
    out: str = ""
    err: str = ""
    traceback: str = ""
    died: int | None = None
    hung: bool = False
    peak_bytes: int = 0


class Lane:
    """One worker at a time, and its folder."""

    def __init__(self, folder: Path, room: str, hang_seconds: float = HANG_SECONDS) -> None:
        """Create the pool; start nothing yet.

        Args:
            folder: Folder for its output and temporary files.
            room: See `worker.serve`.
            hang_seconds: Longest wait for an answer, in seconds.
        """
        self._folder, self._room, self.hang_seconds = folder, room, hang_seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._left = self._peak_bytes = 0
        self.temporary = folder / "tmp"
        self.temporary.mkdir(parents=True, exist_ok=True)

    def run(self, arguments: list[str], folder: Path) -> Answer:
        """Run a command in a folder."""
        if self._process is None or self._left == 0:
            self.close()
            self._start()
        self._left -= 1
        request = {"folder": str(folder), "temporary": str(self.temporary), "arguments": arguments}
        try:
            os.write(self._requests, json.dumps(request).encode() + b"\n")
        except BrokenPipeError:
            return self._ended(hung=False)
        line = b""
        while not line.endswith(b"\n"):
            ready, _, _ = select.select([self._answers], [], [], self.hang_seconds)
            if not ready:
                return self._ended(hung=True)
            block = os.read(self._answers, 65536)
            if not block:
                return self._ended(hung=False)
            line += block
        out, err = self._printed()
        answer = Answer(out=out, err=err, **json.loads(line))
        if answer.peak_bytes > self._peak_bytes + _GROWTH:
            self._left = 0  # The peak is of the whole process: one file's growth must not count against the next.
        self._peak_bytes = answer.peak_bytes
        return answer

    def clear(self) -> None:
        """Empty the temporary folder."""
        shutil.rmtree(self.temporary, ignore_errors=True)
        self.temporary.mkdir()

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._kill()

    def _start(self) -> None:
        requests, self._requests = os.pipe()
        self._answers, answers = os.pipe()
        out, err = (
            os.open(self._folder / name, os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_TRUNC) for name in ("out", "err")
        )
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "tools.faults.worker", str(requests), str(answers), self._room],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            pass_fds=(requests, answers),
            env=environment(),
            start_new_session=True,
        )
        for descriptor in (requests, answers, out, err):
            os.close(descriptor)
        self._left, self._peak_bytes = _COMMANDS, _LARGEST_START[self._room]

    def _ended(self, hung: bool) -> Answer:
        out, err = self._printed()
        died = self._kill() if hung else self._wait()
        return Answer(None, out, err, died=None if hung else died, hung=hung)

    def _printed(self) -> tuple[str, str]:
        out, err = ((self._folder / name).read_bytes().decode(errors="replace") for name in ("out", "err"))
        return out, err

    def _wait(self) -> int:
        assert self._process is not None  # noqa: S101 - For the type checker.
        code = self._process.wait()
        self._close_pipes()
        return code

    def _kill(self) -> int:
        assert self._process is not None  # noqa: S101 - For the type checker.
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        return self._wait()

    def _close_pipes(self) -> None:
        for descriptor in (self._requests, self._answers):
            os.close(descriptor)
        self._process = None


def run_script(arguments: list[str], folder: Path, temporary: Path, hang_seconds: float = HANG_SECONDS) -> Answer:
    """Run a command as a user does, in its own process."""
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "edgecnn", *arguments],
            cwd=folder,
            env={**environment(), "TMPDIR": str(temporary)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=hang_seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        return Answer(None, _text(error.stdout), _text(error.stderr), hung=True)
    died = done.returncode if done.returncode < 0 else None
    return Answer(None if died else done.returncode, _text(done.stdout), _text(done.stderr), died=died)


def _text(data: bytes | None) -> str:
    return (data or b"").decode(errors="replace")
