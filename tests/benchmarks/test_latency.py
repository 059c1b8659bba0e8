"""Timing with a fake clock that only a fake runtime moves."""

import gc
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.latency import Plan, RoundTimes, Stopwatch
from edge.errors import ConfigError

INPUTS = list(np.arange(3, dtype=np.int8).reshape(3, 1, 1, 1, 1))
MS = 1_000_000
FALLING = [10 * MS] * 5 + [8 * MS] * 5 + [6 * MS] * 5 + [5 * MS] * 15


class FakeRuntime:
    """Takes the given nanoseconds for each run, again and again; keeps what it was given."""

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
    with pytest.raises(ValueError, match="at least one batch, got none"):
        Stopwatch(FakeRuntime(1).run, [])
    with pytest.raises(ValueError, match="at least one batch, got none"):
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
    assert runtime.collecting == [False] * 75


@pytest.mark.usefixtures("collection_on")
def test_garbage_collection_stays_off_where_the_caller_had_it_off() -> None:
    gc.disable()
    stopwatch = FakeRuntime(MS).stopwatch()
    stopwatch.warm_up()
    stopwatch.round(1, 0)
    assert not gc.isenabled()


def test_a_warm_up_that_never_settles_ends_after_five_seconds_and_says_so() -> None:
    # Blocks of 20 and 40 ms; 83 of each and one more are 5 s to the nanosecond.
    warm_up = FakeRuntime(*[4 * MS] * 5, *[8 * MS] * 5).stopwatch().warm_up()
    assert not warm_up.settled
    assert sum(warm_up.times_ns) == 5_000 * MS
    assert len(warm_up.times_ns) == 835


def test_a_slow_model_gets_three_blocks_although_five_seconds_are_over() -> None:
    warm_up = FakeRuntime(*[3_000 * MS] * 5, *[4_000 * MS] * 5, *[5_000 * MS] * 5).stopwatch().warm_up()
    assert (len(warm_up.times_ns), warm_up.settled) == (15, False)
    warm_up = FakeRuntime(3_000 * MS).stopwatch().warm_up()
    assert (len(warm_up.times_ns), warm_up.settled) == (15, True)


def test_times_that_settle_in_the_last_block_before_the_end_have_settled() -> None:
    warm_up = FakeRuntime(*[200 * MS] * 5, *[380 * MS] * 15).stopwatch().warm_up()
    assert (len(warm_up.times_ns), warm_up.settled) == (20, True)


def test_the_warm_up_goes_on_while_times_fall_and_ends_after_three_steady_blocks() -> None:
    warm_up = FakeRuntime(*FALLING).stopwatch().warm_up()
    assert warm_up.times_ns == FALLING
    assert warm_up.settled


def test_the_warm_up_goes_on_while_times_rise() -> None:
    rising = [5 * MS] * 5 + [6 * MS] * 5 + [8 * MS] * 15
    assert FakeRuntime(*rising).stopwatch().warm_up().times_ns == rising


@pytest.mark.parametrize(("slower", "runs"), [(4_120_001, 25), (4_120_000, 15), (3_883_496, 15), (3_883_495, 25)])
def test_blocks_three_percent_apart_have_settled_and_a_nanosecond_more_has_not(slower: int, runs: int) -> None:
    runtime = FakeRuntime(*[4 * MS] * 5, *[slower] * (5 if slower > 4 * MS else 6), *[4 * MS] * 99)
    expected = runs if slower > 4 * MS else runs + 1  # Six shorter runs fill 20 ms.
    assert len(runtime.stopwatch().warm_up().times_ns) == expected


def test_the_first_inference_does_not_count_for_settling_but_is_kept() -> None:
    # The first block's median is 4.5 ms without its first run, 5 ms with it.
    times = [1_000 * MS, 4 * MS, 4 * MS, 5 * MS, 5 * MS, *[4_500_000] * 10]
    assert FakeRuntime(*times, 1).stopwatch().warm_up().times_ns == times


def test_only_the_first_inference_is_left_out() -> None:
    # The second block's median is 5 ms, 4.5 ms without its first run.
    times = [*[4_500_000] * 5, 1_000 * MS, 4 * MS, 4 * MS, 5 * MS, 5 * MS, *[4_500_000] * 15]
    assert FakeRuntime(*times, 1).stopwatch().warm_up().times_ns == times


@pytest.mark.parametrize(("duration", "runs"), [(30 * MS, 15), (4 * MS, 15), (3_999_999, 18), (MS, 60)])
def test_a_block_has_five_runs_and_twenty_milliseconds_at_least(duration: int, runs: int) -> None:
    assert FakeRuntime(duration).stopwatch().warm_up().times_ns == [duration] * runs


