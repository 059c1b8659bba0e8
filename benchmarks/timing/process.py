"""The parent's side of `edgecnn.benchmarks.timing.worker`: starts it, and waits for it, but not for a stopped child."""

import io
import os
import pickle
import select
import signal
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, cast

from edgecnn.benchmarks.timing.requests import OPENING_SECONDS, Answer, Open, Opened, ProfileOps, Request
from edgecnn.edge.errors import ArtifactError, ConfigError, EdgeCnnError, InvalidMeasurement, because, field
from edgecnn.edge.sandbox.child import child_environment, python_command, too_long

LOOK_SECONDS = 2.0
"""Interval of checks on a child that does not answer. A parent that was stopped too counts only its running time."""
MOST_LOOKS = 5


class StoppedError(Exception):
    """The child is stopped, for example by SIGSTOP, and does not continue."""


class Watch:
    """Waits for a descriptor; raises `StoppedError` after `MOST_LOOKS` consecutive checks that find the child stopped."""

    def __init__(self, process: int) -> None:
        self._process = process

    def wait(self, descriptor: int, event: int) -> None:
        """Wait until the descriptor can be read (`select.POLLIN`) or written (`select.POLLOUT`), or the other end is closed."""
        poll, stopped = select.poll(), 0
        poll.register(descriptor, event)
        while not poll.poll(1000 * LOOK_SECONDS):
            stopped = stopped + 1 if is_stopped(self._process) else 0
            if stopped == MOST_LOOKS:
                raise StoppedError

    def send(self, descriptor: int, data: bytes) -> None:
        """Write all of the data into a pipe."""
        os.set_blocking(descriptor, False)
        view = memoryview(data)
        while view:
            self.wait(descriptor, select.POLLOUT)
            view = view[os.write(descriptor, view) :]


def is_stopped(process: int) -> bool:
    """Return whether a process is stopped by a signal or a debugger."""
    try:
        text = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] in "Tt"


class Answers(io.RawIOBase):
    """The output of a child in a pipe."""

    def __init__(self, descriptor: int, watch: Watch) -> None:
        self._file, self._watch = os.fdopen(descriptor, "rb", buffering=0), watch

    def readable(self) -> bool:
        """See `io.RawIOBase`."""
        return True

    def readinto(self, buffer: Any) -> int:
        """See `io.RawIOBase`; raises `StoppedError`."""
        self._watch.wait(self._file.fileno(), select.POLLIN)
        return self._file.readinto(buffer)

    def close(self) -> None:
        """See `io.RawIOBase`."""
        self._file.close()
        super().close()


class ModelProcess:
    """A child process with one opened file, as a context manager: it ends with the block, or with the thread that opened it."""

    def __init__(self, request: Open) -> None:
        """Start the process and open the file in it.

        Raises:
            EdgeCnnError: If opening raised it in the child.
            ArtifactError: If the child died: a runtime crashed on the file.
            InvalidMeasurement: If the child was stopped and does not continue.
        """
        self._path = request.path
        try:
            self._output = tempfile.TemporaryFile()  # noqa: SIM115  # Closed with the process.
        except OSError as error:
            raise ConfigError(f"no temporary folder can be written {because(error, 'set TMPDIR to one that can')}") from error
        reader, writer = os.pipe()
        command = python_command(f"from edgecnn.benchmarks.timing.worker import serve; serve({writer})")
        said = self._output
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=said, stderr=said, pass_fds=[writer], env=child_environment()
        )
        os.close(writer)
        self._watch = Watch(self._process.pid)
        self._requests = cast(IO[bytes], self._process.stdin).fileno()
        self._answers = io.BufferedReader(Answers(reader, self._watch))
        try:
            self.opened: Opened = self._ask(request)
        except BaseException:
            self.close()
            raise

    def ask(self, request: Request[Answer]) -> Answer:
        """Return the child's answer. Errors are as above."""
        answer: Answer = self._ask(request)
        return answer

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()
        self._answers.close()
        self._output.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _ask(self, request: Any) -> Any:
        try:
            self._watch.send(self._requests, pickle.dumps(request))
            answer = pickle.load(self._answers)
        except (EOFError, BrokenPipeError, pickle.UnpicklingError) as error:
            raise self._death(request) from error
        except StoppedError as error:
            raise InvalidMeasurement(
                f"{self._path}: the process that measures it was stopped (by SIGSTOP or a debugger) and did not continue: "
                "find the cause, and run edgecnn bench again"
            ) from error
        if isinstance(answer, EdgeCnnError):
            raise answer
        return answer

    def _death(self, request: Any) -> Exception:
        code = self._process.wait()
        self._output.seek(0)
        said = self._output.read().decode(errors="replace")
        if code < 0:
            # LiteRT's profiler is reached through its C library, whose next version may differ.
            mend = f"bench without {field('profile')}" if isinstance(request, ProfileOps) else "export the file again"
            if -code == signal.SIGALRM:
                return too_long(str(self._path), OPENING_SECONDS)
            if -code == signal.SIGKILL:
                return ArtifactError(f"{self._path}: its process was killed (signal 9); memory may have run out: free some")
            return ArtifactError(f"{self._path}: its runtime crashed (signal {-code}): {mend}")
        # An exception that nobody expected is our bug: show the child's traceback.
        return RuntimeError(f"the process that measures {self._path} ended with code {code}:\n{said}")
