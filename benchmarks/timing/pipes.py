"""The two pipes to a child process: waits for the other end, but not for a stopped child."""

import io
import os
import select
from pathlib import Path
from typing import Any

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
