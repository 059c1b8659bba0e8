"""Parses the texts in which a kernel and a board's tools report their state."""

import functools
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

TOOL_TIMEOUT_SECONDS = 1.0

ARM = "0x41"
ARM_CORES = {
    "0xb76": "ARM1176",
    "0xc07": "Cortex-A7",
    "0xd03": "Cortex-A53",
    "0xd04": "Cortex-A35",
    "0xd05": "Cortex-A55",
    "0xd07": "Cortex-A57",
    "0xd08": "Cortex-A72",
    "0xd09": "Cortex-A73",
    "0xd0b": "Cortex-A76",
    "0xd0c": "Neoverse-N1",
    "0xd40": "Neoverse-V1",
    "0xd41": "Cortex-A78",
    "0xd42": "Cortex-A78AE",
    "0xd49": "Neoverse-N2",
}
"""Part numbers of Arm's cores, from util-linux, sys-utils/lscpu-arm.c."""

_WIDEST = {"AVX-512": "avx512f", "AVX2": "avx2", "AVX": "avx"}
_FOR_BYTES = {"VNNI": {"avx512_vnni", "avx_vnni"}, "AMX": {"amx_int8"}}
"""Instructions by which runtimes choose their kernels on x86, with their flags in /proc/cpuinfo."""

CPU_ZONE = re.compile(r"cpu|x86_pkg|soc|(big|little)core", re.IGNORECASE)
"""Types of thermal zone that belong to the CPU: cpu-thermal, cpu_thermal, x86_pkg_temp, TCPU, soc_thermal, bigcore0-thermal."""
SANE_CELSIUS = (-40.0, 150.0)
"""Plausible range: a sensor that is off or broken reports 0, -274 or thousands."""
USER_TRIPS = "x86_pkg_temp"
"""A type whose `passive` trip points are a user's alarms, which slow nothing down.

Source: https://docs.kernel.org/driver-api/thermal/x86_pkg_temperature_thermal.html
"""
PI_CELSIUS = 80.0
PI_3_PLUS_CELSIUS = 60.0
"""From 80 °C on the firmware of every Raspberry Pi slows the cores down; the 3A+ and 3B+ go from 1.4 to 1.2 GHz at 60 °C.

Source: https://www.raspberrypi.com/documentation/computers/raspberry-pi.html#frequency-management-and-thermal-control
"""

Run = Callable[[list[str]], str]


def text(path: Path) -> str | None:
    """Read a small file without the NUL of a device tree's string; None if it is empty or can't be read."""
    try:
        return path.read_text(errors="replace").rstrip("\0").strip() or None
    except OSError:
        return None


def number(path: Path, base: int = 10) -> int | None:
    """Read a file that holds one whole number; None if it holds anything else."""
    try:
        return int(text(path) or "", base)
    except ValueError:
        return None


def run_tool(command: list[str]) -> str:
    """Return the output of a program.

    Raises:
        FileNotFoundError: If it is not on PATH.
        subprocess.SubprocessError: If it fails, or takes longer than a second.
    """
    program = shutil.which(command[0])
    if program is None:
        raise FileNotFoundError(command[0])
    return subprocess.run(
        [program, *command[1:]],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
        timeout=TOOL_TIMEOUT_SECONDS,
        encoding="utf-8",
        errors="replace",
    ).stdout


def usable_cpus() -> tuple[int, ...]:
    """Return the numbers of the CPUs that this process may use, as set by `taskset` or a container."""
    return tuple(sorted(os.sched_getaffinity(0)))


@functools.cache
def board_name(root: Path) -> str | None:
    """Return the device tree's model; in a container, which has no device tree, the copy in /proc/cpuinfo.

    It is read once: a board does not change, and /proc/cpuinfo of a large server takes long.
    """
    return text(root / "proc/device-tree/model") or next(
        (name for key, name in cpuinfo(text(root / "proc/cpuinfo") or "") if key == "Model"), None
    )


