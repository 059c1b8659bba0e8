"""The state that a machine reports: heat, clocks, throttling, power and load."""

import dataclasses
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edgecnn.benchmarks.machine.host import CpuTimes, other_cpus, read_cpu_times, read_machine, read_state, throttle_reasons
from edgecnn.benchmarks.machine.host_text import Run, board_name, run_tool
from tests.benchmarks.machine.boards import no_tool, tree

PIS = ("raspberry-pi-3b-plus", "raspberry-pi-4", "raspberry-pi-5")
GET_THROTTLED = "sys/devices/platform/soc/soc:firmware/get_throttled"
ALARM = "sys/class/hwmon/hwmon1/in0_lcrit_alarm"
ZONE = "sys/class/thermal/thermal_zone0"


def failing_tool(command: list[str]) -> str:
    raise subprocess.CalledProcessError(255, command, stderr="VCHI initialization failed")


def hanging_tool(command: list[str]) -> str:
    raise subprocess.TimeoutExpired(command, 1)


def says(answer: str) -> Run:
    def run(command: list[str]) -> str:
        assert command == ["vcgencmd", "get_throttled"]
        return answer

    return run


@pytest.mark.parametrize(
    ("board", "celsius", "limit"),
    [
        ("raspberry-pi-3b-plus", 62.3, 60.0),  # Its soft limit; not the critical 90.
        ("raspberry-pi-4", 48.199, 80.0),  # Not the fan's 70.
        ("raspberry-pi-5", 47.4, 80.0),
        ("laptop-on-battery", 71.0, None),  # The package, not the hotter acpitz; its 65 is a user's alarm.
        ("workstation", 16.8, 19.8),  # No zone belongs to the CPU.
        ("container-on-a-pi", None, 80.0),
    ],
)
def test_a_board_says_how_hot_it_is_and_may_be(board: str, celsius: float | None, limit: float | None, tmp_path: Path) -> None:
    state = read_state(tree(tmp_path, board), no_tool)
    assert (state.temperature_celsius, state.temperature_limit_celsius) == (celsius, limit)


@pytest.mark.parametrize(
    ("model", "limit"),
    [
        ("Raspberry Pi 3 Model B Rev 1.2", 80.0),
        ("Raspberry Pi 3 Model A Plus Rev 1.0", 60.0),
        ("Raspberry Pi 3 Model B+", 60.0),
        ("Radxa ROCK 5B", None),
    ],
)
def test_only_the_3a_plus_and_3b_plus_slow_down_at_60_degrees(model: str, limit: float | None, tmp_path: Path) -> None:
    state = read_state(tree(tmp_path, "raspberry-pi-3b-plus", {"proc/device-tree/model": model}), no_tool)
    assert state.temperature_limit_celsius == limit


@pytest.mark.parametrize(
    ("trips", "limit"),
    [
        ([("passive", "-274000"), ("hot", "0")], None),
        ([("passive", "N/A"), ("hot", "-20000")], None),
        ([("critical", "70000"), ("active", "60000")], None),
        ([("critical", "115000"), ("passive", "95000"), ("passive", "85000"), ("hot", "100000")], 85.0),
        ([("critical", "115000"), ("hot", "100000")], 100.0),
    ],
)
def test_the_limit_is_the_lowest_trip_point_that_slows_down(
    trips: list[tuple[str, str]], limit: float | None, tmp_path: Path
) -> None:
    changes: dict[str, str | None] = {"proc/device-tree/model": "Radxa ROCK 5B", f"{ZONE}/trip_point_1_type": ""}
    for index, (kind, thousandths) in enumerate(trips):
        changes[f"{ZONE}/trip_point_{index}_type"] = kind
        changes[f"{ZONE}/trip_point_{index}_temp"] = thousandths
    assert read_state(tree(tmp_path, "raspberry-pi-4", changes), no_tool).temperature_limit_celsius == limit


@pytest.mark.parametrize("kind", ["cpu-thermal", "cpu_thermal", "x86_pkg_temp", "soc_thermal", "TCPU", "bigcore0-thermal"])
def test_the_cpus_zone_counts_although_another_is_hotter(kind: str, tmp_path: Path) -> None:
    changes: dict[str, str | None] = {
        f"{ZONE}/type": "gpu-thermal",
        f"{ZONE}/temp": "90000",
        "sys/class/thermal/thermal_zone10/type": kind,
        "sys/class/thermal/thermal_zone10/temp": "55000",
        "sys/class/thermal/thermal_zone11/type": kind,
        "sys/class/thermal/thermal_zone11/temp": "54000",
    }
    assert read_state(tree(tmp_path, "raspberry-pi-4", changes), no_tool).temperature_celsius == 55.0


@pytest.mark.parametrize("thousandths", ["0", "-274000", "200000", "255000000"])
def test_a_temperature_that_cannot_be_is_none(thousandths: str, tmp_path: Path) -> None:
    state = read_state(tree(tmp_path, "raspberry-pi-4", {f"{ZONE}/temp": thousandths}), no_tool)
    assert state.temperature_celsius is None


