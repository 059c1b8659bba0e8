"""Launches and rounds: on fake processes for what is counted, on real ones for who works when, and with injected trouble."""

import importlib
import resource
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks import launches
from benchmarks.accuracy import KERAS_REFERENCE, compare
from benchmarks.gate import INVALID, Budget, Figures, judge
from benchmarks.host import CpuTimes, State, read_cpu_times
from benchmarks.host_text import usable_cpus
from benchmarks.latency import Plan, RoundTimes, WarmUp
from benchmarks.launches import Candidate, Measured, measure
from benchmarks.noise import Load, machine_noise, time_noise
from benchmarks.percentiles import percentile
from benchmarks.process import ModelProcess
from benchmarks.requests import Classify, Memory, Open, Opened, ReadMemory, TimeEmpty
from benchmarks.requests import Round as TimeRound
from benchmarks.results import Launch, Round
from benchmarks.summary import round_medians
from benchmarks.times import Times
from edge.errors import ArtifactError
from edge.files import sha256
from edge.interface import SCHEMES, Interface
from edge.manifest import Manifest, TensorSpec
from edge.preprocess import Images
from edge.runtimes import Opener, opener_for

IMAGES: Images = np.random.default_rng(0).integers(0, 256, (4, 12, 12, 1)).astype(np.uint8)
NAMES = ("float32.tflite", "int8.tflite", "float32.onnx")
SPEC = TensorSpec("image", (1, 12, 12, 1), "float32")


def candidates(folder: Path, *names: str, opener: Opener | None = None) -> list[Candidate]:
    found = []
    for name in names:
        artifact = Manifest.load(folder).artifact(name)
        assert artifact
        request = Open(folder / name, artifact.sha256, opener or opener_for(artifact.format), 1, IMAGES)
        found.append(Candidate(name, artifact, request))
    return found


def nothing(*anything: object) -> None:
    """Be a `finish` that asks for nothing, or a progress that nobody sees."""


@dataclass
class Machine:
    """A clock, CPU counters and processes that only move when a fake process works: 1 s and 3 s of CPU for each round."""

    now: float = 100.0
    own: float = 7.0
    busy: float = 5_000.0
    stolen: float = 60.0
    states: int = 0
    log: list[tuple[str, int]] = field(default_factory=list)
    open: list["FakeProcess"] = field(default_factory=list)

    def read_state(self) -> State:
        self.states += 1
        self.log.append(("state", self.states))
        return State(f"{self.states}", None, (), None, None, None, None, None)

    def read_cpu_times(self) -> CpuTimes | None:
        return CpuTimes(self.busy, self.stolen)


class FakeProcess:
    """Answers with figures that differ from each other and from launch to launch."""

    machine: Machine
    started = 0

    def __init__(self, request: Open) -> None:
        FakeProcess.started += 1
        self.number = FakeProcess.started
        self.name = request.path.name
        self.cpu = 10.0 * self.number
        self.rounds = 0
        self.opened = Opened(
            f"fake {self.name}",
            1000 + self.number,
            2000 + self.number,
            WarmUp([30, 20], self.number % 2 == 0),
            self.cpu,
            SPEC,
            SPEC,
            any_batch=False,
            images_per_run=self.number,
            class_names=("a", "b", "c"),
            doubts=(),
        )
        self.machine.now += 50  # Opening is not timing.
        self.machine.busy += 50
        self.machine.log.append(("open", self.number))

    def __enter__(self) -> "FakeProcess":
        self.machine.open.append(self)
        return self

    def __exit__(self, *error: object) -> None:
        self.machine.open.remove(self)
        self.machine.log.append(("close", self.number))

    def ask(self, request: object) -> object:
        self.machine.log.append((type(request).__name__, self.number))
        match request:
            case TimeRound():
                assert (request.runs, request.seconds) == (2, 0.5)
                self.rounds += 1
                self.machine.now += 1
                self.machine.busy += 3 + 0.25  # A quarter is others'.
                self.machine.stolen += 0.5
                self.cpu += 3
                start = 100 * self.number + self.rounds
                return RoundTimes([9, 8, 7], [start, start + 50], 4000 + self.rounds), 1_000_000 + start
            case ReadMemory():
                return Memory(5000 + self.number, 6000 + self.number, self.cpu)
            case TimeEmpty():
                return RoundTimes([1], [request.runs, 2, 3], 0)
        raise AssertionError(request)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine()
    monkeypatch.setattr(FakeProcess, "machine", machine, raising=False)
    monkeypatch.setattr(FakeProcess, "started", 0)
    monkeypatch.setattr(launches, "ModelProcess", FakeProcess)
    monkeypatch.setattr(launches, "read_state", machine.read_state)
    monkeypatch.setattr(launches, "read_cpu_times", lambda: machine.read_cpu_times())  # Tests change it later.
    monkeypatch.setattr(launches, "time", SimpleNamespace(monotonic=lambda: machine.now, process_time=lambda: machine.own))
    return machine


