"""Numbers and durations as people type them."""

import math
import re
from typing import Any

import numpy as np
import pytest

from edgecnn.edge.option import Option, height_width, numbers, seconds, whole_numbers


@pytest.mark.parametrize("text", ["", "one", "1,,2", "1;2", "1.5", "-1"])
def test_what_are_no_whole_numbers_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        whole_numbers(text)


def test_several_numbers_are_separated_by_commas() -> None:
    assert whole_numbers("1") == (1,)
    assert whole_numbers("1, 2,4") == (1, 2, 4)
    assert numbers("0.485,0.456, 1") == (0.485, 0.456, 1.0)
    assert height_width("96X128") == (96, 128)


@pytest.mark.parametrize(
    "text", ["", "s", "-1s", "+1", "1.5.2", ".5s", "5.", "10 ms", "10ms", "1d", "1m30s", "90S", "1e3", "nan", "inf", "90s\nx"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        seconds(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [("90", 90), ("90s", 90), ("10m", 600), ("1h", 3600), ("1.5h", 5400), ("0.5", 0.5), ("0", 0), (" 2 m ", 120)],
)
def test_a_duration_is_in_seconds(text: str, value: float) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize(
    ("limits", "text", "good", "bad"),
    [
        ({"low": 1, "high": 64}, "1 to 64", (1, 64, np.int8(2)), (0, 65, True, "2", 10**400, -(10**400))),
        ({"above": 0, "below": 1}, "above 0 and below 1", (0.5, np.float32(0.1)), (0, 1, math.nan, math.inf)),
        ({"low": 10_000, "unit": "bytes"}, "at least 10,000 bytes", (10_000, 10**400), (9_999.5, math.inf, math.nan)),
        ({}, "", ("anything", math.nan, True), ()),
    ],
)
def test_a_value_is_in_its_range_whatever_its_size(
    limits: dict[str, Any], text: str, good: tuple[Any, ...], bad: tuple[Any, ...]
) -> None:
    option = Option("A number", **limits)
    assert option.range_text() == text
    assert [option.accepts(value) for value in (*good, *bad)] == [True] * len(good) + [False] * len(bad)
