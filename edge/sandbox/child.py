"""Child processes that end with their parent and make calls for it, and what became of one that gives no answer."""

import ctypes
import os
import pickle
import select
import signal
import struct
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Self, TypeVar, cast

from edgecnn.edge.errors import EdgeCnnError, refusal
from edgecnn.edge.native_output import open_descriptor, temporary_file

# How a process ended by a signal, where that is no crash; and what may be behind it.
_ENDS: dict[int, str] = {
    signal.SIGKILL: "was killed (SIGKILL), perhaps for lack of memory",
    signal.SIGILL: "was killed by an illegal instruction (SIGILL), perhaps of a package built for a newer CPU",
    signal.SIGALRM: "took too long (SIGALRM)",
}

LOOK_SECONDS = 2.0
"""Interval of checks on a child that does not answer. A parent that was stopped too counts only its running time."""
MOST_LOOKS = 5
"""Number of consecutive checks that find a child stopped, until it is given up."""

_HEADER = struct.Struct(">Q")  # Size of a message in bytes.
_MOST_AT_ONCE = 1 << 20
_MOST_PRINTED = 1 << 16

_SET_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of <sys/prctl.h>.
_BOUND = (
    "import ctypes, os, sys\n"
    f"ctypes.CDLL(None).prctl({_SET_DEATH_SIGNAL}, {int(signal.SIGKILL)})\n"
    "os.getppid() == int(sys.argv[1]) or os._exit(1)\n"
    "os.execv(sys.argv[2], sys.argv[2:])"
)

Result = TypeVar("Result")


class Lost(Exception):
    """A child that gives no answer.

    Attributes:
        how: What became of it, as the end of a sentence: "crashed (SIGSEGV)".
        code: Its exit code, or the negative number of the signal that ended it; None if it still ran, and was killed.
        output: The end of what it printed, 64 KiB at most.
    """

    def __init__(self, how: str, code: int | None = None, output: str = "") -> None:
        super().__init__(f"{how}:\n{output}")
        self.how, self.code, self.output = how, code, output


class Child:
    """A process that makes calls for this one, one at a time. As a context manager, it ends with the block.

    It also ends with the thread that started it, whatever ends that. It has no standard input, and a session of its own, which
    Ctrl-C does not reach; what it starts is ended with it.
    """

    def __init__(self, serve: Callable[..., None] | None = None, *arguments: float, output: int | None = None) -> None:
        """Start the process.

        Args:
            serve: Function of a module that it runs, with the descriptors of requests and of answers. None: `serve_calls`.
            arguments: Further arguments of the function.
            output: Descriptor for what it prints; None keeps that for `Lost`.

        Raises:
            OSError: If no process can be started.
        """
        serve = serve or serve_calls
        for descriptor in range(3):  # A daemon may have closed some, and a pipe in their place would be overwritten.
            open_descriptor(descriptor)
        with ExitStack() as failed, ExitStack() as started:
            self._printed = failed.enter_context(temporary_file()) if output is None else None
            requests, self._requests = os.pipe()
            started.callback(os.close, requests)
            failed.callback(os.close, self._requests)
            self._answers, answers = os.pipe()
            started.callback(os.close, answers)
            failed.callback(os.close, self._answers)
            # What the child starts must not hold the pipes open.
            ours = f"import os; [os.set_inheritable(number, False) for number in ({requests}, {answers})]"
            theirs = f"from {serve.__module__} import {serve.__name__} as serve; serve{(requests, answers, *arguments)}"
            self._process = subprocess.Popen(
                python_command(f"{ours}; {theirs}"),
                stdin=subprocess.DEVNULL,
                stdout=self._printed or output,
                stderr=subprocess.STDOUT,
                pass_fds=[requests, answers],
                env=child_environment(),
                start_new_session=True,
            )
            self._open = failed.pop_all()
        self.pid = self._process.pid
        os.set_blocking(self._requests, False)

    def call(self, call: Callable[[], Result], seconds: float | None = None) -> Result:
        """Make a call in the child and return its result.

        Args:
            call: The call; it and its result are sent as pickles: a `functools.partial` of a module's function.
            seconds: Time limit in seconds. None waits until the child answers, or is stopped and does not continue.

        Raises:
            Lost: If the child ends, or is stopped and does not continue.
            TimeoutError: If it does not answer in time. Like one that is lost, it is killed: its late answer must not be taken
                for that to another call.
            EdgeCnnError: If the call raised it.
            MemoryError: If the call raised it.
            RuntimeError: If the call raised anything else; the message has its traceback.
        """
        until = None if seconds is None else time.monotonic() + seconds
        data = pickle.dumps(call)
        self.send(_HEADER.pack(len(data)) + data, until)
        (size,) = _HEADER.unpack(self.receive(_HEADER.size, until))
        kind, answer = pickle.loads(self.receive(size, until))  # It comes from our own child.
        if kind == "raised":
            raise answer
        if kind == "unexpected":
            raise RuntimeError(f"a child process failed:\n{answer}")
        return cast(Result, answer)

    def send(self, data: bytes, until: float | None = None) -> None:
        """Write all of the data into the child's requests. `until` is a time of `time.monotonic`, None means no limit.

        Raises:
            Lost: See `call`.
            TimeoutError: See `call`.
        """
        view = memoryview(data)
        with self._whole_or_killed():
            while view:
                self._wait(self._requests, select.POLLOUT, until)
                try:
                    view = view[os.write(self._requests, view) :]
                except BrokenPipeError as error:
                    raise self._lost() from error

    def receive(self, size: int, until: float | None = None) -> bytearray:
        """Return the next `size` bytes of the child's answers. `until` and errors are as in `send`."""
        data = bytearray()
        with self._whole_or_killed():
            while len(data) < size:
                self._wait(self._answers, select.POLLIN, until)
                part = os.read(self._answers, min(size - len(data), _MOST_AT_ONCE))
                if not part:
                    raise self._lost()
                data += part
        return data

    @property
    def has_ended(self) -> bool:
        """Whether the process has ended by itself, or was killed."""
        return self._process.poll() is not None

    def kill(self) -> None:
        """Kill the process; another thread that waits for its answer gets `Lost`."""
        if not self.has_ended:
            with suppress(ProcessLookupError):  # Another thread has seen it end meanwhile.
                os.killpg(self.pid, signal.SIGKILL)

    def end(self) -> int:
        """Kill the process, and return its exit code, or the negative number of the signal that ended it."""
        self.kill()
        code = self._process.wait()
        self._open.close()
        return code

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.end()

    @contextmanager
    def _whole_or_killed(self) -> Iterator[None]:
        """Kill the child if the block raises: what is left of a message would be taken for the beginning of the next one."""
        try:
            yield
        except BaseException:
            self.kill()
            raise

    def _wait(self, descriptor: int, event: int, until: float | None) -> None:
        """Wait until the descriptor can be read or written, or the other end is closed."""
        poll, stopped = select.poll(), 0
        poll.register(descriptor, event)
        while True:
            left = LOOK_SECONDS if until is None else min(LOOK_SECONDS, max(0.0, until - time.monotonic()))
            if poll.poll(1000 * left):
                return
            stopped = stopped + 1 if is_stopped(self.pid) else 0
            if until is not None and time.monotonic() >= until:
                raise TimeoutError
            if until is None and stopped == MOST_LOOKS:
                raise Lost("was stopped (by SIGSTOP or a debugger) and did not continue")

    def _lost(self) -> Lost:
        try:
            code = self._process.wait(LOOK_SECONDS)
        except subprocess.TimeoutExpired:
            return Lost("closed its pipe")
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)  # What it started.
        printed = b""
        if self._printed is not None:
            place = self._printed.fileno()
            printed = os.pread(place, _MOST_PRINTED, max(0, os.fstat(place).st_size - _MOST_PRINTED))
        return Lost(how_it_ended(code), code, printed.decode(errors="replace"))


