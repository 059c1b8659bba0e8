"""Summaries of launches, on known samples with intervals computed by hand."""

import math
from collections.abc import Sequence

import numpy as np
import pytest

from edgecnn.benchmarks.results.latency_summary import launch_percentile, round_medians, summarize
from edgecnn.benchmarks.results.records import Launch, Round
from edgecnn.benchmarks.timing.times import Times
from edgecnn.edge.export_records import Interval

# Student's t at 97.5 %, from tables.
T1 = 12.7062047


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


def test_one_launch_gives_no_interval() -> None:
    result = summarize([launch([100, 200, 300])], [50])
    assert result.typical_ns is None
    assert (result.runs, result.images_per_second) == (3, 5_000_000)


def test_p50_is_the_geometric_mean_of_medians_with_students_interval_over_the_launches() -> None:
    # Medians 100 and 400 make 200; 300 and 300 make 300. Logarithms: a mean, and half their difference beside it.
    launches = [launch([100, 1, 999], [400, 400]), launch([200, 400], [300])]
    center, error = math.sqrt(200 * 300), math.log(300 / 200) / 2
    assert ends(summarize(launches, []).typical_ns) == pytest.approx(
        [center, center * math.exp(-T1 * error), center * math.exp(T1 * error)]
    )


def test_no_run_is_dropped() -> None:
    launches = [launch([1, 10**9], [5, 5]), launch([10**9], [5])]
    result = summarize(launches, [50])
    # Means of the rounds: 500,000,000.5 and 5 in one launch, 1,000,000,000 and 5 in the other.
    assert [result.runs, result.images_per_second] == pytest.approx([6, 4e9 / 1_500_000_010.5])


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


def test_a_slow_launch_counts_as_much_as_the_others_though_it_has_fewer_runs() -> None:
    # One of two launches takes three times as long for an image: 2 images in 1 + 3 s of equal shares.
    uneven = [launch([10**9] * 3), launch([3 * 10**9])]
    result = summarize(uneven, [50])
    assert result.images_per_second == pytest.approx(0.5)
    bounded = launch_percentile([launch(range(1, 101), range(1, 101)), launch(range(1, 201), range(1, 101))], 90)
    assert (bounded.value_ns, len(bounded.launches)) == (120, 2)


def test_images_a_second_count_every_image_of_a_run() -> None:
    made = [launch([1_000_000, 3_000_000])]
    assert summarize(made, (50,)).images_per_second == pytest.approx(500)
    assert summarize(made, (50,), images_per_run=8).images_per_second == pytest.approx(4000)
