"""Timing single-image inferences."""

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from edge.runtimes import Runtime

# One sentence, the same for every runtime, in every report.
TIMED_REGION = "one runtime call with one prepared image: input copied in, inference, output copied out"


@dataclass(frozen=True)
class Plan:
    """How long to measure: until both minima are met.

    Attributes:
        warmup_runs: Runs before, kept apart.
        min_runs: At least so many measured runs.
        min_seconds: At least so long.
    """

    warmup_runs: int = 50
    min_runs: int = 1000
    min_seconds: float = 1.0


@dataclass(frozen=True)
class LatencySample:
    """Wall times in nanoseconds, in the order they were taken.

    Attributes:
        warmup_ns: Of the warm-up, the first call first.
        measured_ns: Of the measured runs; none is dropped.
    """

    warmup_ns: tuple[int, ...]
    measured_ns: tuple[int, ...]


def measure_latency(
    runtime: Runtime, inputs: NDArray[Any], plan: Plan, clock: Callable[[], int] = time.perf_counter_ns
) -> LatencySample:
    """Time single-image inferences, one after another, as a camera loop would.

    The images rotate, so that no cache learns one input. The first calls allocate buffers and are kept apart. Garbage
    collection is off meanwhile: its pauses are Python's, not the model's. Nothing is dropped as an outlier: on a
    Raspberry Pi the slow tail is thermal throttling, which the report must show.

    Args:
        runtime: The opened model.
        inputs: Model inputs (n, h, w, c), in the model's dtype.
        plan: How long.
        clock: Nanoseconds from a monotonic clock. Tests pass a fake one.

    Raises:
        ValueError: If `inputs` is empty.
    """
    if not len(inputs):
        raise ValueError("inputs must have at least one image, got none")
    singles = [inputs[i : i + 1].copy() for i in range(len(inputs))]
    collecting = gc.isenabled()
    gc.disable()
    try:
        warmup = _time(runtime, singles, plan.warmup_runs, 0, clock)
        measured = _time(runtime, singles, plan.min_runs, int(plan.min_seconds * 1e9), clock)
    finally:
        if collecting:
            gc.enable()
    return LatencySample(tuple(warmup), tuple(measured))


def _time(runtime: Runtime, singles: list[NDArray[Any]], runs: int, least_ns: int, clock: Callable[[], int]) -> list[int]:
    times: list[int] = []
    total = 0
    while len(times) < runs or total < least_ns:
        single = singles[len(times) % len(singles)]
        start = clock()
        runtime.run(single)
        times.append(clock() - start)
        total += times[-1]
    return times
