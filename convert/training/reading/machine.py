"""How many cores and how much memory reading may use."""

import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_ROOT = Path("/")


def usable_cores(root: Path = _ROOT) -> int:
    """Return the number of cores that this process may use at a time: its affinity, less if its groups have a quota.

    Args:
        root: Where /proc and /sys are.
    """
    cores = len(os.sched_getaffinity(0))
    for group in _groups(root):
        quota, _, period = _text(group / "cpu.max").strip().partition(" ")
        if quota.isdecimal() and period.isdecimal():
            cores = min(cores, max(1, int(quota) // int(period)))
    return cores


def free_bytes(root: Path = _ROOT) -> int:
    """Return the bytes of memory that the kernel calls available, at most the limit of this process's groups; 0 if unknown.

    Args:
        root: As in `usable_cores`.
    """
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
