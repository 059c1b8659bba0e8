"""Reads how much a container's CPU quota takes away: `cpu.stat` of Linux control groups, both versions."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from edgecnn.benchmarks.machine.host_text import text

_UNITS = {"throttled_usec": 1e-6, "throttled_time": 1e-9}
"""Version 2 counts microseconds, version 1 nanoseconds.

Source: https://docs.kernel.org/admin-guide/cgroup-v2.html and https://docs.kernel.org/scheduler/sched-bwc.html
"""


def throttled_seconds(root: Path = Path("/")) -> float | None:
    """Return the CPU seconds for which quotas have stopped this process's groups since their start.

    A quota counts where it is set, so the group and all groups above it are read. A container usually sees only its own
    group, at the root of the tree.

    Args:
        root: Where /proc and /sys are.

    Returns:
        The seconds; None if no group has a quota.
    """
    found = []
    for folder in _groups(root):
        for line in (text(folder / "cpu.stat") or "").splitlines():
            key, _, value = line.partition(" ")
            if key in _UNITS and value.strip().isdecimal():
                found.append(int(value) * _UNITS[key])
    return sum(found) if found else None


def _groups(root: Path) -> Iterator[Path]:
    """Yield the folders of this process's CPU groups, from its own up to the roots."""
    base = root / "sys/fs/cgroup"
    for line in (text(root / "proc/self/cgroup") or "").splitlines():
        _, colon, rest = line.partition(":")
        controllers, second, path = rest.partition(":")
        if not colon or not second:
            continue
        if not controllers:
            tops = [base, base / "unified"]
        elif "cpu" in controllers.split(","):
            tops = [base / controllers, base / "cpu"]
        else:
            continue
        # Outside its namespace a group's path begins with "..".
        group = PurePosixPath(*(part for part in PurePosixPath(path).parts if part not in ("/", "..")))
        top = next((top for top in tops if (top / "cpu.stat").exists()), None)
        if top:
            yield from (top / part for part in (group, *group.parents))
