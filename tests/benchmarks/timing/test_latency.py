"""Timing with a fake clock that only a fake runtime moves."""

import gc
import resource
import time
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgecnn.benchmarks.timing.latency import RoundTimes, Stopwatch, WarmUp

INPUTS = list(np.arange(3, dtype=np.int8).reshape(3, 1, 1, 1, 1))
MS = 1_000_000


class FakeRuntime:
    """Takes the given nanoseconds for each run, in a cycle; records its inputs."""

    def __init__(self, *durations_ns: int) -> None:
        self.durations: Sequence[int] = durations_ns
        self.now = 1_000_000
        self.cpu = 5_000_000
        self.batches: list[NDArray[Any]] = []
        self.collecting: list[bool] = []

    def run(self, batch: NDArray[Any]) -> None:
        taken = self.durations[len(self.batches) % len(self.durations)]
        self.batches.append(batch)
        self.collecting.append(gc.isenabled())
        self.now += taken
        self.cpu += 2 * taken

    def clock(self) -> int:
        return self.now

    def stopwatch(self) -> Stopwatch:
        return Stopwatch(self.run, INPUTS, self.clock)


def broken(batch: NDArray[Any]) -> None:
    raise RuntimeError("broken")


@pytest.fixture
def collection_on() -> Iterator[None]:
    was = gc.isenabled()
    gc.enable()
    yield
    if not was:
        gc.disable()


def test_no_inputs_are_refused() -> None:
    with pytest.raises(ValueError, match="least one batch, got none"):
        Stopwatch(FakeRuntime(1).run, [])
    with pytest.raises(ValueError, match="least one batch, got none"):
        Stopwatch(FakeRuntime(1).run, np.zeros((0, 1, 2, 2, 1)))  # type: ignore[arg-type]  # An array is true or false only.


@pytest.mark.usefixtures("collection_on")
def test_garbage_collection_is_on_again_after_an_exception() -> None:
    with pytest.raises(RuntimeError, match="broken"):
        Stopwatch(broken, INPUTS).warm_up()
    assert gc.isenabled()
    with pytest.raises(RuntimeError, match="broken"):
        Stopwatch(broken, INPUTS).round(1, 0)
    assert gc.isenabled()


@pytest.mark.usefixtures("collection_on")
def test_garbage_collection_is_off_while_it_times_and_on_again_afterwards() -> None:
    runtime = FakeRuntime(MS)
    stopwatch = runtime.stopwatch()
    stopwatch.warm_up()
    assert gc.isenabled()
    stopwatch.round(5, 0)
    assert gc.isenabled()
    assert not any(runtime.collecting)


@pytest.mark.usefixtures("collection_on")
def test_garbage_collection_stays_off_where_the_caller_had_it_off() -> None:
    gc.disable()
    stopwatch = FakeRuntime(MS).stopwatch()
    stopwatch.warm_up()
    stopwatch.round(1, 0)
    assert not gc.isenabled()


def warmed(*durations_ns: int) -> WarmUp:
    return FakeRuntime(*durations_ns).stopwatch().warm_up()


def test_a_warm_up_that_never_settles_ends_after_five_seconds_and_says_so() -> None:
    # After two runs alone, blocks of 20 and 40 ms.
    warm_up = warmed(4 * MS, 4 * MS, *([4 * MS] * 6 + [8 * MS] * 3) * 200)
    assert not warm_up.settled
    assert 5_000 * MS <= sum(warm_up.times_ns) <= 5_100 * MS


def test_the_warm_up_goes_on_while_times_fall_and_ends_after_three_steady_blocks() -> None:
    falling = [10 * MS] * 5 + [8 * MS] * 3 + [6 * MS] * 6 + [5 * MS] * 9
    warm_up = warmed(*falling, *[5 * MS] * 99)
    assert warm_up.settled
    assert len(falling) <= len(warm_up.times_ns) <= len(falling) + 12
    rising = [5 * MS] * 5 + [6 * MS] * 6 + [8 * MS] * 99
    assert 20 <= len(warmed(*rising).times_ns) <= 32


@pytest.mark.parametrize(("slower", "settled_at_once"), [(4_120_001, False), (4_120_000, True)])
def test_blocks_three_percent_apart_have_settled_and_a_nanosecond_more_has_not(slower: int, settled_at_once: bool) -> None:
    # Two runs alone, two blocks of six, then one of another pace, and one turn of the inputs.
    times = warmed(*[4 * MS] * 14, *[slower] * 6, *[4 * MS] * 99).times_ns
    assert (len(times) == 14 + 6 + 3) == settled_at_once


def test_the_first_inference_does_not_count_for_settling_but_is_kept() -> None:
    times = warmed(1_000 * MS, *[4 * MS] * 99).times_ns
    assert times[0] == 1_000 * MS
    assert len(times) == 2 + 3 * 6 + 3