def cpu_name(content: str) -> str | None:
    """Name the CPU from the text of /proc/cpuinfo.

    The name of a known Arm core comes first: a 64-bit kernel reports no `model name`, and a 32-bit one a useless one
    (`ARMv7 Processor rev 4 (v7l)` on every board). On x86 its vector instructions follow, since virtual machines of different
    generations have one name: `AMD EPYC (AVX2)`, `AMD EPYC (AVX-512, VNNI)`.
    """
    names: dict[str, None] = {}  # A set that keeps the order of the CPUs.
    fallback = None
    implementer = None
    for key, value in cpuinfo(content):
        if key == "CPU implementer":
            implementer = value
        elif key == "CPU part" and implementer is not None:
            known = ARM_CORES.get(value.lower()) if implementer == ARM else None
            names[known or f"implementer {implementer} part {value}"] = None
        elif key == "model name":
            fallback = fallback or value
    if fallback and not set(names) & set(ARM_CORES.values()):
        vectors = _vectors(cpu_features(content))
        return f"{fallback} ({', '.join(vectors)})" if vectors else fallback
    return " + ".join(names) or None


def cpu_features(content: str) -> frozenset[str]:
    """Return the instructions that every core has, by the names in the text of /proc/cpuinfo."""
    cores = [frozenset(value.split()) for key, value in cpuinfo(content) if key in ("Features", "flags")]
    return frozenset.intersection(*cores) if cores else frozenset()


def _vectors(features: frozenset[str]) -> list[str]:
    widest = next((title for title, flag in _WIDEST.items() if flag in features), None)
    return [widest, *(title for title, flags in _FOR_BYTES.items() if flags & features)] if widest else []


def cpuinfo(content: str) -> list[tuple[str, str]]:
    """Yield the lines `key : value` of /proc/cpuinfo that have a value."""
    pairs = (line.partition(":") for line in content.splitlines())
    return [(key.strip(), value.strip()) for key, _, value in pairs if value.strip()]


def memory_bytes(content: str, name: str) -> int | None:
    """Return a size from the text of /proc/meminfo or a process's status, such as `MemTotal`; None if it is not there."""
    found = re.search(rf"^{name}:[ \t]*(\d+) kB", content, re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def throttle_bits(content: str) -> int | None:
    """Return the bits in the output of `vcgencmd get_throttled`, for example `throttled=0x50005`."""
    found = re.search(r"\bthrottled=0x([0-9a-fA-F]+)\b", content)
    return int(found[1], 16) if found else None


def read_temperature(root: Path, board: str | None) -> tuple[float | None, float | None]:
    """Read the hottest CPU sensor (without one, the hottest sensor) and the temperature at which the machine slows down, in °C.

    The limit is the zone's lowest `passive` or `hot` trip point. A `critical` one (90 or 110 °C on a Raspberry Pi, which
    has no other) is where the kernel switches the machine off, and an `active` one belongs to a fan, so neither counts:
    a Raspberry Pi's limit is set by its firmware, unknown to the kernel.
    """
    zones = []
    for path in sorted(root.glob("sys/class/thermal/thermal_zone*")):
        kind = text(path / "type") or ""
        celsius = _celsius(path / "temp")
        if celsius is not None:
            zones.append((CPU_ZONE.search(kind) is not None, celsius, kind, path))
    celsius, limit = None, None
    if zones:
        _, celsius, kind, path = max(zones, key=lambda zone: zone[:2])
        limit = None if kind == USER_TRIPS else _trip_celsius(path)
    if limit is None and board is not None and board.startswith("Raspberry Pi"):
        limit = PI_3_PLUS_CELSIUS if re.match(r"Raspberry Pi 3 Model [AB](\+| Plus)", board) else PI_CELSIUS
    return celsius, limit


def _trip_celsius(zone: Path) -> float | None:
    kinds = [path for path in zone.glob("trip_point_*_type") if text(path) in {"passive", "hot"}]
    trips = [_celsius(path.with_name(path.name.replace("_type", "_temp"))) for path in kinds]
    return min((trip for trip in trips if trip is not None and trip > 0), default=None)


def _celsius(path: Path) -> float | None:
    """Return a temperature that the kernel reports in thousandths; None if it is implausible."""
    thousandths = number(path)
    low, high = SANE_CELSIUS
    return thousandths / 1000 if thousandths and low < thousandths / 1000 < high else None
