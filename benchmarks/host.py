"""The machine that measures, and its state."""

import os
import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path


@dataclass(frozen=True)
class Host:
    """What a figure depends on besides the model. None where the machine does not say.

    Attributes:
        time: UTC, ISO 8601.
        machine: Architecture, as `x86_64` or `aarch64`.
        board: A device tree's model, as `Raspberry Pi 5 Model B Rev 1.0`.
        cpu: The processor's name.
        cores: How many this process may use.
        governor: CPU frequency governor of the first core.
        temperature_celsius: The first thermal zone.
        load: Mean number of runnable processes over the last minute.
        system: Kernel name and release.
        python: Version.
    """

    time: str
    machine: str
    board: str | None
    cpu: str | None
    cores: int
    governor: str | None
    temperature_celsius: float | None
    load: float
    system: str
    python: str


def read_host(root: Path = Path("/")) -> Host:
    """Read the machine's state from /proc and /sys below `root`."""
    temperature = _text(root / "sys/class/thermal/thermal_zone0/temp")
    return Host(
        time=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        machine=platform.machine(),
        board=_text(root / "proc/device-tree/model"),
        cpu=_cpu_name(root),
        cores=len(os.sched_getaffinity(0)),
        governor=_text(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        temperature_celsius=int(temperature) / 1000 if temperature else None,
        load=os.getloadavg()[0],
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
    )


def _cpu_name(root: Path) -> str | None:
    for line in (_text(root / "proc/cpuinfo") or "").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip()
    return None


def _text(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace").strip().rstrip("\0") or None
    except OSError:
        return None
