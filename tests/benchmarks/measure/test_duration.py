"""Durations formatted for people."""

import pytest

from edgecnn.benchmarks.measure.planning import duration_text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0 s"),
        (0.052, "0.052 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (89, "89 s"),
        (90, "1.5 min"),
        (5399, "90 min"),
        (36_000, "10 h"),
    ],
)
def test_a_duration_is_told_with_two_digits(value: float, text: str) -> None:
    assert duration_text(value) == text
