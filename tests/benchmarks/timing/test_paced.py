"""A camera loop on a fake clock that only a fake runtime and a fake sleep move: 100 frames a second are 10 ms apart."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgecnn.benchmarks.timing.latency import PacedTimes, run_paced

INPUTS = list(np.arange(3, dtype=np.int8).reshape(3, 1, 1, 1, 1))
MS = 1_000_000


class Camera:
    """Takes the given milliseconds for each frame, then the last of them for ever; wakes `late_ms` after it was asked to."""

    def __init__(self, *durations_ms: float, late_ms: float = 0) -> None:
        self.durations = list(durations_ms)
        self.late_ns = round(late_ms * MS)
        self.began = self.now = 123_456_789
        self.starts: list[int] = []
        self.inputs: list[int] = []
        self.slept: list[float] = []

    def run(self, batch: NDArray[Any]) -> None:
        self.starts.append(self.now - self.began)
        self.inputs.append(int(batch.item()))
        self.now += round(MS * (self.durations.pop(0) if len(self.durations) > 1 else self.durations[0]))

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.slept.append(seconds)
        self.now += round(seconds * 1e9) + self.late_ns

    def pace(self, frames: int, rate: float = 100) -> PacedTimes:
        return run_paced(self.run, INPUTS, rate, frames, clock=lambda: self.now, sleep=self.sleep)


def in_ns(*milliseconds: float) -> list[int]:
    return [round(value * MS) for value in milliseconds]


def test_frames_that_were_overtaken_are_dropped_and_missed_and_the_newest_is_taken() -> None:
    camera = Camera(35, 3)
    assert camera.pace(6) == PacedTimes(6, in_ns(35, 8, 3, 3), in_ns(35, 3, 3, 3), dropped=2, missed=3)
    assert camera.starts == in_ns(0, 35, 40, 50)
    assert camera.inputs == [0, 0, 1, 2]  # Frames 0, 3, 4 and 5 of three images.


@pytest.mark.parametrize(
    ("camera", "response", "busy", "dropped", "missed", "starts"),
    [
        (Camera(10 + 1e-6, 3), (10 + 1e-6, 3 + 1e-6, 3), (10 + 1e-6, 3, 3), 0, 1, (0, 10 + 1e-6, 20)),
        (Camera(10), (10, 10, 10, 10), (10, 10, 10, 10), 0, 0, (0, 10, 20, 30)),
        (Camera(20, 3), (20, 3), (20, 3), 1, 2, (0, 20)),
        (Camera(25), (25, 30, 25, 30), (25, 25, 25, 25), 6, 10, (0, 25, 50, 75)),
        (Camera(95), (95,), (95,), 4, 5, (0,)),
        (Camera(3, late_ms=2), (3, 5, 5), (3, 3, 3), 0, 0, (0, 12, 22)),
        (Camera(3, late_ms=7.5), (3, 10.5, 3.5), (3, 3, 3), 0, 1, (0, 17.5, 20.5)),
    ],
    ids=[
        *("a nanosecond late is missed", "the deadline exactly is met", "one whose successor is due is overtaken"),
        *("always too slow misses all", "the last are dropped too", "waking late is not busy time", "waking late can miss"),
    ],
)
def test_a_frame_waits_for_the_one_before_or_is_dropped_and_is_missed_after_its_deadline(
    camera: Camera, response: Sequence[float], busy: Sequence[float], dropped: int, missed: int, starts: Sequence[float]
) -> None:
    expected = PacedTimes(len(busy) + dropped, in_ns(*response), in_ns(*busy), dropped, missed)
    assert camera.pace(expected.frames) == expected
    assert camera.starts == in_ns(*starts)


def test_frames_that_are_on_time_start_when_they_are_due() -> None:
    camera = Camera(3)
    assert camera.pace(4) == PacedTimes(4, in_ns(3, 3, 3, 3), in_ns(3, 3, 3, 3), dropped=0, missed=0)
    assert camera.starts == in_ns(0, 10, 20, 30)
    assert camera.inputs == [0, 1, 2, 0]
    assert camera.slept == pytest.approx([0.007] * 3)


def test_a_period_that_is_no_whole_number_of_nanoseconds_does_not_drift() -> None:
    camera = Camera(3)
    camera.pace(3001, rate=3)
    assert camera.starts[:4] == [0, 333_333_333, 666_666_667, 1_000_000_000]
    assert camera.starts[-1] == 1_000_000_000_000


def test_the_default_clock_and_sleep_are_the_machines() -> None:
    result = run_paced(lambda batch: None, INPUTS, 1000, 3)
    assert result.frames == 3
    assert len(result.response_ns) == 3 - result.dropped
