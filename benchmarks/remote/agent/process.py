"""Runs a command of the device to its end, or to the end of the connection."""

from __future__ import annotations

import ctypes
import os
import selectors
import signal
import subprocess
from pathlib import Path
from typing import Callable  # noqa: UP035  # Python 3.7 and 3.8 can't subscribe to the other.

from edgecnn.benchmarks.remote.agent.conversation import ALIVE_SECONDS, Interrupted, tell

_SET_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of <sys/prctl.h>.


def execute(command: list[str], run: Path, on_line: Callable[[str], None] = lambda line: None) -> tuple[int, str, list[str]]:
    """Run a command to its end; it dies with this process or with the connection.

    Args:
        command: Program and arguments.
        run: Folder where it runs and has its temporary files.
        on_line: Called with each line of its standard error that is not blank.

    Returns:
        Its exit code, its output, and these lines.

    Raises:
        Interrupted: If the connection ended; then the command, and everything it started, has ended.
    """
    environment = dict(os.environ, TMPDIR=str(run), PYTHONIOENCODING="utf-8", COLUMNS="200")
    libc = ctypes.CDLL(None)
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=str(run),
        env=environment,
        start_new_session=True,
        # If this process were killed, for example for lack of memory, nothing else would end the child.
        preexec_fn=lambda: libc.prctl(_SET_DEATH_SIGNAL, signal.SIGKILL),
    )
    assert child.stdout  # noqa: S101  # It is a pipe.
    assert child.stderr  # noqa: S101  # As above.
    try:
        printed, said = _listen(child.stdout.fileno(), child.stderr.fileno(), on_line)
        return child.wait(), printed, said
    finally:
        if child.returncode is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        child.stdout.close()
        child.stderr.close()


def _listen(stdout: int, stderr: int, on_line: Callable[[str], None]) -> tuple[str, list[str]]:
    """Return what comes on a child's standard output until both of its pipes end, and the lines of the other."""
    printed, line, said = bytearray(), bytearray(), []

    def hear(whole: bytearray) -> None:
        text = whole.decode("utf-8", "replace")
        if text.strip():
            said.append(text)
            on_line(text)

    with selectors.DefaultSelector() as selector:
        for stream in (0, stdout, stderr):
            selector.register(stream, selectors.EVENT_READ)
        while len(selector.get_map()) > 1:
            found = selector.select(ALIVE_SECONDS)
            if not found:
                tell("alive")
            for key, _ in found:
                data = os.read(key.fd, 1 << 16)
                if not data:
                    if key.fd == 0:
                        raise Interrupted
                    selector.unregister(key.fd)
                elif key.fd == stdout:
                    printed += data
                elif key.fd == stderr:
                    *lines, rest = (line + data).split(b"\n")
                    line = bytearray(rest)
                    for whole in lines:
                        hear(whole)
    hear(line)
    return printed.decode("utf-8", "replace"), said
