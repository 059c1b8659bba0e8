"""A diagnosis as text: its layout, and that what is to be typed stays whole."""

import pytest

from benchmarks.doctor import Diagnosis, Finding
from benchmarks.doctor_text import doctor_text
from benchmarks.known_problems import KNOWN_PROBLEMS, OK, PROBLEM, WARNING


def test_the_text_fits_100_columns_and_keeps_commands_whole() -> None:
    rows = [Finding("x" * 40, row.status, row.text * 3, row.fix, row.source) for row in KNOWN_PROBLEMS]
    rows += [Finding(row.topic, row.status, row.text, row.fix, row.source) for row in KNOWN_PROBLEMS]
    told = doctor_text(Diagnosis(tuple(rows)))
    assert max(len(line) for line in told.splitlines()) <= 100
    assert all(f"-> {row.fix}\n" in told and f"see {row.source}\n" in told for row in KNOWN_PROBLEMS)


@pytest.mark.parametrize(
    ("statuses", "last"),
    [
        ((OK,), "all is well"),
        ((), "all is well"),
        ((OK, WARNING), "1 warning"),
        ((PROBLEM, WARNING, PROBLEM), "2 problems and 1 warning"),
    ],
)
def test_the_last_line_counts(statuses: tuple[str, ...], last: str) -> None:
    told = doctor_text(Diagnosis(tuple(Finding("a", status, "b") for status in statuses)))
    assert told.splitlines()[-1] == last


def test_the_layout_is_status_name_text_then_fix_and_source() -> None:
    told = Diagnosis((Finding("governor", WARNING, "slow", "do it", "there"), Finding("a" * 33, OK, "fine")))
    assert doctor_text(told) == (
        "warning  governor                        slow\n"
        "         -> do it\n"
        "            see there\n"
        f"ok       {'a' * 33}\n"
        "                                         fine\n"
        "\n"
        "1 warning"
    )
