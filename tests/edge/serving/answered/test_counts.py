"""Periods add up, percentiles are close to the true ones, and what one period holds is bounded."""

import numpy as np
import pytest

from edgecnn.edge.serving.answered.counts import MOST_CLASSES, MOST_FILES, OTHERS, FileCounts, Period


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_percentile_is_within_9_percent_of_the_true_one(share: float) -> None:
    period, seconds = Period(), np.random.default_rng(0).lognormal(-6, 1, 5001)
    for value in seconds.tolist():
        period.took(value)
    true = float(np.sort(seconds)[int(np.ceil(share * 5001)) - 1]) * 1e3
    assert period.latency_ms(share) == pytest.approx(true, rel=0.095)


def test_times_of_any_size_are_counted_and_none_have_no_percentile() -> None:
    period = Period()
    assert period.latency_ms(0.5) is None
    for seconds in (0.0, -1.0, 1e-9, 1e9):
        period.took(seconds)
    assert sum(period.latencies.values()) == 4
    assert period.latency_ms(0.5) == pytest.approx(1e-3, rel=0.1)


def test_two_periods_added_are_what_one_would_have_counted() -> None:
    whole, parts = Period(), (Period(), Period())
    for number in range(40):
        for period in (whole, parts[number % 2]):
            period.requests["200"] = period.requests.get("200", 0) + 1
            period.pictures += 1
            period.took(0.001 * (number + 1))
            counts = period.file("a")
            assert counts
            counts.add(FileCounts({str(number % 3): 1}, {str(number % 5): 1}, number % 2, 1 - number % 2))
    total = Period()
    for part in parts:
        total.add(part)
    assert total == whole
    assert (total.files["a"].answers, total.files["a"].accepted, total.files["a"].refused) == (40, 20, 20)


def test_only_a_status_of_500_or_more_is_an_error() -> None:
    assert Period(requests={"200": 5, "404": 2, "499": 1, "500": 3, "503": 4}).errors == 7


def test_a_period_with_more_files_and_classes_than_it_may_hold_keeps_its_size_and_loses_no_answer() -> None:
    period = Period()
    for number in range(3 * MOST_CLASSES):
        counts = period.file("a")
        assert counts
        counts.add(FileCounts({str(number): 1}, {"1": 1}))
    assert len(period.files["a"].classes) == MOST_CLASSES + 1
    assert period.files["a"].classes[OTHERS] == 2 * MOST_CLASSES
    assert sum(period.files["a"].classes.values()) == period.files["a"].answers
    assert [period.file(str(number)) is None for number in range(MOST_FILES)] == [False] * (MOST_FILES - 1) + [True]
    later = Period(files={"another": FileCounts({"0": 1}, {"0": 1})})
    period.add(later)
    assert "another" not in period.files
