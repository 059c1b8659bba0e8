"""A disturbance of a launch makes its verdict invalid, and nothing else does."""

import importlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgecnn.benchmarks.gate.accuracy import KERAS_REFERENCE
from edgecnn.benchmarks.gate.budget import Budget
from edgecnn.benchmarks.gate.checks import judge
from edgecnn.benchmarks.gate.gate import INVALID, Figures, Policy
from edgecnn.benchmarks.gate.tally import compare
from edgecnn.benchmarks.machine.host import read_cpu_times
from edgecnn.benchmarks.machine.host_text import usable_cpus
from edgecnn.benchmarks.machine.noise import machine_noise, time_noise
from edgecnn.benchmarks.measure import launches
from edgecnn.benchmarks.measure.launches import Candidate, Measured, measure
from edgecnn.benchmarks.measure.options import Plan
from edgecnn.benchmarks.results.latency_summary import launch_noise, launch_percentile, round_medians
from edgecnn.benchmarks.timing.requests import Open
from edgecnn.benchmarks.timing.worker import ModelProcess
from edgecnn.edge.result import SILENT
from edgecnn.edge.runtimes import opener_for
from edgecnn.edge.runtimes.base import Opener
from tests.benchmarks.measure.launching import Stepping, candidates, nothing


def times_of(result: Measured, index: int = 0) -> Any:
    return np.concatenate([item.measured.unpack() for launch in result.launches[index] for item in launch.rounds])


def figures(candidate: Candidate, result: Measured) -> Figures:
    """Return figures that only the times can fail."""
    labels = np.zeros(1000, np.int64)
    probabilities = np.tile(np.array([[1, 0, 0]], np.float32), (1000, 1))
    p90 = launch_percentile(result.launches[0], 90)
    return Figures(candidate.name, True, 1, 1, p90, compare(probabilities, probabilities, labels), KERAS_REFERENCE)


LAX = Budget(max_drop_points=1, max_p90_ms=1e9)
TIGHT = Budget(max_drop_points=1, max_p90_ms=1e-6)


@pytest.fixture
def busy_processes() -> Iterator[None]:
    """Run a process on each CPU that this one may use, which only keeps it busy."""
    code = "import os, sys\nos.sched_setaffinity(0, [int(sys.argv[1])])\nprint('working', flush=True)\nwhile True: pass"
    processes = [
        subprocess.Popen([sys.executable, "-c", code, str(cpu)], stdout=subprocess.PIPE, text=True) for cpu in usable_cpus()
    ]
    try:
        for process in processes:
            assert process.stdout
            assert process.stdout.readline() == "working\n"
        yield
    finally:
        for process in processes:
            process.kill()
            process.communicate()


@pytest.mark.skipif(read_cpu_times() is None, reason="This system does not report the use of its CPUs.")
@pytest.mark.usefixtures("busy_processes")
def test_busy_other_processes_make_the_verdict_invalid_for_load(exported: Path) -> None:
    (file,) = candidates(exported, "int8.tflite")
    plan = Plan(min_seconds=1, min_runs=100, launches=1, rounds=1)
    result, _ = measure([file], plan, nothing, SILENT)
    noise = machine_noise((), (), result.load)
    assert noise[0].name == "load"
    assert noise[0].text.startswith("other processes used ")
    verdict = judge(figures(file, result), LAX, noise)
    assert verdict.status == INVALID
    assert "can't be judged: other processes" in verdict.checks[1].text


DELAYED = """
import time
from pathlib import Path

from edgecnn.edge.runtimes import opener_for


class Delayed:
    def __init__(self, data, threads, signature=None, streaming=False):
        self.real = opener_for("tflite").open_model(data, threads, signature)
        self.name, self.version = self.real.name, self.real.version
        self.input_spec, self.output_spec = self.real.input_spec, self.real.output_spec
        self.seen = {}

    def run(self, batch):
        if CONDITION:
            time.sleep(0.02)
        return self.real.run(batch)
"""


@pytest.fixture
def delayed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Opener]]:
    """Return what makes a runtime of which the child is delayed by 20 ms at every inference where a condition holds."""

    def runtime(condition: str) -> Opener:
        (tmp_path / "delayed_runtime.py").write_text(DELAYED.replace("CONDITION", condition))
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        return Opener(opener_for("tflite").import_library, importlib.import_module("delayed_runtime").Delayed)

    yield runtime
    del sys.modules["delayed_runtime"]  # The next test's has another folder.


@pytest.fixture
def slowed(delayed: Callable[[str], Opener], tmp_path: Path) -> tuple[Opener, Path]:
    """A runtime that is delayed as long as a file exists, and the file."""
    return delayed('Path(__file__).with_name("slow").exists()'), tmp_path / "slow"