@pytest.mark.parametrize(("duration", "runs"), [(30 * MS, 9), (7 * MS, 9), (MS, 63)])
def test_a_block_is_whole_turns_of_the_same_inputs_and_twenty_milliseconds_at_least(duration: int, runs: int) -> None:
    runtime = FakeRuntime(duration)
    assert len(runtime.stopwatch().warm_up().times_ns) == 2 + runs + 3
    assert [int(batch.ravel()[0]) for batch in runtime.batches[2 : 2 + runs]] == [0, 1, 2] * (runs // 3)


def test_a_model_whose_time_depends_on_its_input_settles_and_its_rounds_are_alike() -> None:
    class Fickle(FakeRuntime):
        def run(self, batch: NDArray[Any]) -> None:
            self.durations = [(35_000, 100 * MS, 20 * MS)[int(batch.ravel()[0])]]
            super().run(batch)

    stopwatch = Fickle(1).stopwatch()
    warm_up = stopwatch.warm_up()
    assert warm_up.settled
    assert warm_up.run_ns == pytest.approx((100 * MS + 35_000) / 2, rel=0.3)
    rounds = [stopwatch.round(4, 0.05).measured_ns for _ in range(3)]
    assert rounds[0] == rounds[1] == rounds[2] == [35_000, 100 * MS, 20 * MS] * 2


def test_a_model_of_ten_seconds_warms_up_in_two_runs_and_in_three_if_they_differ() -> None:
    slow = warmed(10_000 * MS)
    assert (len(slow.times_ns), slow.settled, slow.run_ns) == (2, True, 10_000 * MS)
    falling = warmed(12_000 * MS, 10_000 * MS)
    assert (len(falling.times_ns), falling.settled) == (3, False)
    settling = warmed(12_000 * MS, 10_000 * MS, 10_100 * MS)
    assert (len(settling.times_ns), settling.settled) == (3, True)


@pytest.mark.parametrize(("duration", "most"), [(70 * MS, 0.6), (300 * MS, 1.8), (999 * MS, 6.0), (3_000 * MS, 6.0)])
def test_a_steady_slow_model_warms_up_in_a_few_runs(duration: int, most: float) -> None:
    warm_up = warmed(duration)
    assert warm_up.settled
    assert sum(warm_up.times_ns) <= most * 1e9


def test_every_time_of_a_round_is_kept_in_its_order_and_ten_runs_before_it_apart() -> None:
    before, timed = [900, 90, *[9] * 8], [7, 5, 6_000_000_000, 1, 6, 8]
    result = FakeRuntime(*before, *timed).stopwatch().round(5, 0)
    assert (result.warm_up_ns, result.measured_ns) == (before, timed)


@pytest.mark.parametrize(
    ("runs", "seconds", "expected"),
    [
        (5, 0.001, 5),  # The seconds are over after 2 runs.
        (1, 0.001, 2),  # A limit met exactly is met.
        (1, 0.0010001, 3),
        (3, 0.0, 3),
        (1, 0.0, 1),
    ],
)
def test_a_round_goes_on_until_both_minima_are_met(runs: int, seconds: float, expected: int) -> None:
    assert FakeRuntime(MS // 2).stopwatch().round(runs, seconds, inputs=1).measured_ns == [MS // 2] * expected


def test_a_slow_warm_up_does_not_count_as_measured_time() -> None:
    assert FakeRuntime(*[10 * MS] * 10, *[MS // 2] * 2).stopwatch().round(1, 0.001, inputs=1).measured_ns == [MS // 2] * 2


def test_cpu_time_and_waits_are_those_of_the_timed_runs_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = FakeRuntime(*[1000] * 10, 30, 20)
    monkeypatch.setattr(time, "process_time_ns", lambda: runtime.cpu)
    monkeypatch.setattr(resource, "getrusage", lambda who: SimpleNamespace(ru_nvcsw=100 * len(runtime.batches)))
    assert runtime.stopwatch().round(2, 0, 2) == RoundTimes([1000] * 10, [30, 20], cpu_ns=100, waits=200)


def test_every_round_takes_whole_turns_of_the_same_inputs_after_the_last_of_them() -> None:
    runtime = FakeRuntime(5 * MS)
    stopwatch = runtime.stopwatch()
    for inputs, turn in ((100, [1, 2, 0, 1, 2, 0, 1, 2]), (2, [0, 1, 0, 1, 0, 1]), (1, [0, 0, 0, 0, 0, 0])):
        for _ in range(2):
            runtime.batches.clear()
            stopwatch.round(4, 0, inputs, warm_up_runs=2)
            assert [int(batch.ravel()[0]) for batch in runtime.batches] == turn
    assert stopwatch.round(1, 0, 1, 0).warm_up_ns == []


def test_fetching_an_input_is_not_timed() -> None:
    runtime = FakeRuntime(5)

    class SlowInputs(list[NDArray[Any]]):
        def __getitem__(self, place: Any) -> Any:
            runtime.now += MS
            return SlowInputs(INPUTS) if isinstance(place, slice) else INPUTS[place]

        def __iter__(self) -> Iterator[NDArray[Any]]:
            for batch in INPUTS * 5:
                runtime.now += MS
                yield batch

    result = Stopwatch(runtime.run, SlowInputs(INPUTS), runtime.clock).round(3, 0)
    assert result.warm_up_ns + result.measured_ns == [5] * 13


def test_the_default_clock_is_wall_time() -> None:
    result = Stopwatch(lambda batch: time.sleep(0.003), INPUTS).round(2, 0)
    assert result.waits >= 3
    assert min(result.measured_ns) > 2 * MS
