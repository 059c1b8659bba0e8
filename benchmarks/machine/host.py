"""Reads the machine, its state and what a container's quota takes away. Other modules judge what the readings mean."""

import os
import platform
import re
import subprocess
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from edgecnn.benchmarks.machine.host_text import (
    Run,
    board_name,
    cpu_name,
    memory_bytes,
    number,
    read_temperature,
    run_tool,
    text,
    throttle_bits,
    usable_cpus,
)
from edgecnn.edge.packages import utc_now

_UNITS = {"throttled_usec": 1e-6, "throttled_time": 1e-9}
"""Version 2 counts microseconds, version 1 nanoseconds.

Source: https://docs.kernel.org/admin-guide/cgroup-v2.html and https://docs.kernel.org/scheduler/sched-bwc.html
"""


def throttled_seconds(root: Path = Path("/")) -> float | None:
    """Return the CPU seconds for which quotas have stopped this process's groups since their start.

    A quota counts where it is set, so the group and all groups above it are read. A container usually sees only its own
    group, at the root of the tree. It is None if no group has a quota.
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
    for controllers, path in re.findall(r"^[^:\n]*:([^:\n]*):(.*)", text(root / "proc/self/cgroup") or "", re.MULTILINE):
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


BUSY_FIELDS = (0, 1, 2, 5, 6)
"""Columns of a CPU's line in /proc/stat: user, nice, system, irq, softirq. Guest time is already in user (proc(5))."""
STEAL_FIELD = 7

_THROTTLE_WORDS = ("under-voltage", "frequency capped", "throttled", "soft temperature limit")
_SINCE_BOOT = 16
"""Bit n + 16 of the throttled bits has the meaning of bit n, but since boot."""


@dataclass(frozen=True)
class Machine:
    """The machine's properties that no run changes.

    Attributes:
        machine: Architecture, for example `x86_64` or `aarch64`.
        board: Model in the device tree, for example `Raspberry Pi 5 Model B Rev 1.0`.
        cpu: Name of the processor, for example `Cortex-A76` or `AMD EPYC (AVX-512, VNNI)`; different kinds of core are joined
            with " + ".
        cores: Number of CPUs that this process may use.
        memory_bytes: Memory of the whole machine in bytes, even inside a container with less.
        system: Kernel name and release.
        python: Python's version.
        glibc: Version of glibc; None with another C library.
    """

    machine: str
    board: str | None
    cpu: str | None
    cores: int
    memory_bytes: int | None
    system: str
    python: str
    glibc: str | None


def machine_text(machine: Machine) -> str:
    """Return the names of a machine's CPU and board."""
    return ", ".join(filter(None, (machine.cpu or machine.machine, machine.board)))


@dataclass(frozen=True)
class State:
    """The machine's state, which may change during a run.

    Attributes:
        time: UTC time, ISO 8601.
        load: Mean number of runnable processes over the last minute.
        governors: The different frequency governors of the CPUs that this process may use, sorted.
        clock_khz: Present clock of the fastest of those CPUs in kHz.
        temperature_celsius: Temperature of the hottest CPU sensor; without one, of the hottest sensor.
        temperature_limit_celsius: Temperature at which the machine starts to slow down; see `read_temperature`.
        throttled: Firmware's bits on a Raspberry Pi; see `throttle_reasons`.
        on_battery: Whether a battery is discharging; None if the machine reports neither battery nor mains.
    """

    time: str
    load: float | None
    governors: tuple[str, ...]
    clock_khz: int | None
    temperature_celsius: float | None
    temperature_limit_celsius: float | None
    throttled: int | None
    on_battery: bool | None


@dataclass(frozen=True)
class CpuTimes:
    """CPU time since boot, summed over some CPUs; the difference of two readings is the time in between.

    Attributes:
        busy_seconds: Time running any process or the kernel, without idling and waiting for a disk.
        steal_seconds: Time taken by the host of a virtual machine.
    """

    busy_seconds: float
    steal_seconds: float


def read_machine(root: Path = Path("/")) -> Machine:
    """Read the machine's constant properties."""
    library, version = platform.libc_ver()
    return Machine(
        machine=platform.machine(),
        board=board_name(root),
        cpu=cpu_name(text(root / "proc/cpuinfo") or ""),
        cores=len(usable_cpus()),
        memory_bytes=memory_bytes(text(root / "proc/meminfo") or "", "MemTotal"),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        glibc=version if library == "glibc" else None,
    )