@pytest.mark.parametrize(
    ("slow_rounds", "names"),
    [((5, 6, 7, 8), {"drift", "rounds"}), ((2, 4, 6, 8), {"rounds"})],
    ids=["second half", "every other"],
)
def test_a_child_that_is_slowed_in_half_of_its_rounds_makes_the_verdict_invalid(
    slow_rounds: tuple[int, ...], names: set[str], slowed: tuple[Opener, Path], exported: Path
) -> None:
    opener, flag = slowed

    def step(done: int, total: int, text: str, detail: str = "") -> None:
        if any(f"round {number} of 8," in detail for number in slow_rounds):
            flag.touch()
        else:
            flag.unlink(missing_ok=True)

    (file,) = candidates(exported, "int8.tflite", opener=opener)
    result, _ = measure([file], Plan(min_seconds=0, min_runs=64, launches=1, rounds=8), nothing, Stepping(step))
    assert times_of(result).max() >= 20_000_000  # Nothing is dropped.
    noise = time_noise(file.name, round_medians(result.launches[0]).ravel().tolist(), [True])
    # Whatever else this machine does meanwhile, it is no factor of hundreds.
    assert names <= {item.name for item in noise} <= {"drift", "rounds"}
    verdict = judge(figures(file, result), LAX, noise)
    assert verdict.status == INVALID
    assert "disagree, their medians" in verdict.checks[1].text
    assert judge(figures(file, result), Budget(max_drop_points=1), noise).status != INVALID


STOPPING = """
import os, signal, sys, time
try:
    while True:
        os.kill(int(sys.argv[1]), signal.SIGSTOP)
        time.sleep(0.05)
        os.kill(int(sys.argv[1]), signal.SIGCONT)
        os.write(1, b".")
        time.sleep(0.15)
except ProcessLookupError:
    pass
"""


@pytest.mark.parametrize("threads", [1, 2])
def test_a_child_that_is_stopped_again_and_again_while_it_is_timed_makes_the_verdict_invalid(
    threads: int, exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stopped(ModelProcess):
        def __init__(self, request: Open) -> None:
            super().__init__(request)
            command = [sys.executable, "-c", STOPPING, str(self._child.pid)]
            self._stopper = subprocess.Popen(command, stdout=subprocess.PIPE)
            self._stopper.stdout.read(1)  # type: ignore[union-attr] # On a busy board it may start after a round has ended.

        def close(self) -> None:
            with self._stopper:
                self._stopper.kill()
            os.kill(self._child.pid, signal.SIGCONT)
            super().close()

    monkeypatch.setattr(launches, "ModelProcess", Stopped)
    (file,) = candidates(exported, "int8.tflite")
    file = replace(file, request=replace(file.request, threads=threads))
    result, _ = measure([file], Plan(min_seconds=2, min_runs=200, launches=2, rounds=1), nothing, SILENT)
    found = [item for item in launch_noise(file.name, result.launches[0]) if item.name == "preempted"]
    assert [item.file for item in found] == ["int8.tflite"]
    assert "stopped" in found[0].text
    assert judge(figures(file, result), TIGHT, tuple(found)).status == INVALID
    assert judge(figures(file, result), TIGHT, tuple(found), Policy(allow=("preempted",))).status != INVALID
    # Being stopped only adds time: a limit that is kept anyway is kept.
    assert judge(figures(file, result), LAX, tuple(found)).status != INVALID


def test_a_runtime_that_waits_in_every_run_is_not_taken_for_one_that_is_preempted(
    slowed: tuple[Opener, Path], exported: Path
) -> None:
    opener, flag = slowed
    flag.touch()
    (file,) = candidates(exported, "int8.tflite", opener=opener)
    result, _ = measure([file], Plan(min_seconds=0, min_runs=20, launches=1, rounds=2), nothing, SILENT)
    (launch,) = result.launches[0]
    assert all(item.cpu_ns < item.measured.unpack().sum() / 2 for item in launch.rounds)
    assert all(item.waits is not None and item.waits >= item.measured.count for item in launch.rounds)
    assert "preempted" not in [item.name for item in launch_noise(file.name, result.launches[0])]


def test_a_model_whose_time_depends_on_its_input_does_not_make_the_machine_unstable(
    delayed: Callable[[str], Opener], exported: Path
) -> None:
    opener = delayed("self.seen.setdefault(batch.tobytes(), len(self.seen)) < 2")
    (file,) = candidates(exported, "int8.tflite", opener=opener)
    result, _ = measure([file], Plan(min_seconds=0, min_runs=24, launches=2, rounds=4), nothing, SILENT)
    # Two of a round's inputs take 20 ms, the third some µs: with other inputs in each round medians are either.
    assert round_medians(result.launches[0]).min() >= 20_000_000
    for launch in result.launches[0]:
        for item in launch.rounds:
            slow = item.measured.unpack() >= 20_000_000
            assert slow.tolist() == [True, True, False] * (item.measured.count // 3)
