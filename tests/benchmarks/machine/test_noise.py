"""What makes times too noisy: each reason just beyond its limit, at it, and on captured boards up to the verdict."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgecnn.benchmarks.gate.budget import Budget
from edgecnn.benchmarks.gate.checks import judge
from edgecnn.benchmarks.gate.gate import INVALID, PASS
from edgecnn.benchmarks.machine.host import State, read_state
from edgecnn.benchmarks.machine.noise import NAMES, Load, Noise, machine_noise, time_noise
from edgecnn.benchmarks.results.latency_summary import cpu_noise
from edgecnn.benchmarks.results.records import Round
from edgecnn.benchmarks.statistics.percentiles import Percentile
from edgecnn.benchmarks.timing.times import Times
from tests.benchmarks.gate.judged import figures
from tests.benchmarks.machine.boards import no_tool, tree

SILENT = State("2026-01-02T03:04:05Z", None, (), None, None, None, None, None)
QUIET = State("2026-01-02T03:04:05Z", 0.1, ("performance",), 1_800_000, 79.9, 80.0, 0, on_battery=False)
STEADY = [100_000.0] * 8
RISING = [100.0] * 6 + [106.0] * 2


def texts(*states: State, clocks: tuple[int, ...] = (), load: Load | None = None) -> list[str]:
    found = machine_noise(states, clocks, load)
    assert all(item.file is None for item in found)
    return [f"{item.name}: {item.text}" for item in found]


@pytest.mark.parametrize("moved", ["before", "during", "after"])
def test_a_clock_that_moved_by_more_than_a_twentieth_under_another_governor_is_noise(moved: str) -> None:
    states = [replace(QUIET, governors=("ondemand",)) if when == moved else QUIET for when in ("before", "during", "after")]
    (text,) = texts(*states, clocks=(1_000_000, 2_400_000, 1_700_000))
    assert re.match("governor: .*1,000 and 2,400 MHz.*ondemand: ", text)
    assert text.endswith("sudo cpupower frequency-set -g performance")
    assert len(texts(*states, clocks=(949_999, 1_000_000))) == 1
    assert texts(*states, clocks=(950_000, 1_000_000)) == []


def test_every_other_governor_is_named_and_performance_is_not() -> None:
    states = (replace(QUIET, governors=("performance", "schedutil")), replace(QUIET, governors=("powersave",)))
    assert "under governor powersave, schedutil: " in texts(*states, clocks=(1, 2))[0]


@pytest.mark.parametrize(
    ("governors", "clocks"), [(("performance",), (1, 2)), ((), (1, 2)), (("ondemand",), ()), (("ondemand",), (2, 2))]
)
def test_no_governor_noise_without_both_a_governor_and_a_clock_that_moved(
    governors: tuple[str, ...], clocks: tuple[int, ...]
) -> None:
    assert texts(replace(QUIET, governors=governors), clocks=clocks) == []


@pytest.mark.parametrize(
    ("celsius", "told"), [((80, 79, 79), 80), ((79, 80, 79), 80), ((79, 79, 80), 80), ((81, 84.6, 83), 85)]
)
def test_a_temperature_at_its_limit_is_noise_whenever_it_was_read_and_the_hottest_is_told(
    celsius: tuple[float, ...], told: int
) -> None:
    states = [replace(QUIET, temperature_celsius=value) for value in celsius]
    assert re.fullmatch(f"temperature: {told} °C.*limit of 80:.*", "\n".join(texts(*states)))


@pytest.mark.parametrize(("celsius", "limit"), [(79.999, 80.0), (None, 80.0), (99.0, None), (None, None)])
def test_a_temperature_below_its_limit_or_unknown_is_none(celsius: float | None, limit: float | None) -> None:
    assert texts(replace(QUIET, temperature_celsius=celsius, temperature_limit_celsius=limit)) == []


def test_zero_degrees_at_a_limit_of_zero_is_still_told() -> None:
    assert texts(replace(QUIET, temperature_celsius=0.0, temperature_limit_celsius=0.0))


@pytest.mark.parametrize(
    ("bits", "text"),
    [
        ((0x1, 0x1), "under-voltage"),
        ((0, 0x4, 0), "throttled"),
        ((None, 0, 0x40000), "throttled during the run"),
        ((0x50000, 0x50000, 0xD0000), "soft temperature limit during the run"),
        ((0, 0x10001, 0x10000), "under-voltage, under-voltage during the run"),
    ],
    ids=["before", "between", "unknown at first", "new since the start", "gone again"],
)
def test_throttling_now_or_during_the_run_is_noise(bits: tuple[int, ...], text: str) -> None:
    states = [replace(QUIET, throttled=value) for value in bits]
    (found,) = texts(*states)
    assert found.startswith(f"throttled: {text}: use a stronger")


@pytest.mark.parametrize("bits", [(0x50000, 0x50000), (None, None), (0, None, 0)])
def test_throttling_from_before_the_run_is_none(bits: tuple[int | None, ...]) -> None:
    assert texts(*(replace(QUIET, throttled=value) for value in bits)) == []


@pytest.mark.parametrize("place", [0, 1])
def test_a_moment_on_battery_is_noise(place: int) -> None:
    states = [QUIET, QUIET]
    states[place] = replace(QUIET, on_battery=True)
    assert re.fullmatch("battery: .*ran on battery: .*", "\n".join(texts(*states)))


def test_other_processes_and_a_hypervisor_are_load_each_beyond_its_limit_and_the_minute_before_is_none() -> None:
    others, stolen = texts(QUIET, load=Load(10, 0.101, 0.021))
    assert re.match(r"load: other processes.* 0\.10 cores", others)
    assert re.match(r"load: .*hypervisor.* 0\.02 cores", stolen)
    assert len(texts(QUIET, load=Load(10, 0.101, 0))) == len(texts(QUIET, load=Load(10, 0, 0.021))) == 1
    assert texts(QUIET, load=Load(10, 0.10, 0.02)) == []
    assert texts(replace(QUIET, load=8.0)) == []


@pytest.mark.parametrize("state", [QUIET, SILENT], ids=["quiet", "silent"])
def test_a_machine_that_is_quiet_or_says_nothing_has_no_noise(state: State) -> None:
    assert texts(state, state, state, clocks=(1_800_000, 1_800_000), load=Load(10, 0, 0)) == []
    assert texts(state, state, state) == []


def test_a_warm_up_that_did_not_settle_is_noise_and_counted() -> None:
    (found,) = time_noise("int8.tflite", STEADY, [True, False, True, False, True])
    assert (found.name, found.file) == ("warm-up", "int8.tflite")
    assert all(said in found.text for said in ("the times of int8.tflite", "not settled after 5 s", "in 2 of 5 launches"))
    assert time_noise("int8.tflite", STEADY, [True] * 5) == ()


@pytest.mark.parametrize(
    ("medians", "found"),
    [
        *((([100.0] * 4 + [99.0, 101.0] * 6 + [last] * 4), ["drift"]) for last in (105.1, 94.9)),
        *((([100.0] * 4 + [99.0, 101.0] * 6 + [last] * 4), []) for last in (104.9, 95.1)),
        ([100.0] * 19 + [150.0], []),  # One round out of step.
        ([150.0] + [100.0] * 19, []),
        ([100.0, 100.0, 109.0], []),  # Fewer than four rounds have no quarter.
        ([100.0, 103.0, 105.0, 109.0], ["drift"]),
        # Of eleven, the tenth and ninetieth percentiles are the second and the tenth in order.
        ([100, 100, 95, 100, 105.1, 95, 100, 105.1, 100, 100, 100], ["rounds"]),
        ([100, 100, 95, 100, 105, 95, 100, 105, 100, 100, 100], []),
        ([100, 100, 10, 100, 100, 100, 100, 900, 100, 100, 100], []),
        (STEADY, []),
        ([100.0], []),
    ],
)
def test_drift_beyond_five_percent_and_rounds_more_than_a_tenth_apart_are_noise(medians: list[float], found: list[str]) -> None:
    assert [item.name for item in time_noise("int8.tflite", medians, [True])] == found


def test_drift_is_told_with_its_direction_and_rounds_in_microseconds() -> None:
    (up,), (down,) = (time_noise("int8.tflite", medians, [True]) for medians in (RISING, RISING[::-1]))
    text = "the medians of the last rounds of int8.tflite differ by +6% from the first's: let the machine settle"
    assert up == Noise("drift", "int8.tflite", text)
    assert "differ by -6% from" in down.text
    (found,) = time_noise("int8.tflite", [100e3, 100e3, 80e3, 100e3, 120e3, 80e3, 100e3, 120e3, 100e3, 100e3, 100e3], [True])
    text = "the rounds of int8.tflite disagree, their medians go from 80.0 to 120.0 µs (p10 to p90)"
    assert found == Noise("rounds", "int8.tflite", text)


def test_every_name_that_allow_takes_can_be_found() -> None:
    bad = State("2026-01-02T03:04:05Z", 3, ("powersave",), 600_000, 85, 80, 0xF, on_battery=True)
    found = machine_noise([bad], [600_000, 1_500_000], Load(1, 0.5, 0, 2.0, 4))
    found += cpu_noise("int8.tflite", [replace(WORKING, cpu_ns=1)])
    found += time_noise("int8.tflite", [100.0, 110.0, 120.0, 130.0], [False])
    assert tuple(item.name for item in found) == NAMES


@pytest.mark.parametrize(("outside", "found"), [(6.21, ["neighbours"]), (6.2, []), (None, [])])
def test_cpus_that_the_benchmark_may_not_use_are_neighbours_if_a_tenth_of_them_is_busy(
    outside: float | None, found: list[str]
) -> None:
    load = Load(10, 0.0, 0.0, outside_cores=outside, outside_cpus=62)
    assert [item.name for item in machine_noise([QUIET], (), load)] == found
    assert all("6.21 of the 62 CPUs" in item for item in texts(QUIET, load=load))


@pytest.mark.parametrize(("stopped", "found"), [(0.11, ["throttled"]), (0.1, []), (0.0, []), (None, [])])
def test_a_quota_that_stopped_the_benchmark_for_a_hundredth_of_the_time_is_noise(
    stopped: float | None, found: list[str]
) -> None:
    load = Load(10, 0.0, 0.0, throttled_seconds=stopped)
    assert [item.name for item in machine_noise([QUIET], (), load)] == found
    assert all("for 0.11 of 10 s" in item for item in texts(QUIET, load=load))


WORKING = Round(Times.pack([]), Times.pack([1000] * 1000), cpu_ns=1_000_000, clock_khz=None, waits=3, stops=0)
TYPICALLY_800 = Times.pack([800] * 600 + [1300] * 400)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, False),
        ({"cpu_ns": 909_090}, True),
        ({"cpu_ns": 909_091}, False),
        ({"cpu_ns": 204_000}, True),
        ({"cpu_ns": 2_000_000}, False),  # Two threads.
        ({"cpu_ns": 1_500_000, "stops": 1}, True),  # Two threads, a quarter of the time stopped.
        ({"cpu_ns": 100_000, "waits": 1000}, False),  # A device does the work.
        ({"cpu_ns": 100_000, "waits": 999}, True),
        ({"cpu_ns": 100_000, "waits": 1000, "stops": 2}, True),
        ({"cpu_ns": 100_000, "waits": None, "stops": None}, True),
        ({"cpu_ns": 800_000, "measured": TYPICALLY_800, "waits": 1000}, True),  # A typical run waits for nothing.
    ],
)
def test_a_process_that_was_kept_from_its_cpu_is_noise_and_one_that_waits_in_every_run_is_not(
    changes: dict[str, Any], found: bool
) -> None:
    seen = cpu_noise("int8.tflite", [replace(WORKING, **changes)] * 2)
    assert [(item.name, item.file) for item in seen] == [("preempted", "int8.tflite")] * found


def test_how_much_of_the_time_was_lost_is_said() -> None:
    (seen,) = cpu_noise("int8.tflite", [WORKING, replace(WORKING, cpu_ns=500_000, stops=3)])
    assert re.search("CPU for 25%.*stopped 3 times", seen.text)


def captured(root: Path, name: str) -> list[State]:
    """Return the board as captured, after a start at which nothing was wrong."""
    state = read_state(tree(root, name), no_tool)
    start = replace(state, throttled=0, temperature_celsius=20.0, on_battery=False)
    return [start, state]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (
            "raspberry-pi-4",
            "throttled, throttled during the run, under-voltage, under-voltage during the run: "
            "use a stronger power supply, or cool it (throttled)",
        ),
        ("raspberry-pi-3b-plus", "62 °C is at the limit of 60: cool it (temperature)"),
        ("laptop-on-battery", "the machine ran on battery: plug it in (battery)"),
    ],
)
def test_a_captured_board_in_trouble_makes_a_latency_verdict_invalid_and_leaves_accuracy(
    name: str, reason: str, tmp_path: Path
) -> None:
    noise = machine_noise(captured(tmp_path, name), (), None)
    judged = figures(p90=Percentile(90, 1000, 64, 1, 1, 1))
    verdict = judge(judged, Budget(max_p90_ms=1e-5), noise)
    assert verdict.status == INVALID
    assert reason in verdict.checks[1].text
    assert verdict.checks[1].text.startswith("p90 is 1e-06 ms")
    assert judge(judged, Budget(), noise).status == PASS