PLAN = Plan(min_seconds=3, min_runs=12, launches=2, rounds=3)


def test_every_answer_has_its_place_in_the_launches(machine: Machine, exported: Path) -> None:
    result, _ = measure(candidates(exported, *NAMES), PLAN, nothing, nothing)
    assert [(opened.runtime, opened.images_per_run) for opened in result.opened] == [
        (f"fake {name}", number) for number, name in enumerate(NAMES, 4)
    ]
    assert [state.time for state in result.during] == ["1", "2", "3", "4", "5", "6"]
    assert result.empty_call == Times.pack([10_000, 2, 3])
    expected = tuple(
        tuple(
            Launch(
                import_ns=1000 + number,
                load_ns=2000 + number,
                warm_up=Times.pack([30, 20]),
                settled=number % 2 == 0,
                rounds=tuple(
                    Round(
                        Times.pack([9, 8, 7]),
                        Times.pack([100 * number + turn, 100 * number + turn + 50]),
                        4000 + turn,
                        1_000_000 + 100 * number + turn,
                    )
                    for turn in (1, 2, 3)
                ),
                peak_memory_bytes=5000 + number,
                steady_memory_bytes=6000 + number,
            )
            for number in (file, file + 3)
        )
        for file in (1, 2, 3)
    )
    assert result.launches == expected


def test_all_files_are_opened_first_then_take_turns_and_are_closed_before_the_next_launch(
    machine: Machine, exported: Path
) -> None:
    measure(candidates(exported, *NAMES), PLAN, nothing, nothing)
    kinds = [kind for kind, _ in machine.log]
    launch = ["open"] * 3 + (["Round"] * 3 + ["state"]) * 3 + ["ReadMemory"] * 3
    assert kinds == launch + ["close"] * 3 + launch + ["TimeEmpty"] + ["ReadMemory"] * 3 + ["close"] * 3
    rounds = [number for kind, number in machine.log if kind == "Round"]
    turns = [rounds[start : start + 3] for start in range(0, 18, 3)]
    assert [sorted(turn) for turn in turns] == [[1, 2, 3]] * 3 + [[4, 5, 6]] * 3
    assert len({turn[0] % 3 for turn in turns}) > 1


def test_over_many_rounds_each_file_is_first_about_equally_often(machine: Machine, exported: Path) -> None:
    plan = Plan(min_seconds=0.5 * 300, min_runs=600, launches=3, rounds=100)
    measure(candidates(exported, *NAMES), plan, nothing, nothing)
    first = Counter(number % 3 for number in [number for kind, number in machine.log if kind == "Round"][::3])
    assert all(70 < count < 130 for count in first.values())


def test_what_else_is_asked_comes_after_the_last_launchs_rounds(machine: Machine, exported: Path) -> None:
    def finish(processes: Sequence[ModelProcess]) -> str:
        assert [process.opened.import_ns for process in processes] == [1004, 1005, 1006]
        assert [kind for kind, _ in machine.log].count("Round") == 18
        return "extras"

    _, extras = measure(candidates(exported, *NAMES), PLAN, finish, nothing)
    assert extras == "extras"