def read_state(root: Path = Path("/"), run: Run = run_tool) -> State:
    """Read the machine's state: some twenty small files and, on a Raspberry Pi only, one short program.

    Args:
        root: Where /proc and /sys are.
        run: Function that runs a program and returns its output. Tests pass a fake one.
    """
    board = board_name(root)
    frequency = [root / f"sys/devices/system/cpu/cpu{cpu}/cpufreq" for cpu in usable_cpus()]
    temperature, limit = read_temperature(root, board)
    return State(
        time=utc_now(),
        load=_load(root),
        governors=tuple(sorted({name for path in frequency if (name := text(path / "scaling_governor"))})),
        clock_khz=read_clock(root),
        temperature_celsius=temperature,
        temperature_limit_celsius=limit,
        throttled=_throttled(root, board, run),
        on_battery=_on_battery(root),
    )


def read_clock(root: Path = Path("/")) -> int | None:
    """Return the highest clock in kHz of the CPUs that this process may use, or None if not reported."""
    paths = (root / f"sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_cur_freq" for cpu in usable_cpus())
    return max((khz for path in paths if (khz := number(path))), default=None)


def read_cpu_times(root: Path = Path("/"), cpus: Collection[int] | None = None) -> CpuTimes | None:
    """Return the CPU time since boot, from the lines in /proc/stat of these CPUs, or of those that this process may use.

    It is None if a CPU has no such line: a CPU that was switched off loses its history, and the difference to an earlier
    reading would be negative.
    """
    names = {f"cpu{cpu}" for cpu in (usable_cpus() if cpus is None else cpus)}
    lines = [line.split() for line in (text(root / "proc/stat") or "").splitlines()]
    try:
        ticks = {line[0]: [int(field) for field in line[1:]] for line in lines if line and line[0] in names}
        busy = sum(ticks[name][field] for name in names for field in BUSY_FIELDS)
        steal = sum(ticks[name][STEAL_FIELD] for name in names)
    except (ValueError, KeyError, IndexError):
        return None
    per_second = os.sysconf("SC_CLK_TCK")
    return CpuTimes(busy / per_second, steal / per_second)


def other_cpus(root: Path = Path("/")) -> tuple[int, ...]:
    """Return the numbers of the CPUs in /proc/stat that this process may not use."""
    names = (line.split()[0] for line in (text(root / "proc/stat") or "").splitlines() if line.startswith("cpu"))
    numbers = {int(name[3:]) for name in names if name[3:].isdecimal()}
    return tuple(sorted(numbers - set(usable_cpus())))


def throttle_reasons(throttled_before: int | None, throttled_now: int | None) -> tuple[str, ...]:
    """Return what slowed a Raspberry Pi down: present reasons, then those new since `throttled_before`.

    Events before the run don't concern it, so the bits since boot count only if they are new.

    Source: https://www.raspberrypi.com/documentation/computers/os.html#get_throttled
    """
    now = throttled_now or 0
    new = now & ~throttled_before if throttled_before is not None else 0
    active = [word for bit, word in enumerate(_THROTTLE_WORDS) if now >> bit & 1]
    since = [f"{word} during the run" for bit, word in enumerate(_THROTTLE_WORDS) if new >> (_SINCE_BOOT + bit) & 1]
    return (*active, *since)


def _throttled(root: Path, board: str | None, run: Run) -> int | None:
    """Ask the firmware, then the kernel.

    `vcgencmd` reports the present and everything since boot, but needs the group `video`. The kernel's file can
    be read by all, but holds a poll every 2 seconds that also clears the memory, and its first reader leaves
    a warning in the kernel's log (drivers/firmware/raspberrypi.c, drivers/hwmon/raspberrypi-hwmon.c). A kernel that is
    not Raspberry Pi's has only the under-voltage alarm: without an alarm the other bits are unknown, so it stays None.
    """
    if board is None or not board.startswith("Raspberry Pi"):
        return None
    try:
        bits = throttle_bits(run(["vcgencmd", "get_throttled"]))
    except subprocess.TimeoutExpired:
        return None  # Not the kernel's file: its shorter memory, compared with an earlier reading, would show false events.
    except (OSError, subprocess.SubprocessError):
        bits = None
    for path in root.glob("sys/devices/platform/soc*/soc*:firmware/get_throttled"):
        bits = number(path, base=16) if bits is None else bits
    if bits is None and any(
        number(path / "in0_lcrit_alarm") == 1
        for path in root.glob("sys/class/hwmon/hwmon*")
        if text(path / "name") == "rpi_volt"
    ):
        return 1
    return bits


def _on_battery(root: Path) -> bool | None:
    supplies = [path for path in root.glob("sys/class/power_supply/*") if text(path / "scope") != "Device"]
    batteries = {text(path / "status") for path in supplies if text(path / "type") == "Battery"}
    mains = [path for path in supplies if text(path / "type") == "Mains" and number(path / "online") is not None]
    if "Discharging" in batteries:
        return True
    return False if mains or batteries - {None, "Unknown"} else None


def _load(root: Path) -> float | None:
    try:
        return float((text(root / "proc/loadavg") or "").split()[0])
    except (ValueError, IndexError):
        return None
