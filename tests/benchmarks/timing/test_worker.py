"""How the measured process handles requests."""

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgecnn.benchmarks.timing.requests import (
    Classify,
    Memory,
    Pace,
    ProfileOps,
    TimeBatch,
    TimeEmpty,
    TimeRound,
)
from edgecnn.benchmarks.timing.worker import ModelProcess, Worker, read_memory
from edgecnn.edge.errors import EdgeCnnError, InvalidMeasurement
from edgecnn.edge.runtimes.base import LoadedModel
from tests.benchmarks.timing.requesting import BLACK, TFLITE, request


class Recorded:
    """A real runtime that keeps the batches it gets, of `batch` images, None for any number, and runs them one by one."""

    def __init__(self, batch: int | None, data: bytes, threads: int, signature: str | None = None) -> None:
        self.real: LoadedModel = TFLITE.open_model(data, threads, signature)
        self.name, self.version = self.real.name, self.real.version
        self.input_spec, self.output_spec = (
            replace(spec, shape=(batch, *spec.shape[1:])) for spec in (self.real.input_spec, self.real.output_spec)
        )
        self.batches: list[NDArray[Any]] = []

    def run(self, batch: NDArray[Any]) -> NDArray[Any]:
        self.batches.append(batch)
        return np.concatenate([self.real.run(batch[i : i + 1]) for i in range(len(batch))])


def worker_of(path: Path, batch: int | None, images: int) -> tuple[Worker, Recorded]:
    """Return a worker in this process with images of one brightness each, 0, 1, 2 and so on, and its runtime."""
    opened: list[Recorded] = []

    def open_model(data: bytes, threads: int, signature: str | None = None, streaming: bool = False) -> Recorded:
        opened.append(Recorded(batch, data, threads, signature))
        return opened[-1]

    pixels = np.arange(images, dtype=np.uint8).reshape(-1, 1, 1, 1) * np.ones((1, 12, 12, 1), np.uint8)
    worker = Worker(request(path, TFLITE._replace(open_model=open_model), pixels))
    return worker, opened[0]


@pytest.fixture
def inside(exported: Path) -> tuple[Worker, Recorded]:
    return worker_of(exported / "int8.tflite", 1, 3)


def brightness(batch: NDArray[Any]) -> list[int]:
    """Return each image's, by int8.tflite's input table: -128 is black."""
    return [int(image[0, 0, 0]) + 128 for image in batch]


def test_single_images_take_turns_over_warm_up_rounds_and_frames(inside: tuple[Worker, Recorded]) -> None:
    worker, runtime = inside
    warm_up = len(runtime.batches)
    assert warm_up == len(worker.opened.warm_up.times_ns)
    # The first two runs are of the first image, then come whole turns.
    assert [brightness(batch) for batch in runtime.batches[2:]] == [[index % 3] for index in range(warm_up - 2)]
    assert runtime.batches[0].flags.c_contiguous
    for inputs, measured in ((100, [0, 1, 2, 0, 1, 2]), (2, [0, 1, 0, 1, 0, 1])):
        del runtime.batches[:]
        times, _ = worker.answer(TimeRound(5, 0, inputs, 2))
        assert [brightness(batch) for batch in runtime.batches[2:]] == [[number] for number in measured]
        assert (len(times.warm_up_ns), len(times.measured_ns)) == (2, 6)
    del runtime.batches[:]
    paced = worker.answer(Pace(rate=0.1, frames=1))
    # One more before the first frame, which must not pay for leftovers of batches.
    assert (paced.frames, [brightness(batch) for batch in runtime.batches]) == (1, [[0], [0]])


def test_batches_have_the_asked_size_and_are_warmed_up_before(inside: tuple[Worker, Recorded]) -> None:
    worker, runtime = inside
    del runtime.batches[:]
    times = worker.answer(TimeBatch(size=5, runs=4, seconds=0))
    assert len(times.measured_ns) == 4
    # int8.tflite takes single images: a batch of five is five runs.
    assert len(runtime.batches) >= 5 * (15 + 10 + 4)
    assert [brightness(batch) for batch in runtime.batches[:10]] == [[0], [1], [2], [0], [1]] * 2