def test_processes_end_when_what_else_is_asked_fails(machine: Machine, exported: Path) -> None:
    def finish(processes: Sequence[ModelProcess]) -> None:
        assert len(machine.open) == 3
        raise ArtifactError("broken")

    with pytest.raises(ArtifactError, match="broken"):
        measure(candidates(exported, *NAMES), PLAN, finish, nothing)
    assert machine.open == []


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
    result, _ = measure(candidates(exported, *NAMES), PLAN, nothing, nothing)
    assert figures_of(result.load) == pytest.approx([18, 0.25, 0.5])


def test_load_is_what_is_left_after_our_own_processes_while_files_were_timed(machine: Machine, exported: Path) -> None:
    # 18 rounds of 1 s; opening took 50 s each and is no part of it.
    result, _ = measure(candidates(exported, *NAMES), PLAN, nothing, nothing)
    assert figures_of(result.load) == pytest.approx([18, 0.25, 0.5])


def test_the_parents_own_work_is_not_others(machine: Machine, exported: Path) -> None:
    def on_progress(done: int, steps: int, text: str) -> None:
        machine.own += 2
        machine.busy += 2

    result, _ = measure(candidates(exported, *NAMES), PLAN, nothing, on_progress)
    assert figures_of(result.load) == pytest.approx([18, 0.25, 0.5])


