"""A process that imports everything and forks a child for each command, so that a kill hits the work and not the imports.

Its parent sends a line of JSON for each command, and receives the child's process id and then its wait status. The child
is like the console script, in its own session, with the limits of the request.
"""

import gc
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, cast

from tools.faults.bases import environment


@dataclass(frozen=True)
class Order:
    """A command to run in a forked child.

    Attributes:
        arguments: Arguments of edgecnn.
        folder: Its working folder.
        temporary: Its TMPDIR.
        out: File for its standard output.
        err: File for its standard error.
        most_file_bytes: Limit of file size in bytes, as on a full disk; None for no limit.
        more_memory_bytes: Memory limit in bytes beyond that of the imports; None for no limit.
    """

    arguments: list[str]
    folder: str
    temporary: str
    out: str
    err: str
    most_file_bytes: int | None = None
    more_memory_bytes: int | None = None


def serve(room: str) -> None:
    """Fork a child for each line of standard input; `keras` imports TensorFlow first, without starting it."""
    if room == "keras":
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        import keras
        import tensorflow

        del keras, tensorflow
    import ai_edge_litert.interpreter
    import onnxruntime

    from edgecnn.__main__ import run  # noqa: PLC0415 - Its late imports too must come before the first fork.

    del ai_edge_litert, onnxruntime
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    gc.freeze()
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            _be(run, Order(**json.loads(line)))
        print(pid, file=answers, flush=True)
        print(os.waitpid(pid, 0)[1], file=answers, flush=True)


def _be(run: Callable[[], Any], order: Order) -> None:
    os.setsid()
    for descriptor, name in ((0, os.devnull), (1, order.out), (2, order.err)):
        opened = os.open(name, os.O_RDWR | os.O_CREAT | (os.O_TRUNC if descriptor else 0))
        os.dup2(opened, descriptor)
        os.close(opened)
    os.chdir(order.folder)
    os.environ["TMPDIR"] = order.temporary
    tempfile.tempdir = None  # The imports have read TMPDIR already.
    sys.argv = ["edgecnn", *order.arguments]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if order.most_file_bytes is not None:
        # Python would keep the first so many bytes of a module that it compiles, for each later process.
        sys.dont_write_bytecode = True
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
        resource.setrlimit(resource.RLIMIT_FSIZE, (order.most_file_bytes,) * 2)
    if order.more_memory_bytes is not None:
        taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + order.more_memory_bytes,) * 2)
    try:
        run()
    except SystemExit as error:
        sys.stdout.flush()
        os._exit(error.code if isinstance(error.code, int) else 0)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        os._exit(1)
    os._exit(0)


class Forks:
    """The parent's side of the forking process."""

    def __init__(self, room: str) -> None:
        """Start the process and wait until it has imported everything."""
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "tools.faults.forks", room],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment(),
            bufsize=0,  # A buffer could hold the end of a short command already, and `fileno` would never become readable.
        )
        self._in, self._out = cast(IO[bytes], self._process.stdin), cast(IO[bytes], self._process.stdout)
        self._out.readline()

    def start(self, order: Order) -> int:
        """Start a command and return its process id."""
        self._in.write(f"{json.dumps(asdict(order))}\n".encode())
        return int(self._out.readline())

    def wait(self) -> int:
        """Wait for the command and return its exit code, or the negative signal that killed it."""
        return os.waitstatus_to_exitcode(int(self._out.readline()))

    def fileno(self) -> int:
        """Return a descriptor that becomes readable when the command has ended."""
        return self._out.fileno()

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()


class Scripts:
    """The same for commands that start like a user's, with all their imports."""

    def start(self, order: Order) -> int:
        """Start a command and return its process id."""
        with Path(order.out).open("wb") as out, Path(order.err).open("wb") as err:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "edgecnn", *order.arguments],
                cwd=order.folder,
                env={**environment(), "TMPDIR": order.temporary},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        self._descriptor = os.pidfd_open(self._process.pid)
        return self._process.pid

    def wait(self) -> int:
        """Wait for the command and return its exit code, or the negative signal that killed it."""
        code = self._process.wait()
        os.close(self._descriptor)
        return code

    def fileno(self) -> int:
        """Return a descriptor that becomes readable when the command has ended."""
        return self._descriptor

    def close(self) -> None:
        """Do nothing: there is no process to end."""


if __name__ == "__main__":
    serve(sys.argv[1])
