"""Times single inferences, one after another or at a camera's fixed rate; and the random inputs of files without images."""

import gc
import itertools
import math
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecnn.edge.errors import ArtifactError
from edgecnn.edge.manifest import TensorSpec
from edgecnn.edge.model.layout import has_batch, shape_text

Clock = Callable[[], int]
Batch = NDArray[Any]


@dataclass(frozen=True)
class PacedTimes:
    """One file at a fixed rate.

    Attributes:
        frames: Number of frames that were due.
        response_ns: Time from when each processed frame was due to its answer; longer than the inference if the
            process woke late or the previous frame was not done.
        busy_ns: Time of the inference alone of the same frames; slower than back to back, since caches and clock go cold.
        dropped: Number of frames not processed because the next one was due first.
        missed: Number of dropped frames plus those whose answer came after the next one was due.
    """

    frames: int
    response_ns: list[int]
    busy_ns: list[int]
    dropped: int
    missed: int


def run_paced(
    run: Callable[[Batch], Any],
    inputs: Sequence[Batch],
    rate: float,
    frames: int,
    *,
    clock: Clock = time.perf_counter_ns,
    sleep: Callable[[float], None] = time.sleep,
) -> PacedTimes:
    """Run frame k at `k / rate` seconds after the start; its deadline is the moment that frame k + 1 is due.

    As with a camera that keeps only its newest image, a late loop skips overtaken frames.

    Args:
        run: A runtime's `run`.
        inputs: Single images, used in turns.
        rate: Frames per second, above 0.
        frames: Number of frames due.
        clock: Nanoseconds from a monotonic clock. Tests pass a fake one.
        sleep: Function that waits this many seconds. Tests pass a fake one.
    """
    period = 1e9 / rate
    response: list[int] = []
    busy: list[int] = []
    dropped = late = 0
    begin = clock()
    for frame in range(frames):
        due, deadline = begin + round(frame * period), begin + round((frame + 1) * period)
        now = clock()
        if now >= deadline:
            dropped += 1
            continue
        if now < due:
            sleep((due - now) / 1e9)
        start = clock()
        run(inputs[frame % len(inputs)])
        end = clock()
        response.append(end - due)
        busy.append(end - start)
        late += end > deadline
    return PacedTimes(frames, response, busy, dropped, dropped + late)


# One sentence for images and one for random inputs, the same for every runtime, in every report.
TIMED_REGION = "one runtime call with one prepared image: input copied in, inference, output copied out"
RANDOM_REGION = "one runtime call with one input of random numbers: input copied in, inference, output copied out"

# Enough different inputs that no cache learns them, but few enough not to show in the peak memory.
MOST_INPUTS = 100
_MOST_NUMBERS = 2**22
# The warm-up compares passes over the same few inputs: this many, or as few as this time allows.
_PASS_INPUTS = 5
_PASS_NS = 100_000_000
# A block is long enough that a clock governor reacts within a few of them.
_BLOCK_NS = 20_000_000
# Settled: this many consecutive blocks whose medians are this close. For runs of a second, two are enough.
_BLOCKS = 3
_SPREAD = 0.03
_LONG_NS = 1_000_000_000
_LONGEST_WARM_UP_NS = 5_000_000_000
# Other processes used the caches since a file's last round.
ROUND_WARM_UP_RUNS = 10


@dataclass(frozen=True)
class WarmUp:
    """The warm-up before the first timed run.

    Attributes:
        times_ns: Times, beginning with the first inference of the process, which allocates buffers.
        settled: Whether the times had settled when it ended.
        run_ns: Mean time of a run over the inputs, or over as many as fit into a tenth of a second; plans are based on it.
    """

    times_ns: list[int]
    settled: bool
    run_ns: int


@dataclass(frozen=True)
class RoundTimes:
    """One file's turn.

    Attributes:
        warm_up_ns: Runs that fill the caches again, kept apart.
        measured_ns: The timed runs; none is dropped.
        cpu_ns: CPU time of the process, in all its threads, during the timed runs.
        waits: Number of times a thread of the process gave up its CPU voluntarily, for example to wait for another
            thread or a device.
        stops: Number of times a signal stopped and continued the process.
    """

    warm_up_ns: list[int]
    measured_ns: list[int]
    cpu_ns: int
    waits: int
    stops: int = 0


