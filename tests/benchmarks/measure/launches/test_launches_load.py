"""The load of a machine while files are timed: what is ours, what is others', and when it is not known."""

import resource
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from edgecnn.benchmarks.machine.host import CpuTimes, State
from edgecnn.benchmarks.machine.noise import Load, machine_noise
from edgecnn.benchmarks.measure import launches
from edgecnn.benchmarks.measure.launches import measure
from edgecnn.benchmarks.measure.options import Plan
from edgecnn.benchmarks.timing.worker import ModelProcess
from edgecnn.edge.result import SILENT
from tests.benchmarks.measure.fake_machine import PLAN, Machine
from tests.benchmarks.measure.launching import NAMES, Stepping, candidates, nothing


def figures_of(load: Load | None) -> list[float]:
    assert load
    return [load.seconds, load.others_cores, load.stolen_cores]


def test_the_tools_that_read_the_machine_are_not_others(
    machine: Machine, exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def used() -> float:
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        return ended.ru_utime + ended.ru_stime

    def read_state() -> State:
        before = used()
        subprocess.run([sys.executable, "-c", "pass"], check=True)
        machine.busy += used() - before
        return machine.read_state()

    monkeypatch.setattr(launches, "read_state", read_state)
    result, _ = measure(candidates(exported, *NAMES), PLAN, nothing, SILENT)
    assert figures_of(result.load) == pytest.approx([18, 0.25, 0.5])


def test_load_is_what_is_left_after_our_own_processes_and_the_parents_work(machine: Machine, exported: Path) -> None:
    # 18 rounds of 1 s; opening took 50 s each and is no part of it.
    result, _ = measure(candidates(exported, *NAMES), PLAN, nothing, SILENT)
    assert figures_of(result.load) == pytest.approx([18, 0.25, 0.5])

    def step(done: int, total: int, text: str, detail: str = "") -> None:
        machine.own += 2
        machine.busy += 2

    result, _ = measure(candidates(exported, *NAMES), PLAN, nothing, Stepping(step))
    assert figures_of(result.load) == pytest.approx([18, 0.25, 0.5])


def test_load_is_never_below_zero(machine: Machine, exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Ticks of a counter that a process's own time is finer than.
    monkeypatch.setattr(machine, "read_cpu_times", lambda cpus: CpuTimes(-machine.busy, -machine.stolen))
    result, _ = measure(candidates(exported, *NAMES), PLAN, nothing, SILENT)
    assert result.load == Load(18, 0, 0)


@pytest.mark.parametrize("silent", [0, 1, 2, 3])
def test_load_is_unknown_if_one_reading_is_missing(
    silent: int, machine: Machine, exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readings = [CpuTimes(0, 0) if index != silent else None for index in range(4)]
    readings += [CpuTimes(0, 0), CpuTimes(0, 0)]  # For the extras.
    monkeypatch.setattr(machine, "read_cpu_times", lambda cpus: readings.pop(0))
    result, _ = measure(candidates(exported, *NAMES), PLAN, nothing, SILENT)
    assert result.load is None


def test_what_other_cpus_did_and_what_a_quota_took_while_files_were_timed_is_in_the_load(
    machine: Machine, exported: Path
) -> None:
    machine.outside, machine.throttled = (8, 9, 10), 40.0
    result, _ = measure(candidates(exported, *NAMES), PLAN, nothing, SILENT)
    assert result.load
    assert (result.load.outside_cores, result.load.outside_cpus) == (1.5, 3)
    assert result.load.throttled_seconds == pytest.approx(3.6)
    assert [item.name for item in machine_noise((), (), result.load)] == ["load", "load", "throttled", "neighbours"]


def test_a_process_that_dies_with_its_profiler_costs_the_load_of_the_extras_alone(exported: Path) -> None:
    def finish(processes: Sequence[ModelProcess], launches: object) -> None:
        processes[0]._child.kill()

    plan = Plan(min_seconds=0, min_runs=2, launches=1, rounds=1)
    result, _ = measure(candidates(exported, "int8.tflite", "float32.onnx"), plan, finish, SILENT)
    assert result.extras_load is None
    assert result.load


def test_the_load_of_the_extras_is_theirs(machine: Machine, exported: Path) -> None:
    def finish(processes: Sequence[ModelProcess], launches: object) -> None:
        machine.now += 10
        machine.busy += 4
        machine.stolen += 1

    result, _ = measure(candidates(exported, *NAMES), PLAN, finish, SILENT)
    assert figures_of(result.extras_load) == pytest.approx([10, 0.4, 0.1])
    assert figures_of(result.load) == pytest.approx([18, 0.25, 0.5])