def test_every_time_of_a_round_is_kept_in_its_order_and_ten_runs_before_it_apart() -> None:
    before, timed = [900, 90, *[9] * 8], [7, 5, 6_000_000_000, 1, 6]
    result = FakeRuntime(*before, *timed).stopwatch().round(5, 0)
    assert (result.warm_up_ns, result.measured_ns) == (before, timed)


@pytest.mark.parametrize(
    ("runs", "seconds", "expected"),
    [
        (5, 0.001, 5),  # The seconds are over after 2 runs.
        (1, 0.001, 2),  # Exactly met is met.
        (1, 0.0010001, 3),
        (3, 0.0, 3),
        (1, 0.0, 1),
    ],
)
def test_a_round_goes_on_until_both_minima_are_met(runs: int, seconds: float, expected: int) -> None:
    assert FakeRuntime(MS // 2).stopwatch().round(runs, seconds).measured_ns == [MS // 2] * expected


def test_a_slow_warm_up_does_not_count_as_measured_time() -> None:
    assert FakeRuntime(*[10 * MS] * 10, *[MS // 2] * 2).stopwatch().round(1, 0.001).measured_ns == [MS // 2] * 2


def test_cpu_time_is_that_of_the_timed_runs_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = FakeRuntime(*[1000] * 10, 30, 20)
    monkeypatch.setattr(time, "process_time_ns", lambda: runtime.cpu)
    assert runtime.stopwatch().round(2, 0) == RoundTimes([1000] * 10, [30, 20], cpu_ns=100)


def test_the_inputs_take_turns_over_warm_up_and_rounds_and_are_passed_as_they_are() -> None:
    runtime = FakeRuntime(5 * MS)
    stopwatch = runtime.stopwatch()
    stopwatch.warm_up()
    stopwatch.round(1, 0)
    stopwatch.round(4, 0)
    assert len(runtime.batches) == 15 + 11 + 14
    assert all(batch is INPUTS[index % 3] for index, batch in enumerate(runtime.batches))


def test_fetching_an_input_is_not_timed() -> None:
    runtime = FakeRuntime(5)

    class SlowInputs(list[NDArray[Any]]):
        def __iter__(self) -> Iterator[NDArray[Any]]:
            for batch in INPUTS * 5:
                runtime.now += MS
                yield batch

    result = Stopwatch(runtime.run, SlowInputs(INPUTS), runtime.clock).round(3, 0)
    assert result.warm_up_ns + result.measured_ns == [5] * 13


def test_the_default_clock_is_wall_time() -> None:
    result = Stopwatch(lambda batch: time.sleep(0.003), INPUTS).round(2, 0)
    assert min(result.measured_ns) > 2 * MS


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ({"min_seconds": -0.1}, "--min-seconds must be 0 to 86400, got -0.1"),
        ({"min_seconds": 86_400.1}, "--min-seconds must be 0 to 86400, got 86400.1"),
        ({"min_seconds": float("nan")}, "--min-seconds must be 0 to 86400, got nan"),
        ({"min_runs": 0}, "--min-runs must be 1 to 10000000, got 0"),
        ({"min_runs": 10**7 + 1}, "--min-runs must be 1 to 10000000, got 10000001"),
        ({"launches": 0}, "--launches must be 1 to 100, got 0"),
        ({"launches": 101}, "--launches must be 1 to 100, got 101"),
        ({"rounds": 0}, "rounds must be 1 to 100, got 0"),
        ({"rounds": 101}, "rounds must be 1 to 100, got 101"),
    ],
)
def test_a_plan_out_of_range_is_refused(plan: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Plan(**plan)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "plan", [{"min_seconds": 0}, {"min_seconds": 86_400}, {"min_runs": 10**7}, {"launches": 100, "rounds": 100}]
)
def test_the_ends_of_the_ranges_are_plans(plan: dict[str, Any]) -> None:
    Plan(**plan)


@pytest.mark.parametrize(("min_runs", "share"), [(1, 1), (19, 1), (20, 1), (21, 2), (1000, 50), (1001, 51)])
def test_a_rounds_share_of_the_runs_is_rounded_up(min_runs: int, share: int) -> None:
    assert Plan(min_runs=min_runs, launches=5, rounds=4).round_runs == share


def test_a_rounds_share_of_the_seconds_is_exact() -> None:
    assert Plan(min_seconds=3, launches=5, rounds=4).round_seconds == 0.15