class Stopwatch:
    """Times a call on alternating inputs, so that no branch predictor or cache learns one of them.

    Garbage collection is off while timing: its pauses are Python's, not the model's. Nothing is dropped as an outlier:
    on a Raspberry Pi the slow tail is thermal throttling, which the report must show.

    Args:
        run: A runtime's `run`.
        inputs: Inputs of one run each, in the model's own shape and dtype.
        clock: Nanoseconds from a monotonic clock. Tests pass a fake one.

    Raises:
        ValueError: If `inputs` is empty.
    """

    def __init__(self, run: Callable[[Batch], Any], inputs: Sequence[Batch], clock: Clock = time.perf_counter_ns) -> None:
        if not len(inputs):
            raise ValueError("inputs must have at least one batch, got none")
        self._run = run
        self._inputs = inputs
        self._clock = clock

    def warm_up(self) -> WarmUp:
        """Run until the medians of the last blocks lie within 3 % of each other, or for 5 seconds.

        Blocks are passes over the same inputs, so that a model whose time depends on its input can settle. Where a run takes
        a second or more, a run is a block, and two that agree are enough.
        """
        with _no_garbage_collection():
            first, second = self._time(self._inputs[:1], 1, 0) + self._time(self._inputs[:1], 1, 0)
            if second >= _LONG_NS:
                return self._long_warm_up([first, second])
            block = self._inputs[: max(1, min(_PASS_INPUTS, _PASS_NS // max(second, 1)))]
            times, medians = [first, second], list[float]()
            while True:
                times += (timed := self._time(block, len(block), _BLOCK_NS))
                medians.append(median(timed))
                last = medians[-_BLOCKS:]
                settled = len(last) == _BLOCKS and _close(last)
                if settled or (len(last) == _BLOCKS and sum(times) >= _LONGEST_WARM_UP_NS):
                    break
            whole = self._time_for(_PASS_NS)
            return WarmUp(times + whole, settled, sum(whole) // len(whole))

    def round(self, runs: int, seconds: float, inputs: int = MOST_INPUTS, warm_up_runs: int = ROUND_WARM_UP_RUNS) -> RoundTimes:
        """Time at least this many runs and this long, in whole turns of the first `inputs`: the same in every round."""
        cycle = self._inputs[:inputs]
        before = [cycle[number % len(cycle)] for number in range(-warm_up_runs, 0)]
        with _no_garbage_collection():
            warm_up = self._time(before, warm_up_runs, 0) if before else []
            waits = _waits()
            cpu = time.process_time_ns()
            measured = self._time(cycle, runs, int(seconds * 1e9))
            cpu = time.process_time_ns() - cpu
            waits = _waits() - waits
        return RoundTimes(warm_up, measured, cpu, waits)

    def _long_warm_up(self, times: list[int]) -> WarmUp:
        while not _close(times[-2:]) and (len(times) < _BLOCKS or sum(times) < _LONGEST_WARM_UP_NS):
            times += self._time(self._inputs[:1], 1, 0)
        return WarmUp(times, _close(times[-2:]), times[-1])

    def _time(self, inputs: Sequence[Batch], runs: int, least_ns: int) -> list[int]:
        """Time whole turns of the inputs."""
        run, clock, turn, batches = self._run, self._clock, len(inputs), itertools.cycle(inputs)
        times: list[int] = []
        total = 0
        while len(times) < runs or total < least_ns or len(times) % turn:
            batch = next(batches)
            start = clock()
            run(batch)
            taken = clock() - start
            times.append(taken)
            total += taken
        return times

    def _time_for(self, most_ns: int) -> list[int]:
        """Time one turn of all inputs, or as many as begin within this time."""
        times: list[int] = []
        for batch in self._inputs:
            times += self._time([batch], 1, 0)
            if sum(times) >= most_ns:
                break
        return times


def _close(times: Sequence[float]) -> bool:
    return max(times) <= min(times) * (1 + _SPREAD)


def _waits() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw


def timed_inputs(numbers: int) -> int:
    """Return how many inputs of this size take turns."""
    return max(1, min(MOST_INPUTS, _MOST_NUMBERS // numbers))


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def random_inputs(spec: TensorSpec, origin: str) -> list[NDArray[Any]]:
    """Return inputs in the model's own shape and dtype, the same each time.

    A free first size is a batch, set to one, unless it is the only size. Integers are uniform over their type's
    whole range, floats are standard normal. Messages call the file `origin`.

    Raises:
        ArtifactError: If another size is free or no size is left, or the numbers are not integers, floats or bools.
    """
    batched = has_batch(spec.shape)
    shape = tuple(1 if batched and place == 0 and size is None else size for place, size in enumerate(spec.shape))
    sizes = [size for size in shape if size is not None]
    if len(sizes) < len(shape) or 0 in sizes:
        raise ArtifactError(
            f"{origin} takes {shape_text(spec.shape)}: random inputs need every size except the first: convert "
            "it with fixed sizes"
        )
    rng = np.random.default_rng(0)
    count = timed_inputs(math.prod(sizes))
    if spec.dtype in ("float16", "float32", "float64"):
        return [rng.standard_normal(sizes).astype(spec.dtype) for _ in range(count)]
    if spec.dtype == "bool":
        return [rng.integers(0, 2, sizes).astype(bool) for _ in range(count)]
    if spec.dtype in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"):
        span = np.iinfo(spec.dtype)
        return [rng.integers(span.min, span.max, sizes, spec.dtype, endpoint=True) for _ in range(count)]
    raise ArtifactError(f"{origin} takes {spec.dtype}, for which there are no random inputs: give a model with numbers")
