"""The child process that runs one file: its answers, and the errors if it fails or dies."""

import importlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgecnn.benchmarks.timing.requests import (
    Classify,
    Open,
    Pace,
    ProfileOps,
    ReadMemory,
    Request,
    TimeBatch,
    TimeEmpty,
    TimeRound,
)
from edgecnn.benchmarks.timing.worker import ModelProcess, read_memory
from edgecnn.edge.data.splits import Split, chunks
from edgecnn.edge.errors import ArtifactError, EdgeCnnError, InvalidMeasurement
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.model.preprocess import Images
from edgecnn.edge.runtimes import opener_for
from edgecnn.edge.runtimes.base import Opener
from edgecnn.edge.sandbox import child as module
from edgecnn.edge.sandbox.child import is_stopped
from tests.benchmarks.timing.requesting import BLACK, TFLITE, request
from tests.edge.sandbox.orphans import child_ends_with


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """Record every process that is started from here on."""
    started: list[subprocess.Popen[bytes]] = []
    popen = subprocess.Popen

    def start(*args: Any, **options: Any) -> subprocess.Popen[bytes]:
        started.append(popen(*args, **options))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", start)
    return started


def test_a_file_that_the_runtime_refuses_is_an_artifact_error_here_too(
    tmp_path: Path, children: list[subprocess.Popen[bytes]]
) -> None:
    path = tmp_path / "bad.tflite"
    path.write_bytes(b"\0\0\0\0TFL3" + b"\xff" * 64)
    with pytest.raises(ArtifactError, match=r"can't load.*TFLite.*copy it again"):
        ModelProcess(request(path))
    assert [child.poll() for child in children] == [-signal.SIGKILL]


def test_a_file_that_changed_since_the_parent_read_its_hash_is_refused(exported: Path) -> None:
    with pytest.raises(EdgeCnnError, match=r"int8\.tflite changed while.*run edgecnn bench"):
        ModelProcess(Open(exported / "int8.tflite", "0" * 64, TFLITE, 1, BLACK))


@pytest.mark.parametrize(
    ("die", "number"),
    [(os.abort, "SIGABRT"), (partial(signal.raise_signal, signal.SIGSEGV), "SIGSEGV")],
    ids=["abort", "segfault"],
)
def test_a_runtime_that_crashes_is_an_artifact_error_that_names_the_signal(
    die: Callable[[], None], number: str, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # For the core file, where the system writes one.
    with pytest.raises(ArtifactError, match=rf"int8\.tflite: .* crashed \({number}\): export"):
        ModelProcess(request(exported / "int8.tflite", Opener(die, TFLITE.open_model)))


def test_a_crash_after_opening_names_the_signal_too(exported: Path, children: list[subprocess.Popen[bytes]]) -> None:
    with ModelProcess(request(exported / "int8.tflite")) as process:
        children[0].kill()
        children[0].wait()
        with pytest.raises(ArtifactError, match=r"int8\.tflite: .*SIGKILL.*: free"):
            process.ask(Classify(BLACK))


def test_a_crash_of_the_profiler_says_to_bench_without_it(exported: Path, children: list[subprocess.Popen[bytes]]) -> None:
    with ModelProcess(request(exported / "int8.tflite")) as process:
        children[0].send_signal(signal.SIGSEGV)
        with pytest.raises(ArtifactError, match=r"int8\.tflite: .*SIGSEGV.*without profile"):
            process.ask(ProfileOps(1))


def test_an_exception_that_nobody_expected_shows_the_childs_traceback(exported: Path) -> None:
    opener = Opener(partial(int, "no number"), TFLITE.open_model)
    with pytest.raises(RuntimeError, match=r"int8\.tflite") as caught:
        ModelProcess(request(exported / "int8.tflite", opener))
    assert "Traceback (most recent call last)" in str(caught.value)
    assert all(said in str(caught.value) for said in ("ValueError: ", " 'no number'"))


def test_the_child_ends_when_the_block_is_left_by_an_exception(exported: Path, children: list[subprocess.Popen[bytes]]) -> None:
    with pytest.raises(KeyboardInterrupt), ModelProcess(request(exported / "int8.tflite")):  # noqa: PT012  # Two checks.
        assert children[0].poll() is None
        raise KeyboardInterrupt
    assert children[0].poll() == -signal.SIGKILL


@pytest.mark.parametrize("images", [BLACK, np.zeros((2000, 12, 12, 1), np.uint8)], ids=["small", "more than a pipe holds"])
def test_a_child_that_is_stopped_is_not_waited_for_without_end(
    images: Images, exported: Path, children: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.05)
    with ModelProcess(request(exported / "int8.tflite")) as process:
        children[0].send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, children[0].pid, os.WSTOPPED | os.WNOWAIT)
        with pytest.raises(InvalidMeasurement, match=r"int8\.tflite: .*SIGSTOP"):
            process.ask(Classify(images))


