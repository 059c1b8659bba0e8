"""An examination as text: its layout, and that commands to type stay whole."""

import pytest

from edgecnn.benchmarks.doctor.examine import Examination
from edgecnn.benchmarks.doctor.findings import Finding
from edgecnn.benchmarks.doctor.known_problems import KNOWN_PROBLEMS, OK, PROBLEM, WARNING, Status
from edgecnn.benchmarks.show.checks import doctor_text


def test_the_text_fits_100_columns_and_keeps_commands_whole() -> None:
    rows = [Finding("x" * 40, row.status, row.text * 3, row.fix, row.source) for row in KNOWN_PROBLEMS]
    rows += [Finding(row.topic, row.status, row.text, row.fix, row.source) for row in KNOWN_PROBLEMS]
    told = doctor_text(Examination(tuple(rows)))
    assert max(len(line) for line in told.splitlines()) <= 100
    assert all(f"-> {row.fix}\n" in told and f"see {row.source}\n" in told for row in KNOWN_PROBLEMS)


@pytest.mark.parametrize(
    ("statuses", "first", "order"),
    [
        ((OK,), "No problems", ["ok"]),
        ((), "No problems", []),
        ((OK, WARNING), "1 warning,", ["warning", "ok"]),
        ((WARNING, OK, PROBLEM, PROBLEM), "2 problems and 1 warning,", ["problem", "problem", "warning", "ok"]),
    ],
)
def test_the_first_line_counts_and_problems_come_first(statuses: tuple[Status, ...], first: str, order: list[str]) -> None:
    told = doctor_text(Examination(tuple(Finding("a", status, "b") for status in statuses))).splitlines()
    assert told[0].startswith(first)
    assert [line.split()[0] for line in told[2:]] == order


def test_on_80_columns_nothing_wraps_but_what_is_to_be_typed() -> None:
    told = doctor_text(Examination((Finding("cpu", OK, "a word " * 40, "x" * 90, None),)), 80)
    assert [len(line) > 80 for line in told.splitlines()].count(True) == 1


def test_the_layout_is_status_name_text_then_fix_and_source() -> None:
    told = Examination((Finding("a" * 33, OK, "fine"), Finding("governor", WARNING, "slow", "do it", "there")))
    assert doctor_text(told).partition("\n\n")[2] == (
        "warning  governor                        slow\n"
        "         -> do it\n"
        "            see there\n"
        f"ok       {'a' * 33}\n"
        "                                         fine"
    )
