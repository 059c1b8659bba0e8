"""The machine that measures, and the state it is in. Only reading: what a reading means is for others to judge.

Every reader takes the root of a file tree, so that tests read captured boards. A machine that does not say something
(a container, a virtual machine, a board without that sensor) gives None, never an error and never a guess.
"""

import os
import platform
import subprocess
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.host_text import (
    Run,
    board_name,
    cpu_name,
    number,
    read_temperature,
    run_tool,
    text,
    throttle_bits,
    usable_cpus,
)

BUSY_FIELDS = (0, 1, 2, 5, 6)
"""Columns of a CPU's line in /proc/stat: user, nice, system, irq, softirq. Guest time is in user already (proc(5))."""
STEAL_FIELD = 7

_THROTTLE_WORDS = ("under-voltage", "frequency capped", "throttled", "soft temperature limit")
_SINCE_BOOT = 16
"""Bit n + 16 of the throttled bits says since boot what bit n says of now."""


@dataclass(frozen=True)
class Machine:
    """What a figure depends on and no run changes.

    Attributes:
        machine: Architecture, as `x86_64` or `aarch64`.
        board: A device tree's model, as `Raspberry Pi 5 Model B Rev 1.0`.
        cpu: The processor's name, as `Cortex-A76`; different kinds of core are joined with " + ".
        cores: How many CPUs this process may use.
        memory_bytes: All of the machine's, also inside a container with less.
        system: Kernel name and release.
        python: Version.
        glibc: Version; None with another C library.
    """

    machine: str
    board: str | None
    cpu: str | None
    cores: int
    memory_bytes: int | None
    system: str
    python: str
    glibc: str | None


@dataclass(frozen=True)
class State:
    """What may change from one moment of a run to the next.

    Attributes:
        time: UTC, ISO 8601.
        load: Mean number of runnable processes over the last minute.
        governors: The different CPU frequency governors of the CPUs that this process may use, sorted.
        clock_khz: The fastest of those CPUs, now.
        temperature_celsius: The hottest CPU sensor; without one, the hottest sensor.
        temperature_limit_celsius: Where that sensor's machine starts to slow itself down; see `read_temperature`.
        throttled: The firmware's bits on a Raspberry Pi; see `throttle_reasons`.
        on_battery: Whether a battery is being emptied; None on a machine that names neither battery nor mains.
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
    """What some CPUs did since boot, summed over them; the difference of two readings is what they did in between.

    Attributes:
        busy_seconds: Running any process, or the kernel. Idle and waiting for a disk don't count.
        steal_seconds: Taken away by the host of a virtual machine.
    """

    busy_seconds: float
    steal_seconds: float


def read_machine(root: Path = Path("/")) -> Machine:
    """Read what does not change."""
    library, version = platform.libc_ver()
    return Machine(
        machine=platform.machine(),
        board=board_name(root),
        cpu=cpu_name(text(root / "proc/cpuinfo") or ""),
        cores=len(usable_cpus()),
        memory_bytes=_memory_bytes(root),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        glibc=version if library == "glibc" else None,
    )


def read_state(root: Path = Path("/"), run: Run = run_tool) -> State:
    """Read the machine's state: some twenty small files and, on a Raspberry Pi only, one short program.

    Args:
        root: Where /proc and /sys are.
        run: Runs a program and gives what it printed. Tests pass a fake one.
    """
    board = board_name(root)
    frequency = [root / f"sys/devices/system/cpu/cpu{cpu}/cpufreq" for cpu in usable_cpus()]
    temperature, limit = read_temperature(root, board)
    return State(
        time=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        load=_load(root),
        governors=tuple(sorted({name for path in frequency if (name := text(path / "scaling_governor"))})),
        clock_khz=read_clock(root),
        temperature_celsius=temperature,
        temperature_limit_celsius=limit,
        throttled=_throttled(root, board, run),
        on_battery=_on_battery(root),
    )


def read_clock(root: Path = Path("/")) -> int | None:
    """Return the highest clock in kHz of the CPUs that this process may use, or None if the machine does not say."""
    paths = (root / f"sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_cur_freq" for cpu in usable_cpus())
    return max((khz for path in paths if (khz := number(path))), default=None)


def read_cpu_times(root: Path = Path("/"), cpus: Collection[int] | None = None) -> CpuTimes | None:
    """Sum what the CPUs did since boot, from their lines in /proc/stat.

    Args:
        root: Where /proc is.
        cpus: Their numbers; those that this process may use if not given.

    Returns:
        None if a CPU has no such line: one that was switched off takes its past with it, and the difference to an
        earlier reading would be negative.
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


def throttle_reasons(throttled_before: int | None, throttled_now: int | None) -> tuple[str, ...]:
    """Say what slowed a Raspberry Pi down: what does so now, then what came up since `throttled_before`.

    What the board remembers from before the run is not the run's, so the bits since boot count only if they are new.

    Source: https://www.raspberrypi.com/documentation/computers/os.html#get_throttled
    """
    now = throttled_now or 0
    new = now & ~throttled_before if throttled_before is not None else 0
    active = [word for bit, word in enumerate(_THROTTLE_WORDS) if now >> bit & 1]
    since = [f"{word} during the run" for bit, word in enumerate(_THROTTLE_WORDS) if new >> (_SINCE_BOOT + bit) & 1]
    return (*active, *since)


def _throttled(root: Path, board: str | None, run: Run) -> int | None:
    """Ask the firmware, then the kernel.

    `vcgencmd` answers for this moment and remembers all since boot, but wants the group `video`. The kernel's file can
    be read by all, but is the answer to a poll every 2 seconds that also clears the memory, and its first reader leaves
    a warning in the kernel's log (drivers/firmware/raspberrypi.c, drivers/hwmon/raspberrypi-hwmon.c). A kernel that is
    not Raspberry Pi's has only the under-voltage alarm: no alarm says nothing of the other bits, so it stays None.
    """
    if board is None or not board.startswith("Raspberry Pi"):
        return None
    try:
        bits = throttle_bits(run(["vcgencmd", "get_throttled"]))
    except subprocess.TimeoutExpired:
        return None  # Not the kernel's file: its shorter memory, compared with an earlier answer, would show false news.
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


def _memory_bytes(root: Path) -> int | None:
    for line in (text(root / "proc/meminfo") or "").splitlines():
        key, *values = line.split()
        if key == "MemTotal:" and values and values[0].isdecimal():
            return int(values[0]) * 1024
    return None
