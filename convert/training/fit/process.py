"""The process that trains: the cores and memory that it may use, the memory that it keeps, signals at a safe moment."""

import ctypes
import os
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from types import FrameType, TracebackType
from typing import Any, Self

_ROOT = Path("/")


def usable_cores(root: Path = _ROOT) -> int:
    """Return the number of cores that this process may use at a time: its affinity, less if its groups have a quota."""
    cores = len(os.sched_getaffinity(0))
    for group in _groups(root):
        quota, _, period = _text(group / "cpu.max").strip().partition(" ")
        if quota.isdecimal() and period.isdecimal():
            cores = min(cores, max(1, int(quota) // int(period)))
    return cores


def free_bytes(root: Path = _ROOT) -> int:
    """Return the bytes of memory that the kernel calls available, at most the limit of this process's groups; 0 if unknown."""
    found = re.search(r"^MemAvailable: +(\d+) kB$", _text(root / "proc/meminfo"), re.MULTILINE)
    limits = [int(text) for group in _groups(root) if (text := _text(group / "memory.max").strip()).isdecimal()]
    return min([int(found[1]) * 1024, *limits]) if found else 0


def _groups(root: Path) -> Iterator[Path]:
    """Yield the folders of this process's control groups of version 2, from its own up to the root.

    Source: https://docs.kernel.org/admin-guide/cgroup-v2.html. A container usually sees only its own group, at the root.
    """
    path = _text(root / "proc/self/cgroup").rpartition("0::")[2].strip()
    # Outside its namespace a group's path begins with "..".
    group = PurePosixPath(*(part for part in PurePosixPath(path).parts if part not in ("/", "..")))
    yield from (root / "sys/fs/cgroup" / part for part in (group, *group.parents))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""


# glibc's malloc.h, and its defaults (man 3 mallopt).
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
_DEFAULTS = {_TRIM_THRESHOLD: 128 * 1024, _MMAP_MAX: 65_536}
_KEEPING = {_TRIM_THRESHOLD: 2**31 - 1, _MMAP_MAX: 0}


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Let the process keep what it frees during the block, and give it back at the end; nothing changes without glibc."""
    library = ctypes.CDLL(None)
    if not hasattr(library, "mallopt") or not hasattr(library, "malloc_trim"):
        yield
        return
    for setting, value in _KEEPING.items():
        library.mallopt(setting, value)
    try:
        yield
    finally:
        for setting, value in _DEFAULTS.items():
            library.mallopt(setting, value)
        library.malloc_trim(0)


_HELD = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class HeldInterrupt:
    """A context manager that holds back the first Ctrl-C, SIGTERM or SIGHUP until `check` is called.

    Their handlers raise between any two Python instructions, even in code that TensorFlow's and HDF5's C code calls back.
    Work left half done can crash the process when it ends. A second signal is not held back. Only a signal with a handler
    in Python is held. Outside the main thread nothing changes: signals never arrive there.

    Meanwhile no wake-up descriptor is notified: a watchdog that ends a process which handles no signal would mistake a held
    signal for an unhandled one.
    """

    def __init__(self) -> None:
        self._asked: int | None = None
        self._previous: dict[int, Any] = {}
        self._wakeup = -1

    def check(self) -> None:
        """Act on a signal that was held back, if any: raise KeyboardInterrupt or SystemExit."""
        if self._asked is not None:
            number, self._asked = self._asked, None
            self._previous[number](number, None)

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: handler for number in _HELD if callable(handler := signal.getsignal(number))}
            self._wakeup = signal.set_wakeup_fd(-1)
        for number in self._previous:
            signal.signal(number, self._hold)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._let_go()
        if kind is None:
            self.check()

    def _hold(self, number: int, frame: FrameType | None) -> None:
        self._asked = number
        self._let_go()

    def _let_go(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        if self._wakeup != -1:
            signal.set_wakeup_fd(self._wakeup, warn_on_full_buffer=False)
