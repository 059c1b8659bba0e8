"""Timing with a fake clock that only a fake runtime moves."""

import gc
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.latency import Plan, measure_latency
from edge.manifest import TensorSpec

IMAGES = np.arange(3, dtype=np.int8).reshape(3, 1, 1, 1) * np.ones((1, 2, 2, 1), np.int8)


class FakeRuntime:
    """Takes the given nanoseconds for each run, then the last of them for ever; keeps what it was given."""

    name, version = "fake", "1"
    input_spec = TensorSpec("image", (None, 2, 2, 1), "int8")
    output_spec = TensorSpec("classes", (None, 2), "int8")

    def __init__(self, *durations_ns: int) -> None:
        self.durations = list(durations_ns)
        self.now = 1_000_000
        self.batches: list[NDArray[Any]] = []
        self.collecting: list[bool] = []

    def run(self, batch: NDArray[Any]) -> NDArray[Any]:
        self.batches.append(batch)
        self.collecting.append(gc.isenabled())
        self.now += self.durations.pop(0) if len(self.durations) > 1 else self.durations[0]
        return np.zeros((1, 2), np.int8)

    def clock(self) -> int:
        return self.now


class BrokenRuntime(FakeRuntime):
    def run(self, batch: NDArray[Any]) -> NDArray[Any]:
        raise RuntimeError("broken")


@pytest.fixture
def collection_on() -> Iterator[None]:
    was = gc.isenabled()
    gc.enable()
    yield
    if not was:
        gc.disable()


def test_no_images_are_refused() -> None:
    runtime = FakeRuntime(1)
    with pytest.raises(ValueError, match="at least one image, got none"):
        measure_latency(runtime, IMAGES[:0], Plan(), runtime.clock)
    assert runtime.batches == []


@pytest.mark.usefixtures("collection_on")
def test_garbage_collection_is_on_again_after_an_exception() -> None:
    with pytest.raises(RuntimeError, match="broken"):
        measure_latency(BrokenRuntime(1), IMAGES, Plan())
    assert gc.isenabled()


@pytest.mark.usefixtures("collection_on")
def test_garbage_collection_is_off_while_it_measures_and_on_again_afterwards() -> None:
    runtime = FakeRuntime(1)
    measure_latency(runtime, IMAGES, Plan(2, 2, 0), runtime.clock)
    assert runtime.collecting == [False] * 4
    assert gc.isenabled()


@pytest.mark.usefixtures("collection_on")
def test_garbage_collection_stays_off_where_the_caller_had_it_off() -> None:
    runtime = FakeRuntime(1)
    gc.disable()
    measure_latency(runtime, IMAGES, Plan(1, 1, 0), runtime.clock)
    assert not gc.isenabled()


def test_times_are_exact_in_order_and_the_warm_up_is_apart() -> None:
    runtime = FakeRuntime(900, 90, 7, 5, 6000, 6)
    sample = measure_latency(runtime, IMAGES, Plan(warmup_runs=2, min_runs=4, min_seconds=0), runtime.clock)
    assert sample.warmup_ns == (900, 90)
    assert sample.measured_ns == (7, 5, 6000, 6)


@pytest.mark.parametrize(
    ("min_runs", "min_seconds", "runs"),
    [
        (5, 0.001, 5),  # The seconds are over after 2 runs.
        (1, 0.001, 2),  # Exactly met is met.
        (1, 0.0010001, 3),
        (3, 0.0, 3),
    ],
)
def test_it_runs_on_until_both_minima_are_met(min_runs: int, min_seconds: float, runs: int) -> None:
    runtime = FakeRuntime(500_000)
    sample = measure_latency(runtime, IMAGES, Plan(1, min_runs, min_seconds), runtime.clock)
    assert sample.measured_ns == (500_000,) * runs


def test_a_slow_warm_up_does_not_count_as_measured_time() -> None:
    runtime = FakeRuntime(10_000_000, 500_000)
    assert len(measure_latency(runtime, IMAGES, Plan(1, 1, 0.001), runtime.clock).measured_ns) == 2


def test_the_images_rotate_in_order_one_at_a_time_in_their_own_dtype() -> None:
    runtime = FakeRuntime(1)
    measure_latency(runtime, IMAGES, Plan(warmup_runs=2, min_runs=5, min_seconds=0), runtime.clock)
    assert [int(batch[0, 0, 0, 0]) for batch in runtime.batches] == [0, 1, 0, 1, 2, 0, 1]
    assert {(batch.shape, batch.dtype.name) for batch in runtime.batches} == {((1, 2, 2, 1), "int8")}
