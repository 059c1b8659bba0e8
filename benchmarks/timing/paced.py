"""A camera loop: images at a fixed rate, and how often the answer is late."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from edgecnn.benchmarks.timing.latency import Batch, Clock


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