def test_a_child_that_goes_on_after_a_stop_answers(
    exported: Path, children: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[bool] = []

    def looked(process: int) -> bool:
        looks.append(is_stopped(process))
        if len(looks) == 2:
            children[0].send_signal(signal.SIGCONT)
        return looks[-1]

    monkeypatch.setattr(module, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(module, "is_stopped", looked)
    with ModelProcess(request(exported / "int8.tflite")) as process:
        looks.clear()  # Opening may have taken some.
        children[0].send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, children[0].pid, os.WSTOPPED | os.WNOWAIT)
        assert process.ask(Classify(BLACK))[0].shape == (2, 3)
    assert looks[:2] == [True, True]


def test_the_child_ends_in_the_middle_of_a_round_when_its_parent_is_killed(exported: Path) -> None:
    code = f"""
from pathlib import Path
import numpy as np
from edgecnn.benchmarks.timing.worker import ModelProcess
from edgecnn.benchmarks.timing.requests import Open, TimeRound
from edgecnn.edge.files import sha256
from edgecnn.edge.runtimes import opener_for
path = Path({str(exported / "int8.tflite")!r})
request = Open(path, sha256(path.read_bytes()), opener_for("tflite"), 1, np.zeros((2, 12, 12, 1), np.uint8))
with ModelProcess(request) as process:
    print(process._child.pid, flush=True)
    process.ask(TimeRound(1, 3600))
"""
    assert child_ends_with(code)


def test_a_child_has_a_session_and_memory_of_its_own_and_survives_a_request_that_it_does_not_know(
    exported: Path, children: list[subprocess.Popen[bytes]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "benchmarks").mkdir()  # A folder of the user's with our name is not imported.
    (tmp_path / "benchmarks" / "__init__.py").write_text("raise SystemExit('not ours')")
    monkeypatch.chdir(tmp_path)
    importlib.import_module("tensorflow")
    assert read_memory().peak_bytes > 300e6
    unknown: Request[None] = Request()
    with ModelProcess(request(exported / "int8.tflite")) as process:
        assert os.getsid(children[-1].pid) != os.getsid(0)  # Ctrl-C does not reach it.
        assert process.ask(ReadMemory()).peak_bytes < 150e6
        with pytest.raises(RuntimeError, match=r"int8\.tflite") as caught:
            process.ask(unknown)
        assert "ValueError: request must be one" in str(caught.value)
        assert "edgecnn.benchmarks.timing.requests, got <edgecnn.benchmarks.timing.requests.Request" in str(caught.value)
        assert process.ask(Classify(BLACK))[0].shape == (2, 3)


@pytest.mark.parametrize("name", ["int8.tflite", "float32.onnx"])
def test_a_file_opens_times_and_classifies_as_it_does_in_this_process(name: str, exported: Path, test_split: Split) -> None:
    images = next(chunks(test_split))
    here = Classifier.load(exported / name)
    with ModelProcess(request(exported / name, opener_for(name.split(".")[1]), images[:4])) as process:
        opened = process.opened
        times, clock_khz = process.ask(TimeRound(runs=7, seconds=0))
        batches = process.ask(TimeBatch(size=6, runs=3, seconds=0))
        empty = process.ask(TimeEmpty(50))
        paced = process.ask(Pace(rate=200, frames=8))
        memory = process.ask(ReadMemory())
        probabilities, _ = process.ask(Classify(images))
    assert opened.runtime == f"{here.runtime.name} {here.runtime.version}"
    assert len(opened.warm_up.times_ns) >= 15
    assert min(opened.import_ns, opened.load_ns, *opened.warm_up.times_ns, *times.warm_up_ns, *times.measured_ns) > 0
    assert (len(times.warm_up_ns), len(times.measured_ns)) == (10, 8)  # Whole turns of four images.
    assert clock_khz is None or clock_khz > 0
    assert (len(batches.warm_up_ns), len(batches.measured_ns)) == (10, 3)
    assert len(empty.measured_ns) == 50
    assert (paced.frames, len(paced.response_ns) + paced.dropped) == (8, 8)
    assert 2**20 < memory.steady_bytes <= memory.peak_bytes
    assert memory.cpu_seconds >= opened.cpu_seconds + times.cpu_ns / 1e9 > times.cpu_ns / 1e9 > 0
    np.testing.assert_array_equal(probabilities, here.probabilities(images))


def test_importing_the_library_is_timed_apart_from_loading_the_model(exported: Path) -> None:
    with ModelProcess(request(exported / "int8.tflite", Opener(partial(time.sleep, 0.2), TFLITE.open_model))) as process:
        assert process.opened.import_ns > 0.19e9
        assert process.opened.load_ns > 0


def test_what_a_runtime_prints_is_not_taken_for_a_result(exported: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with ModelProcess(request(exported / "int8.tflite", Opener(partial(print, "noise"), TFLITE.open_model))):
        pass
    assert "noise" not in capfd.readouterr().out