def serve_calls(requests: int, answers: int) -> None:
    """Run in the child: make the calls that the parent asks for, until it ends."""
    with os.fdopen(requests, "rb") as asked, os.fdopen(answers, "wb") as answered:
        while header := asked.read(_HEADER.size):
            (size,) = _HEADER.unpack(header)
            try:
                call = pickle.loads(asked.read(size))  # It comes from our own parent.
                data = pickle.dumps(("returned", call()))
            except (EdgeCnnError, MemoryError) as error:
                data = pickle.dumps(("raised", error))
            except Exception as error:
                found = refusal(error)
                data = pickle.dumps(("raised", found) if found else ("unexpected", traceback.format_exc()))
            answered.write(_HEADER.pack(len(data)) + data)
            answered.flush()


def how_it_ended(code: int) -> str:
    """Return what an exit code, or the negative number of a signal, says of a process: "crashed (SIGSEGV)"."""
    if code >= 0:
        return f"ended with code {code}"
    names = {known.value: known.name for known in signal.Signals}
    return _ENDS.get(-code, f"crashed ({names.get(-code, f'signal {-code}')})")


def is_stopped(process: int) -> bool:
    """Return whether a process is stopped by a signal or a debugger."""
    try:
        text = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] in "Tt"


def python_command(code: str) -> list[str]:
    """Return the command that runs code in another interpreter, which ends with this thread."""
    bound = f"from edgecnn.edge.sandbox.child import end_with_parent; end_with_parent({os.getpid()})"
    # -P: a folder of the user's with one of our names must not be imported.
    return [sys.executable, "-P", "-c", f"{bound}; {code}"]


def child_environment() -> dict[str, str]:
    """Return an environment in which a child imports the same packages as this process, ours from the same place."""
    paths = [str(Path(__file__).parents[3]), *sys.path]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, dict.fromkeys(paths)))}


def end_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent, a process id, ends. If it already has, this process ends at once.

    Call this first in a child. For the kernel, the parent is the thread that started the child: it must live as long as the
    child is needed.
    """
    ctypes.CDLL(None).prctl(_SET_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def bound_command(command: Sequence[str]) -> list[str]:
    """Return a command that runs another program, given by its path, and ends it with the current thread of this process."""
    return [sys.executable, "-I", "-S", "-c", _BOUND, str(os.getpid()), *command]
