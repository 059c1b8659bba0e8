"""The child process that runs one file: what it answers, and what comes out of it when it fails or dies."""

import functools
import importlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.process import ModelProcess
from benchmarks.requests import Classify, Memory, Open, Pace, ProfileOps, ReadMemory, Request, Round, TimeBatch, TimeEmpty
from benchmarks.worker import Worker, read_memory
from edge.classifier import Classifier
from edge.errors import ArtifactError, EdgeCnnError, InvalidMeasurement
from edge.files import sha256
from edge.preprocess import Images
from edge.runtimes import Opener, Runtime, opener_for
from edge.splits import Split, chunks

TFLITE = opener_for("tflite")
BLACK: Images = np.zeros((2, 12, 12, 1), np.uint8)


def request(path: Path, opener: Opener = TFLITE, images: Images = BLACK) -> Open:
    return Open(path, sha256(path.read_bytes()), opener, 1, images)


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """Every process that is started from here on."""
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
    with pytest.raises(ArtifactError, match=r"can't load the TFLite model.*export it again"):
        ModelProcess(request(path))
    assert [child.poll() for child in children] == [-signal.SIGKILL]


def test_a_file_that_changed_since_the_parent_read_its_hash_is_refused(exported: Path) -> None:
    with pytest.raises(EdgeCnnError, match=r"int8\.tflite changed while it was measured: run edgecnn bench again"):
        ModelProcess(Open(exported / "int8.tflite", "0" * 64, TFLITE, 1, BLACK))