@pytest.mark.parametrize(
    ("board", "governors", "khz"),
    [
        ("raspberry-pi-3b-plus", ("ondemand",), 1200000),
        ("raspberry-pi-4", ("ondemand",), 1800000),
        ("laptop-on-battery", ("powersave",), 3400062),
        ("workstation", ("performance", "schedutil"), None),
        ("container-on-a-pi", (), None),
    ],
)
def test_governors_and_clock_are_those_of_all_cpus(
    board: str, governors: tuple[str, ...], khz: int | None, tmp_path: Path
) -> None:
    state = read_state(tree(tmp_path, board), no_tool)
    assert (state.governors, state.clock_khz) == (governors, khz)


def test_cpus_that_this_process_may_not_use_do_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {1})
    state = read_state(tree(tmp_path / "pi", "raspberry-pi-4"), no_tool)
    assert state.clock_khz == 600000
    assert read_state(tree(tmp_path / "pc", "workstation"), no_tool).governors == ("schedutil",)
    assert read_machine(tmp_path / "pi").cores == 1
    assert read_cpu_times(tmp_path / "pi") == read_cpu_times(tmp_path / "pi", [1])


@pytest.mark.parametrize(
    ("run", "throttled"),
    [
        (says("throttled=0xd0008\n"), 0xD0008),
        (says("throttled=0x0\n"), 0),
        (no_tool, 0x50005),
        (failing_tool, 0x50005),
        (says(""), 0x50005),
        (says('error=1 error_msg="Command not registered"'), 0x50005),
        (hanging_tool, None),  # Not the kernel's, which remembers less.
    ],
)
def test_vcgencmd_goes_before_the_kernels_file_which_forgets(run: Run, throttled: int | None, tmp_path: Path) -> None:
    assert read_state(tree(tmp_path / "4", "raspberry-pi-4"), run).throttled == throttled
    assert throttled != 0x50005 or read_state(tree(tmp_path / "5", "raspberry-pi-5"), run).throttled is None


@pytest.mark.parametrize(
    ("sensor", "alarm", "throttled"),
    [("rpi_volt", "0", None), ("rpi_volt", "N/A", None), ("rpi_volt", None, None), ("rpi_volt", "1", 1), ("ina219", "1", None)],
)
def test_the_boards_own_under_voltage_alarm_is_bit_0_and_no_alarm_says_nothing(
    sensor: str, alarm: str | None, throttled: int | None, tmp_path: Path
) -> None:
    changes = {GET_THROTTLED: None, "sys/class/hwmon/hwmon1/name": f"{sensor}\n", ALARM: alarm}
    assert read_state(tree(tmp_path, "raspberry-pi-4", changes), no_tool).throttled == throttled


def test_a_board_in_another_place_of_the_device_tree_is_found(tmp_path: Path) -> None:
    path = "sys/devices/platform/soc@107c000000/soc@107c000000:firmware/get_throttled"
    assert read_state(tree(tmp_path, "raspberry-pi-5", {path: "e0000"}), no_tool).throttled == 0xE0000


@pytest.mark.parametrize("board", ["laptop-on-battery", "workstation"])
def test_no_program_runs_on_another_machine(board: str, tmp_path: Path) -> None:
    def run(_: list[str]) -> str:
        raise AssertionError

    assert read_state(tree(tmp_path, board), run).throttled is None


def test_a_program_that_is_not_there_fails_or_hangs_raises_what_reading_expects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FileNotFoundError):
        run_tool(["vcgencmd", "get_throttled"])
    monkeypatch.setattr("edgecnn.benchmarks.machine.host_text.TOOL_TIMEOUT_SECONDS", 0.05)
    with pytest.raises(subprocess.TimeoutExpired):
        run_tool([sys.executable, "-c", "import time; time.sleep(60)"])
    monkeypatch.setattr("edgecnn.benchmarks.machine.host_text.TOOL_TIMEOUT_SECONDS", 60)
    with pytest.raises(subprocess.CalledProcessError):
        run_tool([sys.executable, "-c", "raise SystemExit(255)"])
    assert run_tool([sys.executable, "-c", "print('throttled=0x0')"]) == "throttled=0x0\n"


@pytest.mark.parametrize(
    ("before", "now", "reasons"),
    [
        (None, None, ()),
        (0, None, ()),
        (0x50000, 0x50000, ()),  # From before the run.
        (None, 0x50000, ()),  # The time of the event is unknown.
        (0, 0xFFF0, ()),
        (0x50000, 0xD0000, ("soft temperature limit during the run",)),
        (0, 0x70000, ("under-voltage during the run", "frequency capped during the run", "throttled during the run")),
        (0xF0000, 0xF000F, ("under-voltage", "frequency capped", "throttled", "soft temperature limit")),
        (0xF000F, 0xF0004, ("throttled",)),
        (None, 1, ("under-voltage",)),
        (0, 0x10001, ("under-voltage", "under-voltage during the run")),
    ],
)
def test_throttling_counts_if_it_is_now_or_new(before: int | None, now: int | None, reasons: tuple[str, ...]) -> None:
    assert throttle_reasons(before, now) == reasons