def test_load_is_never_below_zero(machine: Machine, exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Ticks of a counter that a process's own time is finer than.
    monkeypatch.setattr(machine, "read_cpu_times", lambda: CpuTimes(-machine.busy, -machine.stolen))
    result, _ = measure(candidates(exported, *NAMES), PLAN, nothing, nothing)
    assert result.load == Load(18, 0, 0)


@pytest.mark.parametrize("silent", [0, 1, 2, 3])
def test_load_is_unknown_if_one_reading_is_missing(
    silent: int, machine: Machine, exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readings = [CpuTimes(0, 0) if index != silent else None for index in range(4)]
    readings += [CpuTimes(0, 0), CpuTimes(0, 0)]  # For the extras.
    monkeypatch.setattr(machine, "read_cpu_times", lambda: readings.pop(0))
    result, _ = measure(candidates(exported, *NAMES), PLAN, nothing, nothing)
    assert result.load is None


def test_a_process_that_dies_with_its_profiler_costs_the_load_of_the_extras_alone(exported: Path) -> None:
    def finish(processes: Sequence[ModelProcess]) -> None:
        processes[0]._process.kill()
        processes[0]._process.wait()

    plan = Plan(min_seconds=0, min_runs=2, launches=1, rounds=1)
    result, _ = measure(candidates(exported, "int8.tflite", "float32.onnx"), plan, finish, nothing)
    assert result.extras_load is None
    assert result.load


def test_the_load_of_the_extras_is_theirs(machine: Machine, exported: Path) -> None:
    def finish(processes: Sequence[ModelProcess]) -> None:
        machine.now += 10
        machine.busy += 4
        machine.stolen += 1

    result, _ = measure(candidates(exported, *NAMES), PLAN, finish, nothing)
    assert figures_of(result.extras_load) == pytest.approx([10, 0.4, 0.1])
    assert figures_of(result.load) == pytest.approx([18, 0.25, 0.5])


def test_progress_counts_every_opening_and_every_turn(machine: Machine, exported: Path) -> None:
    said: list[tuple[int, int, str]] = []
    measure(candidates(exported, *NAMES), PLAN, nothing, lambda *what: said.append(what))
    assert [done for done, _, _ in said] == list(range(24))
    assert {steps for _, steps, _ in said} == {24}
    assert said[1][2] == "launch 1 of 2: opening int8.tflite"
    assert said[23][2] == "launch 2 of 2, round 3 of 3"


@dataclass(frozen=True)
class Seen:
    """One thing that a real process did, with the processes that were alive then."""

    kind: str
    pid: int
    alive: frozenset[int]


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[Seen]:
    """Everything that processes are asked from here on; fails where one is asked while another works."""
    log: list[Seen] = []
    alive: dict[int, int] = {}
    working: list[int] = []

    class Watched(ModelProcess):
        def __init__(self, request: Open) -> None:
            super().__init__(request)
            alive[id(self)] = self._process.pid

        def _ask(self, request: Any) -> Any:
            assert not working
            working.append(self._process.pid)
            log.append(Seen(type(request).__name__, self._process.pid, frozenset(alive.values())))
            try:
                return super()._ask(request)
            finally:
                working.remove(self._process.pid)

        def close(self) -> None:
            super().close()
            assert not Path(f"/proc/{self._process.pid}").exists()
            alive.pop(id(self), None)

    monkeypatch.setattr(launches, "ModelProcess", Watched)
    return log


def test_real_files_run_in_a_fresh_process_each_and_one_at_a_time(seen: list[Seen], exported: Path) -> None:
    files = candidates(exported, *NAMES)
    plan = Plan(min_seconds=0, min_runs=12, launches=2, rounds=3)
    result, answers = measure(files, plan, lambda processes: [p.ask(Classify(IMAGES)) for p in processes], nothing)
    opened = [entry.pid for entry in seen if entry.kind == "Open"]
    assert len(set(opened)) == len(opened) == 6
    rounds = [entry for entry in seen if entry.kind == "Round"]
    assert Counter(entry.pid for entry in rounds) == dict.fromkeys(opened, 3)
    assert all(entry.alive == frozenset(opened[:3]) for entry in rounds[:9])
    assert all(entry.alive == frozenset(opened[3:]) for entry in rounds[9:])
    assert [answer.shape for answer in answers] == [(4, 3)] * 3
    assert [opened.runtime.split()[0] for opened in result.opened] == ["ai-edge-litert"] * 2 + ["onnxruntime"]
    assert result.empty_call.count == 10_000
    for file in result.launches:
        assert [len(launch.rounds) for launch in file] == [3, 3]
        for launch in file:
            assert [(item.warm_up.count, item.measured.count) for item in launch.rounds] == [(10, 2)] * 3
            assert all(item.cpu_ns > 0 for item in launch.rounds)
            assert launch.warm_up.count >= 15
            assert launch.peak_memory_bytes >= launch.steady_memory_bytes > 2**20
    if read_cpu_times():
        assert result.load
        assert result.load.seconds > 0


def times_of(result: Measured, index: int = 0) -> Any:
    return np.concatenate([item.measured.unpack() for launch in result.launches[index] for item in launch.rounds])


def figures(candidate: Candidate, result: Measured) -> Figures:
    """Return figures that only time can spoil."""
    labels = np.zeros(1000, np.int64)
    probabilities = np.tile(np.array([[1, 0, 0]], np.float32), (1000, 1))
    p90 = percentile(times_of(result), 90)
    return Figures(candidate.name, True, 1, 1, p90, compare(probabilities, probabilities, labels), KERAS_REFERENCE)


LAX = Budget(max_drop_points=1, max_p90_ms=1e9)


@pytest.fixture
def busy_processes() -> Iterator[None]:
    """A process on each CPU that this one may use, which does nothing but work."""
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


@pytest.mark.skipif(read_cpu_times() is None, reason="This system does not tell who used its CPUs.")
@pytest.mark.usefixtures("busy_processes")
def test_busy_other_processes_make_the_verdict_invalid_for_load(exported: Path) -> None:
    (file,) = candidates(exported, "int8.tflite")
    plan = Plan(min_seconds=1, min_runs=100, launches=1, rounds=1)
    result, _ = measure([file], plan, nothing, nothing)
    noise = machine_noise((), (), result.load)
    assert noise[0].name == "load"
    assert noise[0].text.startswith("other processes used ")
    verdict = judge(figures(file, result), LAX, noise)
    assert verdict.status == INVALID
    assert "but it can't be judged: other processes used " in verdict.checks[1].text


SLOWED = """
import time
from pathlib import Path

from edge.runtimes import opener_for

FLAG = Path(__file__).with_name("slow")


class Slowed:
    def __init__(self, data, threads, signature=None):
        self.real = opener_for("tflite").open_model(data, threads, signature)
        self.name, self.version = self.real.name, self.real.version
        self.input_spec, self.output_spec = self.real.input_spec, self.real.output_spec

    def run(self, batch):
        if FLAG.exists():
            time.sleep(0.02)
        return self.real.run(batch)
"""


@pytest.fixture
def slowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Opener, Path]]:
    """A runtime whose child is held up for 20 ms at every inference, as long as the file is there."""
    folder = tmp_path / "slowed"
    folder.mkdir()
    (folder / "slowed_runtime.py").write_text(SLOWED)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    module = importlib.import_module("slowed_runtime")
    yield Opener(opener_for("tflite").import_library, module.Slowed), folder / "slow"
    del sys.modules["slowed_runtime"]  # The next test's has another folder.


