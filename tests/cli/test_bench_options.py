"""Threads and durations as people type them."""

import pytest

from edgecnn.cli.bench_options import seconds, thread_counts
from edgecnn.edge.errors import ConfigError


@pytest.mark.parametrize("text", ["", "one", "1,,2", "1;2"])
def test_threads_that_are_no_numbers_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--threads must be a number, or several such as 1,2,4"):
        thread_counts(text)


def test_several_numbers_of_threads_are_a_sweep() -> None:
    assert thread_counts("1") == (1,)
    assert thread_counts("1, 2,4") == (1, 2, 4)


@pytest.mark.parametrize(
    "text", ["", "s", "-1s", "+1", "1.5.2", ".5s", "5.", "10 ms", "10ms", "1d", "1m30s", "90S", "1e3", "nan", "inf", "90s\nx"]
)
def test_what_is_no_duration_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        seconds("--sustained", text)
    assert str(caught.value) == f"--sustained must be a duration, for example 90s, 10m or 1h, got {text!r}"


@pytest.mark.parametrize(
    ("text", "value"),
    [("90", 90), ("90s", 90), ("10m", 600), ("1h", 3600), ("1.5h", 5400), ("0.5", 0.5), ("0", 0), (" 2 m ", 120)],
)
def test_a_duration_is_in_seconds(text: str, value: float) -> None:
    assert seconds("--sustained", text) == value