@pytest.mark.parametrize(
    ("die", "number"),
    [(os.abort, signal.SIGABRT), (partial(signal.raise_signal, signal.SIGSEGV), signal.SIGSEGV)],
    ids=["abort", "segfault"],
)
def test_a_runtime_that_crashes_is_an_artifact_error_that_names_the_signal(
    die: Callable[[], None], number: int, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # For the core file, where the system writes one.
    with pytest.raises(ArtifactError, match=rf"int8\.tflite: its runtime crashed \(signal {number}\): export the file again"):
        ModelProcess(request(exported / "int8.tflite", Opener(die, TFLITE.open_model)))


def test_a_crash_after_opening_names_the_signal_too(exported: Path, children: list[subprocess.Popen[bytes]]) -> None:
    with ModelProcess(request(exported / "int8.tflite")) as process:
        children[0].kill()
        children[0].wait()
        with pytest.raises(ArtifactError, match=r"int8\.tflite: its process was killed \(signal 9\), .*: free some"):
            process.ask(Classify(BLACK))


def test_a_crash_of_the_profiler_says_to_bench_without_it(exported: Path, children: list[subprocess.Popen[bytes]]) -> None:
    with ModelProcess(request(exported / "int8.tflite")) as process:
        children[0].send_signal(signal.SIGSEGV)
        with pytest.raises(ArtifactError, match=r"int8\.tflite: its runtime crashed \(signal 11\): bench without --profile"):
            process.ask(ProfileOps(1))


def test_an_exception_that_nobody_expected_shows_the_childs_traceback(exported: Path) -> None:
    opener = Opener(partial(int, "no number"), TFLITE.open_model)  # type: ignore[arg-type]  # Wrong on purpose.
    with pytest.raises(RuntimeError, match=r"int8\.tflite ended with code 1") as caught:
        ModelProcess(request(exported / "int8.tflite", opener))
    assert "Traceback (most recent call last)" in str(caught.value)
    assert "ValueError: invalid literal for int() with base 10: 'no number'" in str(caught.value)


def test_a_request_that_the_child_does_not_know_is_our_bug_and_shows_it(exported: Path) -> None:
    unknown: Request[None] = Request()
    with (
        ModelProcess(request(exported / "int8.tflite")) as process,
        pytest.raises(RuntimeError, match=r"int8\.tflite ended with code 1") as caught,
    ):
        process.ask(unknown)
    assert "ValueError: request must be one of benchmarks.requests, got <benchmarks.requests.Request" in str(caught.value)


def test_the_child_ends_when_the_block_is_left_by_an_exception(exported: Path, children: list[subprocess.Popen[bytes]]) -> None:
    with pytest.raises(KeyboardInterrupt), ModelProcess(request(exported / "int8.tflite")):  # noqa: PT012  # Two checks.
        assert children[0].poll() is None
        raise KeyboardInterrupt
    assert children[0].poll() == -signal.SIGKILL


def test_ctrl_c_does_not_reach_the_child(exported: Path, children: list[subprocess.Popen[bytes]]) -> None:
    with ModelProcess(request(exported / "int8.tflite")) as process:
        children[0].send_signal(signal.SIGINT)
        assert process.ask(Classify(BLACK)).shape == (2, 3)


def test_a_folder_of_the_users_with_our_name_is_not_imported(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "__init__.py").write_text("raise SystemExit('not ours')")
    monkeypatch.chdir(tmp_path)
    with ModelProcess(request(exported / "int8.tflite")) as process:
        assert process.opened.runtime


@pytest.mark.parametrize("name", ["int8.tflite", "float32.onnx"])
def test_a_file_opens_times_and_classifies_as_it_does_in_this_process(name: str, exported: Path, test_split: Split) -> None:
    images = next(chunks(test_split))
    here = Classifier.load(exported / name)
    with ModelProcess(request(exported / name, opener_for(name.split(".")[1]), images[:4])) as process:
        opened = process.opened
        times, clock_khz = process.ask(Round(runs=7, seconds=0))
        batches = process.ask(TimeBatch(size=6, runs=3, seconds=0))
        empty = process.ask(TimeEmpty(50))
        paced = process.ask(Pace(rate=200, frames=8))
        memory = process.ask(ReadMemory())
        probabilities = process.ask(Classify(images))
    assert opened.runtime == f"{here.runtime.name} {here.runtime.version}"
    assert len(opened.warm_up.times_ns) >= 15
    assert min(opened.import_ns, opened.load_ns, *opened.warm_up.times_ns, *times.warm_up_ns, *times.measured_ns) > 0
    assert (len(times.warm_up_ns), len(times.measured_ns)) == (10, 7)
    assert clock_khz is None or clock_khz > 0
    assert (len(batches.warm_up_ns), len(batches.measured_ns)) == (10, 3)
    assert len(empty.measured_ns) == 50
    assert (paced.frames, len(paced.response_ns) + paced.dropped) == (8, 8)
    assert 2**20 < memory.steady_bytes <= memory.peak_bytes
    assert memory.cpu_seconds >= opened.cpu_seconds + times.cpu_ns / 1e9 > times.cpu_ns / 1e9 > 0
    np.testing.assert_array_equal(probabilities, here.probabilities(images))


def test_the_childs_memory_is_its_own_and_not_tensorflows(exported: Path) -> None:
    importlib.import_module("tensorflow")
    assert read_memory().peak_bytes > 300e6
    with ModelProcess(request(exported / "int8.tflite")) as process:
        assert process.ask(ReadMemory()).peak_bytes < 150e6


def test_importing_the_library_is_timed_apart_from_loading_the_model(exported: Path) -> None:
    with ModelProcess(request(exported / "int8.tflite", Opener(partial(time.sleep, 0.2), TFLITE.open_model))) as process:
        assert process.opened.import_ns > 0.19e9
        assert process.opened.load_ns > 0


def test_what_a_runtime_prints_is_not_taken_for_a_result(exported: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with ModelProcess(request(exported / "int8.tflite", Opener(functools.partial(print, "noise"), TFLITE.open_model))):
        pass
    assert "noise" not in capfd.readouterr().out


class Recorded:
    """A real runtime that keeps the batches it gets."""

    def __init__(self, data: bytes, threads: int, signature: str | None = None) -> None:
        self.real: Runtime = TFLITE.open_model(data, threads, signature)
        self.name, self.version = self.real.name, self.real.version
        self.input_spec, self.output_spec = self.real.input_spec, self.real.output_spec
        self.batches: list[NDArray[Any]] = []

    def run(self, batch: NDArray[Any]) -> NDArray[Any]:
        self.batches.append(batch)
        return self.real.run(batch)


@pytest.fixture
def inside(exported: Path) -> tuple[Worker, Recorded]:
    """A worker in this process with images of one brightness each, 0, 1 and 2, and its runtime."""
    opened: list[Recorded] = []

    def open_model(data: bytes, threads: int, signature: str | None = None) -> Recorded:
        opened.append(Recorded(data, threads, signature))
        return opened[-1]

    images = np.arange(3, dtype=np.uint8).reshape(3, 1, 1, 1) * np.ones((1, 12, 12, 1), np.uint8)
    worker = Worker(request(exported / "int8.tflite", Opener(TFLITE.import_library, open_model), images))
    return worker, opened[0]


def brightness(batch: NDArray[Any]) -> list[int]:
    """Return each image's, by int8.tflite's input table: -128 is black."""
    return [int(image[0, 0, 0]) + 128 for image in batch]


def test_single_images_take_turns_over_warm_up_rounds_and_frames(inside: tuple[Worker, Recorded]) -> None:
    worker, runtime = inside
    warm_up = len(runtime.batches)
    assert warm_up == len(worker.opened.warm_up.times_ns)
    worker.answer(Round(5, 0))
    assert [brightness(batch) for batch in runtime.batches] == [[index % 3] for index in range(warm_up + 15)]
    assert runtime.batches[0].flags.c_contiguous
    del runtime.batches[:]
    paced = worker.answer(Pace(rate=0.1, frames=1))
    # One more before the first frame, which must not pay for what batches left behind.
    assert (paced.frames, [brightness(batch) for batch in runtime.batches]) == (1, [[0], [0]])


def test_batches_have_the_asked_size_and_are_warmed_up_before(inside: tuple[Worker, Recorded]) -> None:
    worker, runtime = inside
    del runtime.batches[:]
    times = worker.answer(TimeBatch(size=5, runs=4, seconds=0))
    assert len(times.measured_ns) == 4
    # int8.tflite takes single images: a batch of five is five runs.
    assert len(runtime.batches) >= 5 * (15 + 10 + 4)
    assert [brightness(batch) for batch in runtime.batches[:10]] == [[0], [1], [2], [0], [1]] * 2


def test_the_empty_call_leaves_the_model_alone(inside: tuple[Worker, Recorded]) -> None:
    worker, runtime = inside
    del runtime.batches[:]
    assert len(worker.answer(TimeEmpty(9)).measured_ns) == 9
    assert runtime.batches == []


def test_a_profile_comes_from_the_open_file(inside: tuple[Worker, Recorded]) -> None:
    worker, runtime = inside
    del runtime.batches[:]
    profile = worker.answer(ProfileOps(runs=500))
    assert (profile.runs, runtime.batches) == (500, [])
    assert profile.ops


@pytest.mark.parametrize(
    "status", [None, "", "VmHWM:\t  100 kB\n", "VmRSS:\t  100 kB\n", "Name:\tpython\nState:\tR (running)\n"]
)
def test_a_system_that_does_not_tell_memory_is_refused(status: str | None, tmp_path: Path) -> None:
    if status is not None:
        (tmp_path / "status").write_text(status)
    with pytest.raises(InvalidMeasurement, match="does not tell the memory of a process: measure on Linux"):
        read_memory(tmp_path / "status")


def test_peak_is_the_high_water_mark_and_steady_is_what_is_resident(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (
        "Name:\tVm\nVmPeak:\t  900 kB\nVmSize:\t  800 kB\nVmHWM:\t  300 kB\nVmRSS:\t  200 kB\nRssAnon:\t  50 kB\nThreads:\t1\n"
    )
    (tmp_path / "status").write_text(text)
    monkeypatch.setattr(time, "process_time", lambda: 1.25)
    assert read_memory(tmp_path / "status") == Memory(300 * 1024, 200 * 1024, 1.25)


class Batched(Recorded):
    """Says that it takes so many images at a time, None for any number, and runs them one by one."""

    def __init__(self, batch: int | None, data: bytes, threads: int, signature: str | None = None) -> None:
        super().__init__(data, threads, signature)
        self.input_spec, self.output_spec = (
            replace(spec, shape=(batch, *spec.shape[1:])) for spec in (self.input_spec, self.output_spec)
        )

    def run(self, batch: NDArray[Any]) -> NDArray[Any]:
        self.batches.append(batch)
        return np.concatenate([self.real.run(batch[i : i + 1]) for i in range(len(batch))])


def batched(path: Path, batch: int | None) -> tuple[Worker, Batched]:
    """Return a worker with five images of one brightness each, 0 to 4, and its runtime."""
    opened: list[Batched] = []

    def open_model(data: bytes, threads: int, signature: str | None = None) -> Batched:
        opened.append(Batched(batch, data, threads, signature))
        return opened[-1]

    images = np.arange(5, dtype=np.uint8).reshape(5, 1, 1, 1) * np.ones((1, 12, 12, 1), np.uint8)
    worker = Worker(request(path, Opener(TFLITE.import_library, open_model), images))
    return worker, opened[0]


def test_a_batch_is_one_run_of_a_file_that_takes_any_number_of_images(exported: Path) -> None:
    worker, runtime = batched(exported / "int8.tflite", None)
    assert (worker.opened.any_batch, worker.opened.images_per_run) == (True, 1)
    assert brightness(runtime.batches[0]) == [0]
    del runtime.batches[:]
    assert len(worker.answer(TimeBatch(size=6, runs=4, seconds=0)).measured_ns) == 4
    assert len(runtime.batches) >= 15 + 10 + 4
    assert all(brightness(batch) == [0, 1, 2, 3, 4, 0] for batch in runtime.batches)


def test_a_batch_is_no_more_runs_than_it_takes_of_a_file_that_takes_four_at_a_time(exported: Path) -> None:
    worker, runtime = batched(exported / "int8.tflite", 4)
    assert (worker.opened.any_batch, worker.opened.images_per_run) == (False, 4)
    assert [brightness(batch) for batch in runtime.batches[:3]] == [[0, 1, 2, 3], [4, 4, 4, 4], [0, 1, 2, 3]]
    for size, runs in ((4, [[0, 1, 2, 3]] * 2), (5, [[0, 1, 2, 3], [4, 4, 4, 4]])):
        del runtime.batches[:]
        worker.answer(TimeBatch(size=size, runs=4, seconds=0))
        assert [brightness(batch) for batch in runtime.batches[:2]] == runs


def test_random_inputs_need_no_classifier_and_are_not_classified(exported: Path) -> None:
    with ModelProcess(replace(request(exported / "int8.tflite"), images=None)) as process:
        assert (process.opened.class_names, process.opened.input.dtype) == ((), "int8")
        assert len(process.ask(Round(runs=7, seconds=0))[0].measured_ns) == 7
        assert process.ask(ProfileOps(20)).ops
        with pytest.raises(RuntimeError, match=r"request must be one of benchmarks\.requests"):
            process.ask(Classify(BLACK))


def test_a_signature_that_the_file_has_not_is_refused_and_no_profile_is_taken_of_another(exported: Path) -> None:
    opened = request(exported / "float32.tflite")
    with pytest.raises(EdgeCnnError, match=r"float32\.tflite: the TFLite model has .*, not other"):
        ModelProcess(replace(opened, signature="other"))
    with (
        ModelProcess(replace(opened, signature="serving_default")) as process,
        pytest.raises(EdgeCnnError, match="the profilers take a file's first signature only: bench without --profile"),
    ):
        process.ask(ProfileOps(20))