BATTERY = "sys/class/power_supply/BAT0"
AC = "sys/class/power_supply/AC"


@pytest.mark.parametrize(
    ("board", "changes", "on_battery"),
    [
        ("laptop-on-battery", {}, True),
        ("laptop-on-battery", {f"{AC}/online": "1", f"{BATTERY}/status": "Not charging"}, False),
        ("laptop-on-battery", {f"{AC}/type": None, f"{AC}/online": None, f"{BATTERY}/status": "Full"}, False),
        ("laptop-on-battery", {f"{AC}/type": None, f"{BATTERY}/status": "Unknown"}, None),
        ("workstation", {}, False),
        ("workstation", {f"{AC}/type": None, f"{AC}/online": None}, None),  # The mouse's battery does not power the machine.
        ("raspberry-pi-5", {}, None),
    ],
)
def test_only_the_machines_own_battery_counts(
    board: str, changes: dict[str, str | None], on_battery: bool | None, tmp_path: Path
) -> None:
    assert read_state(tree(tmp_path, board, changes), no_tool).on_battery == on_battery


@pytest.mark.parametrize("spoil", [lambda stat: stat.replace("cpu2 ", "cpu9 "), lambda stat: stat.replace(" 30 30 ", " x 30 ")])
def test_a_cpu_that_went_away_or_tells_nonsense_makes_the_sum_unknown(spoil: Callable[[str], str], tmp_path: Path) -> None:
    stat = tree(tmp_path, "raspberry-pi-4") / "proc/stat"
    stat.write_text(spoil(stat.read_text()))
    assert read_cpu_times(tmp_path) is None
    assert read_cpu_times(tmp_path, [0]) is not None


def test_an_old_kernels_short_line_gives_none(tmp_path: Path) -> None:
    assert read_cpu_times(tree(tmp_path, "raspberry-pi-4", {"proc/stat": "cpu0 1 2 3 4 5 6\n"}), [0]) is None


def test_busy_is_all_but_idle_iowait_and_steal_and_guests_count_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree(tmp_path, "raspberry-pi-4")
    monkeypatch.setattr(os, "sysconf", {"SC_CLK_TCK": 100}.__getitem__)
    assert read_cpu_times(tmp_path, [0]) == CpuTimes(busy_seconds=13.3, steal_seconds=0.3)
    assert read_cpu_times(tmp_path) == CpuTimes(busy_seconds=61.0, steal_seconds=1.25)
    monkeypatch.setattr(os, "sysconf", {"SC_CLK_TCK": 1000}.__getitem__)
    assert read_cpu_times(tmp_path, {0}) == CpuTimes(busy_seconds=1.33, steal_seconds=0.03)


@pytest.mark.parametrize("board", PIS)
def test_load_is_the_last_minutes(board: str, tmp_path: Path) -> None:
    loads = {"raspberry-pi-3b-plus": 0.52, "raspberry-pi-4": 0.08, "raspberry-pi-5": 0.0}
    assert read_state(tree(tmp_path, board), no_tool).load == loads[board]


def test_a_board_is_read_once(tmp_path: Path) -> None:
    tree(tmp_path, "raspberry-pi-5")
    before = board_name(tmp_path)
    (tmp_path / "proc/device-tree/model").unlink()
    (tmp_path / "proc/cpuinfo").unlink()
    assert board_name(tmp_path) == before == "Raspberry Pi 5 Model B Rev 1.0"


def test_this_machine_says_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # Its own CPUs.
    machine, state, times = read_machine(), read_state(), read_cpu_times()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", state.time)
    assert machine.machine == os.uname().machine
    assert machine.cores == len(os.sched_getaffinity(0))
    assert machine.system.startswith("Linux ")
    assert re.match(r"3\.\d+\.", machine.python)
    assert state.load is None or state.load >= 0
    assert times is None or times.busy_seconds > 0
    assert json.loads(json.dumps(dataclasses.asdict(state)))["time"] == state.time
    assert json.loads(json.dumps(dataclasses.asdict(machine)))["cores"] == machine.cores


def test_cpus_outside_the_affinity_mask_are_those_that_may_not_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stat = tmp_path / "proc/stat"
    assert other_cpus(tmp_path) == ()
    stat.parent.mkdir()
    stat.write_text("cpu  9 0 0 0 0 0 0 0\ncpu0 1 0 0 0 0 0 0 0\ncpu2 3 0 0 0 0 0 0 0\ncpu11 5 0 0 0 0 0 0 0\nintr 7\n")
    monkeypatch.setattr("edgecnn.benchmarks.machine.host.usable_cpus", lambda: [2])
    assert other_cpus(tmp_path) == (0, 11)
    assert read_cpu_times(tmp_path, other_cpus(tmp_path)) == CpuTimes(6 / os.sysconf("SC_CLK_TCK"), 0)
    monkeypatch.setattr("edgecnn.benchmarks.machine.host.usable_cpus", lambda: [0, 2, 11])
    assert other_cpus(tmp_path) == ()
