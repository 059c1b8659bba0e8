"""Summaries and comparisons of launches: on known samples with intervals computed by hand, and in simulated benchmarks."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edgecnn.benchmarks.results.latency_summary import (
    TimedFile,
    beside_fastest,
    fastest,
    launch_percentile,
    no_faster_than_float,
    ratios,
    round_medians,
    summarize,
)
from edgecnn.benchmarks.results.read import read_report
from edgecnn.benchmarks.results.records import Launch, Round
from edgecnn.benchmarks.timing.times import Times
from edgecnn.edge.export_records import Interval
from tests.benchmarks.show.pages import file_result
from tests.benchmarks.slowed import slowed

# Student's t at 97.5 % with 1 and 2 degrees of freedom, from tables.
T1, T2 = 12.7062047, 4.3026527


def launch(*rounds: Sequence[int], load: int = 0, first: int = 10**9, memory: int = 0) -> Launch:
    """Return a launch with these rounds' times."""
    warm_up = Times.pack([999_999])
    return Launch(
        import_ns=load + 1,
        load_ns=load,
        warm_up=Times.pack([first, 1, 1]),
        settled=True,
        rounds=tuple(Round(warm_up, Times.pack(times), 0, None) for times in rounds),
        peak_memory_bytes=memory + 1,
        steady_memory_bytes=memory,
    )


def ends(interval: Interval | None) -> list[float]:
    assert interval
    return [interval.estimate, interval.low, interval.high]


def test_one_launch_gives_no_interval_and_no_run_is_dropped() -> None:
    result = summarize([launch([100, 200, 300])], [50])
    assert result.typical_ns is None
    assert (result.runs, result.images_per_second) == (3, 5_000_000)
    launches = [launch([1, 10**9], [5, 5]), launch([10**9], [5])]
    result = summarize(launches, [50])
    # Means of the rounds: 500,000,000.5 and 5 in one launch, 1,000,000,000 and 5 in the other.
    assert [result.runs, result.images_per_second] == pytest.approx([6, 4e9 / 1_500_000_010.5])


def test_p50_is_the_geometric_mean_of_medians_with_students_interval_over_the_launches() -> None:
    # Medians 100 and 400 make 200; 300 and 300 make 300. Logarithms: a mean, and half their difference beside it.
    launches = [launch([100, 1, 999], [400, 400]), launch([200, 400], [300])]
    center, error = math.sqrt(200 * 300), math.log(300 / 200) / 2
    assert ends(summarize(launches, []).typical_ns) == pytest.approx(
        [center, center * math.exp(-T1 * error), center * math.exp(T1 * error)]
    )


def test_percentiles_are_of_all_runs_of_all_launches_in_the_order_asked_for() -> None:
    launches = [launch(range(1, 51), range(51, 101)), launch(range(101, 151), range(151, 201))]
    high, low, rare = summarize(launches, [90, 50, 99]).percentiles
    assert (high.percent, high.value_ns, high.runs) == (90, 180, 200)
    assert (low.percent, low.value_ns) == (50, 100)
    assert (rare.percent, rare.value_ns, rare.needed_runs) == (99, None, 662)


def test_start_up_and_steady_memory_are_medians_and_the_peak_is_the_largest() -> None:
    launches = [
        launch([1], load=30, first=7, memory=500),
        launch([1], load=10, first=9, memory=900),
        launch([1], load=20, first=8, memory=100),
    ]
    result = summarize(launches, [])
    assert (result.load_ns, result.import_ns, result.first_ns) == (20, 21, 8)
    assert (result.steady_memory_bytes, result.peak_memory_bytes) == (500, 901)


def test_medians_are_by_launch_and_round() -> None:
    np.testing.assert_array_equal(
        round_medians([launch([3, 1, 2], [4, 6]), launch([7], [9, 8, 10])]), np.array([[2.0, 5.0], [7.0, 9.0]])
    )


def test_images_a_second_count_every_image_and_a_slow_launch_as_much_as_the_others() -> None:
    # One of two launches takes three times as long for an image: 2 images in 1 + 3 s of equal shares.
    uneven = [launch([10**9] * 3), launch([3 * 10**9])]
    result = summarize(uneven, [50])
    assert result.images_per_second == pytest.approx(0.5)
    bounded = launch_percentile([launch(range(1, 101), range(1, 101)), launch(range(1, 201), range(1, 101))], 90)
    assert (bounded.value_ns, len(bounded.launches)) == (120, 2)
    made = [launch([1_000_000, 3_000_000])]
    assert summarize(made, (50,)).images_per_second == pytest.approx(500)
    assert summarize(made, (50,), images_per_run=8).images_per_second == pytest.approx(4000)


def launches(times: NDArray[np.float64]) -> list[list[Launch]]:
    """Return the launches of each file, from float64 (launches, files) in nanoseconds."""
    return [[launch([round(time)]) for time in own] for own in times.T]


