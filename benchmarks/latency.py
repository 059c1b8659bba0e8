"""Timing single inferences."""

import gc
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any

from numpy.typing import NDArray

from edge.errors import ConfigError

Clock = Callable[[], int]
Batch = NDArray[Any]

# One sentence for images and one for random inputs, the same for every runtime, in every report.
TIMED_REGION = "one runtime call with one prepared image: input copied in, inference, output copied out"
RANDOM_REGION = "one runtime call with one input of random numbers: input copied in, inference, output copied out"

# So many different inputs that no cache learns them, and so few numbers in all that they do not show in the peak memory.
_MOST_INPUTS = 100
_MOST_NUMBERS = 2**22
# A block long enough that a clock governor reacts within a few of them, with enough runs for a median.
_BLOCK_RUNS = 5
_BLOCK_NS = 20_000_000
# Settled: so many blocks in a row whose medians lie so close together.
_BLOCKS = 3
_SPREAD = 0.03
_LONGEST_WARM_UP_NS = 5_000_000_000
# Other processes had the caches since a file's last round.
_ROUND_WARM_UP_RUNS = 10


@dataclass(frozen=True)
class Plan:
    """How long to measure each file: until both minima are met, spread evenly over the rounds of all launches.

    Attributes:
        min_seconds: At least so long in timed runs.
        min_runs: At least so many timed runs.
        launches: How many processes open the file, one after another. What differs between two processes of the same
            file (where its memory lies) is most of what differs between two benchmarks of it, so that intervals come
            from launches.
        rounds: Turns of each file within a launch.

    Raises:
        ConfigError: If out of range.
    """

    min_seconds: float = 1.0
    min_runs: int = 1000
    launches: int = 5
    rounds: int = 4

    def __post_init__(self) -> None:
        if not 0 <= self.min_seconds <= 86_400:
            raise ConfigError(f"--min-seconds must be 0 to 86400, got {self.min_seconds}")
        for name, value, most in (("min-runs", self.min_runs, 10**7), ("launches", self.launches, 100)):
            if not 1 <= value <= most:
                raise ConfigError(f"--{name} must be 1 to {most}, got {value}")
        if not 1 <= self.rounds <= 100:
            raise ConfigError(f"rounds must be 1 to 100, got {self.rounds}")

    @property
    def round_runs(self) -> int:
        """Least runs of one round."""
        return -(-self.min_runs // (self.launches * self.rounds))

    @property
    def round_seconds(self) -> float:
        """Least seconds of one round."""
        return self.min_seconds / (self.launches * self.rounds)


@dataclass(frozen=True)
class WarmUp:
    """What came before the first timed run.

    Attributes:
        times_ns: The first inference of the process first, which allocates buffers.
        settled: Whether the times had settled when it ended.
    """

    times_ns: list[int]
    settled: bool


@dataclass(frozen=True)
class RoundTimes:
    """One file's turn.

    Attributes:
        warm_up_ns: Runs that bring the caches back, kept apart.
        measured_ns: The timed runs; none is dropped.
        cpu_ns: CPU time of the process, all its threads, during the timed runs.
    """

    warm_up_ns: list[int]
    measured_ns: list[int]
    cpu_ns: int


class Stopwatch:
    """Times a call on inputs that take turns, so that no branch predictor or cache learns one of them.

    Garbage collection is off while timing: its pauses are Python's, not the model's. Nothing is dropped as an outlier:
    on a Raspberry Pi the slow tail is thermal throttling, which the report must show.

    Args:
        run: A runtime's `run`.
        inputs: What one run takes, each in the model's own shape and dtype.
        clock: Nanoseconds from a monotonic clock. Tests pass a fake one.

    Raises:
        ValueError: If `inputs` is empty.
    """

    def __init__(self, run: Callable[[Batch], Any], inputs: Sequence[Batch], clock: Clock = time.perf_counter_ns) -> None:
        if not len(inputs):
            raise ValueError("inputs must have at least one batch, got none")
        self._run = run
        self._inputs = itertools.cycle(inputs)
        self._clock = clock

    def warm_up(self) -> WarmUp:
        """Run until the medians of the last blocks lie within 3 % of each other, or for 5 seconds."""
        times: list[int] = []
        medians: list[float] = []
        with _no_garbage_collection():
            while True:
                block = self._time(_BLOCK_RUNS, _BLOCK_NS)
                times += block
                # The first inference allocates: it says nothing about settling.
                medians.append(median(block[1:] if len(medians) == 0 else block))
                last = medians[-_BLOCKS:]
                settled = len(last) == _BLOCKS and max(last) <= min(last) * (1 + _SPREAD)
                if settled or (len(last) == _BLOCKS and sum(times) >= _LONGEST_WARM_UP_NS):
                    return WarmUp(times, settled)

    def round(self, runs: int, seconds: float) -> RoundTimes:
        """Time at least so many runs and at least so long."""
        with _no_garbage_collection():
            warm_up = self._time(_ROUND_WARM_UP_RUNS, 0)
            cpu = time.process_time_ns()
            measured = self._time(runs, int(seconds * 1e9))
            cpu = time.process_time_ns() - cpu
        return RoundTimes(warm_up, measured, cpu)

    def _time(self, runs: int, least_ns: int) -> list[int]:
        run, clock, inputs = self._run, self._clock, self._inputs
        times: list[int] = []
        total = 0
        while len(times) < runs or total < least_ns:
            batch = next(inputs)
            start = clock()
            run(batch)
            taken = clock() - start
            times.append(taken)
            total += taken
        return times


def timed_inputs(numbers: int) -> int:
    """Return how many inputs of so many numbers each take turns."""
    return max(1, min(_MOST_INPUTS, _MOST_NUMBERS // numbers))


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()
