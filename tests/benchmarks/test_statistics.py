"""What a latency sample says, on samples whose figures are known."""

import pytest

from benchmarks.latency import LatencySample
from benchmarks.statistics import LatencySummary, summarize


def test_a_sample_without_measured_runs_is_refused() -> None:
    with pytest.raises(ValueError, match="must have measured runs, got none"):
        summarize(LatencySample((5, 6), ()))


def test_the_warm_up_does_not_count() -> None:
    assert summarize(LatencySample((10**9,), (4, 4))) == summarize(LatencySample((), (4, 4)))


@pytest.mark.parametrize(
    ("measured", "p50", "p90"),
    [
        (tuple(range(10, 110, 10)), 50, 90),
        (tuple(range(100, 0, -10)), 50, 90),  # The order does not matter.
        ((1, 2, 3, 4, 100), 3, 100),
        ((10, 20), 10, 20),  # 15 would be a time that nothing took.
        ((7,), 7, 7),
    ],
)
def test_percentiles_are_observed_times(measured: tuple[int, ...], p50: int, p90: int) -> None:
    summary = summarize(LatencySample((), measured))
    assert (summary.p50_ns, summary.p90_ns) == (p50, p90)
    assert {summary.p50_ns, summary.p90_ns} <= set(measured)


def test_one_run_is_a_sample() -> None:
    assert summarize(LatencySample((), (2_000_000,))) == LatencySummary(1, 2_000_000, 2_000_000, 500.0)


def test_an_outlier_is_kept() -> None:
    summary = summarize(LatencySample((), (1_000_000,) * 9 + (991_000_000,)))
    assert summary.runs == 10
    assert summary.images_per_second == pytest.approx(10)