def test_one_launch_shows_nothing_and_a_base_has_no_ratio_to_itself() -> None:
    assert ratios([[launch([100])], [launch([50])]], 1) == (None, None)
    same = [launch([100]), launch([110])]
    assert ratios([same, same], 0) == (None, Interval(1, 1, 1))


def test_ratio_and_difference_are_taken_round_by_round_with_the_interval_over_three_launches() -> None:
    # Both files slow down equally from round to round. Differences by launch: 10, 20, 30; ratios: 2, 4, 8.
    file = (launch([20], [20]), launch([80], [80]), launch([16], [128]))
    base = (launch([10], [10]), launch([20], [20]), launch([2], [16]))
    named = (replace(file_result("a.tflite"), launches=file), replace(file_result("b.tflite"), launches=base))
    name, (found, itself) = beside_fastest(named)
    assert (name, itself.latency.ratio, itself.latency.difference_ns) == ("b.tflite", None, None)
    error = math.log(2) / math.sqrt(3)
    assert ends(found.latency.ratio) == pytest.approx([4, 4 * math.exp(-T2 * error), 4 * math.exp(T2 * error)])
    # Differences by launch: 10, 60, and the mean of 14 and 112.
    mean = (10 + 60 + 63) / 3
    half = T2 * math.sqrt(((10 - mean) ** 2 + (60 - mean) ** 2 + (63 - mean) ** 2) / 2 / 3)
    assert ends(found.latency.difference_ns) == pytest.approx([mean, mean - half, mean + half])


def test_a_third_file_widens_the_interval_of_the_same_two() -> None:
    a, b, c = launches(np.array([[100.0, 110, 300], [104, 108, 330], [101, 115, 320], [99, 112, 310]]))
    (_, alone), (_, together, _) = ratios([a, b], 0), ratios([a, b, c], 0)
    assert alone
    assert together
    assert together.estimate == alone.estimate
    assert together.low < alone.low
    assert together.high > alone.high


def test_the_fastest_file_has_the_smallest_typical_time_not_the_smallest_mean_or_single_one() -> None:
    often = [launch([10, 10, 10**6], [10]), launch([10], [10])]
    once = [launch([1], [100]), launch([100], [100])]
    steady = [launch([11], [11]), launch([11], [11])]
    assert fastest([steady, often, once]) == 1
    assert fastest([steady, once]) == 0
    # Geometric means 10 and 11, arithmetic 50.5 and 11.
    assert fastest([steady, [launch([1], [100]), launch([1], [100])]]) == 1
    assert fastest([often, often]) == 0


def alike(rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float64]:
    return rng.standard_normal(shape)


def one_is_noisy(rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float64]:
    return rng.standard_normal(shape) * np.where(np.arange(shape[1]) == 0, 5, 1)


@pytest.mark.parametrize("drawn", [alike, one_is_noisy])
@pytest.mark.parametrize(("files", "benchmarks"), [(4, 500), (20, 100)])
def test_of_equally_fast_files_one_is_called_slower_in_one_of_twenty_benchmarks(
    files: int, benchmarks: int, drawn: Callable[[np.random.Generator, tuple[int, int]], NDArray[np.float64]]
) -> None:
    """With Student's interval for each file it is 18 % with 4 files, 50 % with 10, 80 % with 20."""
    rng, wrong = np.random.default_rng(4), 0
    for _ in range(benchmarks):
        made = launches(1e6 * np.exp(0.01 * drawn(rng, (5, files))))
        wrong += any(ratio.low > 1 for ratio in ratios(made, fastest(made)) if ratio)
    assert wrong / benchmarks <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / benchmarks)


KEPT = Path(__file__).parents[1] / "kept_results/schema-3.json"


def timed(precision: str, factor: float = 1.0, runtime: str = "litert 2.3.0") -> TimedFile:
    """Return a file with the float32 file's times, all multiplied by a factor."""
    name = f"{precision}.tflite"
    (file,) = (file for file in slowed(read_report(KEPT), name, "float32.tflite", factor).files if file.name == name)
    return TimedFile(file.artifact, runtime, 1, file.launches)


@pytest.mark.parametrize(("factor", "told"), [(2.0, True), (0.97, True), (0.9, False)])
def test_a_file_gains_nothing_unless_it_is_shown_to_be_a_twentieth_faster(factor: float, told: bool) -> None:
    found = list(no_faster_than_float([timed("float32"), timed("int8", factor)]))
    assert [(place, other) for place, other, _ in found] == ([(1, 0)] if told else [])
    assert all(ratio.estimate == pytest.approx(factor, rel=0.01) for _, _, ratio in found)


def test_a_file_is_compared_with_the_float_file_of_its_own_runtime_if_there_is_one() -> None:
    files = [timed("float32"), timed("int8", 2.0, "another 1.0"), timed("float32", 4.0, "another 1.0")]
    assert not list(no_faster_than_float(files))
    assert not list(no_faster_than_float([timed("int8", 3.0)]))