def test_the_empty_call_leaves_the_model_alone_and_a_profile_comes_from_the_open_file(inside: tuple[Worker, Recorded]) -> None:
    worker, runtime = inside
    del runtime.batches[:]
    assert len(worker.answer(TimeEmpty(9)).measured_ns) == 9
    profile = worker.answer(ProfileOps(runs=500))
    assert (profile.runs, runtime.batches) == (500, [])
    assert profile.ops


@pytest.mark.parametrize(
    "status", [None, "", "VmHWM:\t  100 kB\n", "VmRSS:\t  100 kB\n", "Name:\tpython\nState:\tR (running)\n"]
)
def test_a_system_that_does_not_tell_memory_is_refused(status: str | None, tmp_path: Path) -> None:
    if status is not None:
        (tmp_path / "status").write_text(status)
    with pytest.raises(InvalidMeasurement, match=r"status.*not report.*memory.*Linux"):
        read_memory(tmp_path / "status")


def test_peak_is_the_high_water_mark_and_steady_is_what_is_resident(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (
        "Name:\tVm\nVmPeak:\t  900 kB\nVmSize:\t  800 kB\nVmHWM:\t  300 kB\nVmRSS:\t  200 kB\nRssAnon:\t  50 kB\nThreads:\t1\n"
    )
    (tmp_path / "status").write_text(text)
    monkeypatch.setattr(time, "process_time", lambda: 1.25)
    assert read_memory(tmp_path / "status") == Memory(300 * 1024, 200 * 1024, 1.25)


def test_a_batch_is_one_run_of_a_file_that_takes_any_number_of_images(exported: Path) -> None:
    worker, runtime = worker_of(exported / "int8.tflite", None, 5)
    assert (worker.opened.any_batch, worker.opened.images_per_run) == (True, 1)
    assert brightness(runtime.batches[0]) == [0]
    del runtime.batches[:]
    assert len(worker.answer(TimeBatch(size=6, runs=4, seconds=0)).measured_ns) == 4
    assert len(runtime.batches) >= 15 + 10 + 4
    assert all(brightness(batch) == [0, 1, 2, 3, 4, 0] for batch in runtime.batches)


def test_a_batch_is_no_more_runs_than_it_takes_of_a_file_that_takes_four_at_a_time(exported: Path) -> None:
    worker, runtime = worker_of(exported / "int8.tflite", 4, 5)
    assert (worker.opened.any_batch, worker.opened.images_per_run) == (False, 4)
    assert [brightness(batch) for batch in runtime.batches[:4]] == [[0, 1, 2, 3], [0, 1, 2, 3], [0, 1, 2, 3], [4, 4, 4, 4]]
    for size, runs in ((4, [[0, 1, 2, 3]] * 2), (5, [[0, 1, 2, 3], [4, 4, 4, 4]])):
        del runtime.batches[:]
        worker.answer(TimeBatch(size=size, runs=4, seconds=0))
        assert [brightness(batch) for batch in runtime.batches[:2]] == runs


def test_random_inputs_need_no_classifier_and_are_not_classified(exported: Path) -> None:
    with ModelProcess(replace(request(exported / "int8.tflite"), images=None)) as process:
        assert (process.opened.class_names, process.opened.input.dtype) == ((), "int8")
        assert len(process.ask(TimeRound(runs=7, seconds=0, inputs=1))[0].measured_ns) == 7
        assert process.ask(ProfileOps(20)).ops
        with pytest.raises(RuntimeError, match=r"request must.*edgecnn\.benchmarks"):
            process.ask(Classify(BLACK))


def test_a_signature_that_the_file_has_not_is_refused_and_no_profile_is_taken_of_another(exported: Path) -> None:
    opened = request(exported / "float32.tflite")
    with pytest.raises(EdgeCnnError, match=r"float32\.tflite:.*TFLite model.*, not other"):
        ModelProcess(replace(opened, signature="other"))
    with (
        ModelProcess(replace(opened, signature="serving_default")) as process,
        pytest.raises(EdgeCnnError, match=r"profilers.*only.*first signature.*without profile"),
    ):
        process.ask(ProfileOps(20))


def test_the_measured_process_imports_nothing_whose_memory_would_count_as_the_models() -> None:
    code = "import sys, edgecnn.benchmarks.timing.worker; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "edgecnn.benchmarks.timing.worker" in loaded
    assert {"importlib.metadata", "zipfile", "PIL", "typer", "rich", "edgecnn.edge.data.splits"} & {*loaded} == set()
