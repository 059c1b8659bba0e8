"""Reading the machine's state, from a tree of files as a Raspberry Pi has them."""

import re
from pathlib import Path

import pytest

from benchmarks.host import read_host

# Captured on a Raspberry Pi 4 with a 32-bit system; cores 1 to 3 left out.
PI_CPUINFO = """\
processor\t: 0
model name\t: ARMv7 Processor rev 3 (v7l)
BogoMIPS\t: 108.00
Features\t: half thumb fastmult vfp edsp neon vfpv3 tls vfpv4 idiva idivt vfpd32 lpae evtstrm crc32
CPU implementer\t: 0x41
CPU architecture: 7
CPU variant\t: 0x0
CPU part\t: 0xd08
CPU revision\t: 3

Hardware\t: BCM2711
Revision\t: c03111
Serial\t\t: 10000000d2a5b3c1
Model\t\t: Raspberry Pi 4 Model B Rev 1.1
"""
TEMPERATURE = "sys/class/thermal/thermal_zone0/temp"
PI = {
    "proc/cpuinfo": PI_CPUINFO,
    "proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.1\0",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "ondemand\n",
    TEMPERATURE: "48312\n",
}


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_an_empty_root_gives_none_for_all_that_files_say(tmp_path: Path) -> None:
    host = read_host(tmp_path)
    assert (host.board, host.cpu, host.governor, host.temperature_celsius) == (None, None, None, None)


@pytest.mark.parametrize("name", PI)
def test_an_empty_file_gives_none(name: str, tmp_path: Path) -> None:
    host = read_host(tree(tmp_path, {name: "\n"}))
    assert (host.board, host.cpu, host.governor, host.temperature_celsius) == (None, None, None, None)


def test_a_sensor_that_cannot_be_read_gives_none(tmp_path: Path) -> None:
    (tmp_path / TEMPERATURE).mkdir(parents=True)
    assert read_host(tmp_path).temperature_celsius is None


def test_a_cpuinfo_without_a_name_gives_none(tmp_path: Path) -> None:
    assert read_host(tree(tmp_path, {"proc/cpuinfo": "processor\t: 0\nmodel\t\t: 1\n"})).cpu is None


def test_a_raspberry_pi_says_what_it_is(tmp_path: Path) -> None:
    host = read_host(tree(tmp_path, PI))
    assert host.board == "Raspberry Pi 4 Model B Rev 1.1"
    assert host.cpu == "ARMv7 Processor rev 3 (v7l)"
    assert host.governor == "ondemand"
    assert host.temperature_celsius == 48.312


def test_bytes_that_are_no_text_do_not_stop_the_benchmark(tmp_path: Path) -> None:
    tree(tmp_path, PI)
    (tmp_path / "proc/device-tree/model").write_bytes(b"Board \xff\0")
    assert read_host(tmp_path).board == "Board \ufffd"


def test_this_machine_says_the_rest() -> None:
    host = read_host()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", host.time)
    assert host.machine
    assert host.cores >= 1
    assert host.load >= 0
    assert host.system.startswith("Linux ")
    assert re.match(r"3\.\d+\.", host.python)
