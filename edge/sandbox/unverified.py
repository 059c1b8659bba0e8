"""Code on bytes that may do harm, in a child process with limits; and which files were tried that way."""

import os
import resource
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

from edgecnn.edge.errors import ArtifactError, EdgeCnnError, because
from edgecnn.edge.files import remove_stale, sha256
from edgecnn.edge.sandbox.child import Child, Lost

SECONDS = 120.0
"""Time limit. A board imports a runtime from a slow card and runs a large model once in less; beyond it, nothing ends."""

# Memory of a runtime without a model, and the factor by which an opened model that ran once is larger than its file.
_BASE_BYTES = 2 * 2**30
_BYTES_PER_BYTE = 16

# How C++, ONNX Runtime, TensorFlow and its protobuf report it.
_NO_MEMORY = ("bad_alloc", "bad allocation", "Failed to allocate memory", "OOM when allocating", "Arena alloc failed")

Result = TypeVar("Result")


def memory_limit(size_bytes: int) -> int:
    """Return the memory limit in bytes of a process that opens an unverified file of this size.

    It is 2 GiB plus 16 times the file's size, at most the machine's memory. It counts allocated memory, used or not.
    """
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min(machine, _BASE_BYTES + _BYTES_PER_BYTE * size_bytes)


def run_in_child(call: Callable[[], Result], origin: str, size_bytes: int, seconds: float | None = None) -> Result:
    """Make a call in a child process with limits and return its result.

    See `Child.call` for the call. It opens a file that messages call `origin`, from whose size `memory_limit` follows. The time
    limit is `SECONDS` by default.

    Raises:
        ArtifactError: If the child crashes, exceeds the memory limit or does not end in time.
        EdgeCnnError: If the call raised it.
        RuntimeError: If the call raised anything else; the message has its traceback.
    """
    seconds = SECONDS if seconds is None else seconds
    if not sys.executable or getattr(sys, "frozen", False):  # A frozen application would start itself again.
        raise ArtifactError(f"{origin} can't be tried, since there is no Python for it: pass trusted=True if it is your own")
    try:
        child = Child()
    except OSError as error:
        raise ArtifactError(
            f"{origin} can't be tried, since no process can be started {because(error, 'end some other processes')}"
        ) from error
    try:
        with child:
            return child.call(partial(_limited, call, origin, size_bytes), seconds)
    except (Lost, TimeoutError, KeyboardInterrupt, SystemExit) as error:
        remove_stale()  # The temporary folders of the child.
        if isinstance(error, TimeoutError):
            raise too_long(origin, seconds) from error
        if not isinstance(error, Lost):
            raise
        if error.code is not None and error.code >= 0:
            raise RuntimeError(f"the process that opened {origin} {error}") from error
        raise ArtifactError(f"{origin}: the process that opened it {error.how}: copy or convert it again") from error


def _limited(call: Callable[[], Result], origin: str, size_bytes: int) -> Result:
    limit_memory(size_bytes)
    try:
        return call()
    except (EdgeCnnError, MemoryError) as error:
        if not lacks_memory(error):
            raise
        raise ArtifactError(
            f"{origin} needs more memory than the {memory_limit(size_bytes) / 2**20:,.0f} MiB that an unverified file of its "
            "size may use: give a smaller model"
        ) from error


def limit_memory(size_bytes: int) -> None:
    """Limit this process's memory for an unverified file of this size, and disable core dumps."""
    # A limit of address space (RLIMIT_AS) would not work: TensorFlow and ONNX Runtime reserve much that they never use.
    for kind, limit in ((resource.RLIMIT_DATA, memory_limit(size_bytes)), (resource.RLIMIT_CORE, 0)):
        _, hard = resource.getrlimit(kind)
        resource.setrlimit(kind, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))


def limit_time(seconds: float) -> None:
    """Let the kernel end this process after this time by SIGALRM, even inside native code; 0 cancels it."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, seconds)


def too_long(origin: str, seconds: float) -> ArtifactError:
    """Return the error for a file that took longer."""
    return ArtifactError(f"{origin} did not return within {seconds:g} s: give a smaller model")


def lacks_memory(error: BaseException | None) -> bool:
    """Return whether an error and its causes mean that memory ran out, here or in a runtime."""
    while error is not None:
        if isinstance(error, MemoryError) or any(text in str(error) for text in _NO_MEMORY):
            return True
        error = error.__cause__
    return False


# Kept in memory too, in case there is no folder to write to.
_here: set[Path] = set()


def was_made(data: bytes) -> bool:
    """Return whether a file with these bytes was made on this machine."""
    return _known(_mark("made", data))


def was_tried(data: bytes, how: str) -> bool:
    """Return whether a file with these bytes was already opened and run in this way on this machine."""
    return _known(_mark("tried", data, how))


def remember_made(data: bytes) -> None:
    """Record that a file with these bytes was made here; without a folder to write to, for this process only."""
    _note(_mark("made", data))


def remember_tried(data: bytes, how: str) -> None:
    """Record that a file with these bytes was opened and run in this way. Otherwise like `remember_made`."""
    _note(_mark("tried", data, how))


def _known(mark: Path) -> bool:
    # Not Path.exists, which raises where the folder may not be read.
    if mark not in _here and os.path.exists(mark):  # noqa: PTH110
        _here.add(mark)
    return mark in _here


def _note(mark: Path) -> None:
    _here.add(mark)
    with suppress(OSError):
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()


def _mark(kind: str, data: bytes, how: str = "") -> Path:
    """Return the empty file that records this; machines of several kinds may share a home."""
    try:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())
    except RuntimeError:  # A service's user may have no home folder. This one can't be written.
        cache = Path(os.devnull)
    way = [sha256(how.encode())[:16]] if how else []
    return cache / "edgecnn" / kind / "-".join([sha256(data), *way, os.uname().machine])