@pytest.mark.parametrize(
    ("slow_rounds", "names"),
    [((5, 6, 7, 8), {"drift", "rounds"}), ((2, 4, 6, 8), {"rounds"})],
    ids=["second half", "every other"],
)
def test_a_child_that_is_slowed_in_half_of_its_rounds_makes_the_verdict_invalid(
    slow_rounds: tuple[int, ...], names: set[str], slowed: tuple[Opener, Path], exported: Path
) -> None:
    opener, flag = slowed

    def on_progress(done: int, steps: int, text: str) -> None:
        if any(text.endswith(f"round {number} of 8") for number in slow_rounds):
            flag.touch()
        else:
            flag.unlink(missing_ok=True)

    (file,) = candidates(exported, "int8.tflite", opener=opener)
    result, _ = measure([file], Plan(min_seconds=0, min_runs=64, launches=1, rounds=8), nothing, on_progress)
    assert times_of(result).max() >= 20_000_000  # Nothing is dropped.
    noise = time_noise(file.name, round_medians(result.launches[0]).ravel().tolist(), [True])
    # Whatever else this machine does in the meantime, it is no factor of hundreds.
    assert names <= {item.name for item in noise} <= {"drift", "rounds"}
    verdict = judge(figures(file, result), LAX, noise)
    assert verdict.status == INVALID
    assert "rounds disagree, their medians go from " in verdict.checks[1].text
    assert judge(figures(file, result), Budget(max_drop_points=1), noise).status != INVALID


def replace_at(moment: str, path: Path, data: bytes) -> Any:
    def on_progress(done: int, steps: int, text: str) -> None:
        if text.startswith(moment):
            path.write_bytes(data)

    return on_progress


TINY = Plan(min_seconds=0, min_runs=2, launches=2, rounds=1)


def test_a_file_that_is_replaced_while_it_is_measured_is_an_error_that_names_it(artifacts: Path) -> None:
    path = artifacts / "int8.tflite"
    on_progress = replace_at("launch 1 of 2, round 1", path, (artifacts / "float32.tflite").read_bytes())
    with pytest.raises(ArtifactError, match=r"int8\.tflite is not the file that manifest\.json lists .*run edgecnn export"):
        measure(candidates(artifacts, "float32.tflite", "int8.tflite"), TINY, nothing, on_progress)


def test_a_file_that_is_exported_again_while_it_is_measured_is_an_error_that_names_it(artifacts: Path) -> None:
    (file,) = candidates(artifacts, "int8.tflite")
    files = [replace(file, request=replace(file.request, interface=Interface(SCHEMES["unit"])))]
    (artifacts / "manifest.json").unlink()
    on_progress = replace_at("launch 2 of 2: opening", artifacts / "int8.tflite", (artifacts / "float32.tflite").read_bytes())
    with pytest.raises(ArtifactError, match=r"int8\.tflite changed while it was measured: run edgecnn bench again"):
        measure(files, TINY, nothing, on_progress)


def test_a_stale_file_is_an_error_that_names_it(artifacts: Path) -> None:
    manifest = Manifest.load(artifacts)
    manifest.with_artifacts(replace(manifest.keras_model(), sha256=sha256(b"a newer model"))).save(artifacts)
    with pytest.raises(
        ArtifactError, match=r"int8\.tflite is stale, it was exported from an earlier model: run edgecnn export"
    ):
        measure(candidates(artifacts, "int8.tflite"), TINY, nothing, nothing)
