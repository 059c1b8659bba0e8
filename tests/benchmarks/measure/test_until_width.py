"""Stopping at a width fixed beforehand: when, and its effect on the intervals."""

import math
from functools import cache, partial

import numpy as np
import pytest
from numpy.typing import NDArray

from edgecnn.benchmarks.measure.options import Plan
from edgecnn.benchmarks.measure.planning import MOST_LAUNCHES, UNTIL_WIDTH_LAUNCHES, narrow_enough
from edgecnn.benchmarks.results.latency_summary import summarize
from edgecnn.benchmarks.results.records import Launch, Round
from edgecnn.benchmarks.statistics.intervals import fastest_quantile, student_quantile
from edgecnn.benchmarks.timing.times import Times

pytestmark = pytest.mark.workstation("whole benchmarks, a process for each launch, take minutes under emulation")

WIDTH = partial(Plan, launches=20, rounds=1)


def file(*medians_ns: int) -> list[Launch]:
    times = [Times.pack([median - 5, median, median + 5]) for median in medians_ns]
    return [Launch(1, 1, Times.pack([9]), True, (Round(Times.pack([]), item, 1, None),), 1, 1) for item in times]


UNSTEADY = file(*[1000, 1100] * 10)
STEADY = file(*[2000, 2010] * 10)
TWICE = file(*[2000, 2200] * 10)


def test_wide_intervals_go_on_and_narrow_ones_end_by_every_ratio_of_several_files() -> None:
    found = summarize(UNSTEADY, ()).typical_ns
    assert found
    width = 100 * (found.high / found.estimate - 1)
    assert not narrow_enough(WIDTH(until_width_percent=0.99 * width), [UNSTEADY])
    assert narrow_enough(WIDTH(until_width_percent=1.01 * width), [UNSTEADY])
    assert narrow_enough(WIDTH(until_width_percent=1), [STEADY])
    plan = WIDTH(until_width_percent=1)
    assert narrow_enough(plan, [UNSTEADY, TWICE])  # Both drift equally.
    assert not narrow_enough(plan, [UNSTEADY, STEADY])
    assert not narrow_enough(plan, [UNSTEADY, TWICE, STEADY])
    assert narrow_enough(WIDTH(), [UNSTEADY])


@cache
def half_widths(outliers: bool = False) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean of the first launches and half their interval's width, after each launch of 20,000 benchmarks.

    With outliers, one launch in ten is 2 standard deviations slower.
    """
    random = np.random.default_rng(0)
    values = random.standard_normal((20_000, MOST_LAUNCHES))
    if outliers:
        values += 2.0 * ((random.random(values.shape) < 0.1) - 0.1)
    counts = np.arange(1, values.shape[1] + 1)
    mean = np.cumsum(values, axis=1) / counts
    variance = (np.cumsum(values**2, axis=1) - counts * mean**2) / np.maximum(counts - 1, 1)
    quantiles = np.array([0.0] + [student_quantile(0.975, count - 1) for count in counts[1:]])
    return mean, quantiles * np.sqrt(np.maximum(variance, 0) / counts)


def stopped(done: NDArray[np.bool_], first: int) -> NDArray[np.intp]:
    """Return the first position from `least` on at which each row is done, or the last one."""
    done = done.copy()
    done[:, : first - 1] = False
    done[:, -1] = True
    found: NDArray[np.intp] = done.argmax(axis=1)
    return found


@pytest.mark.parametrize("width", [2.0, 0.6, 0.5, 0.45, 0.4, 0.35, 0.3, 0.25, 0.2])
@pytest.mark.parametrize("outliers", [False, True])
def test_intervals_hold_the_truth_in_95_percent_of_benchmarks_that_stop_at_a_width(width: float, outliers: bool) -> None:
    mean, half = half_widths(outliers)
    rows, end = np.arange(len(mean)), stopped(half <= width, UNTIL_WIDTH_LAUNCHES)
    assert np.mean(np.abs(mean[rows, end]) <= half[rows, end]) >= 0.94


@pytest.mark.parametrize("width", [1.0, 0.8, 0.6])
def test_the_intervals_of_four_files_hold_at_once_where_all_of_them_are_narrow(width: float) -> None:
    values = np.random.default_rng(1).standard_normal((8_000, MOST_LAUNCHES, 4))
    holds, rows = np.zeros(len(values), bool), np.arange(len(values))
    for count in range(UNTIL_WIDTH_LAUNCHES, MOST_LAUNCHES + 1):  # Those whose intervals are wide still.
        found = values[rows, :count]
        base = found.mean(axis=1).argmin(axis=1)
        differences = found - found[np.arange(len(rows)), :, base][:, :, None]
        half = fastest_quantile(4, count) * differences.std(axis=1, ddof=1) / math.sqrt(count)
        narrow = (half <= width).all(axis=1) | (count == MOST_LAUNCHES)
        holds[rows[narrow]] = (np.abs(differences.mean(axis=1)) <= half).all(axis=1)[narrow]
        rows = rows[~narrow]
    assert holds.mean() >= 0.94


def test_fewer_launches_before_the_first_look_would_not_hold_it() -> None:
    mean, half = half_widths()
    rows, end = np.arange(len(mean)), stopped(half <= 0.55, 5)
    assert np.mean(np.abs(mean[rows, end]) <= half[rows, end]) < 0.93


def test_stopping_at_a_verdict_finds_a_difference_between_equals_far_too_often() -> None:
    mean, half = half_widths()
    rows, end = np.arange(len(mean)), stopped(np.abs(mean) > half, UNTIL_WIDTH_LAUNCHES)
    assert np.mean(np.abs(mean[rows, end]) > half[rows, end]) > 0.15
