"""Judges an answer: the column of the table in which it counts."""

import re
from dataclasses import dataclass
from enum import StrEnum

from tools.faults.pool import Answer


class Column(StrEnum):
    """A column of a table. The columns in `RIGHT` are right, the others are findings."""

    REFUSED = "refused"
    ACCEPTED = "accepted as unverified"
    CRASH = "crash"
    TRACEBACK = "traceback"
    HANG = "hang"
    CODE = "wrong code"
    VERDICT = "wrong verdict"
    HELD = "held"
    ENDED = "killed"
    FINISHED = "finished"
    TORN = "torn"
    LEFT = "left behind"
    ORPHAN = "orphan"
    UNTRIED = "not tried"
    """An exception in these tools: whatever was to be tried proves nothing."""


OF_FILES = (
    Column.REFUSED, Column.ACCEPTED, Column.CRASH, Column.TRACEBACK, Column.HANG, Column.CODE, Column.VERDICT, Column.UNTRIED,
)  # fmt: skip
OF_HOLES = (Column.HELD, Column.CRASH, Column.TRACEBACK, Column.HANG, Column.CODE, Column.VERDICT, Column.UNTRIED)
OF_KILLS = (
    Column.ENDED, Column.FINISHED, Column.TRACEBACK, Column.HANG, Column.CODE, Column.TORN, Column.LEFT, Column.ORPHAN,
    Column.UNTRIED,
)  # fmt: skip
OF_SCARCITY = (
    Column.REFUSED, Column.ENDED, Column.FINISHED, Column.CRASH, Column.TRACEBACK, Column.HANG, Column.CODE, Column.TORN,
    Column.LEFT, Column.UNTRIED,
)  # fmt: skip
RIGHT = (Column.REFUSED, Column.ACCEPTED, Column.HELD, Column.ENDED, Column.FINISHED)

# Except newlines and tabs: C0, DEL, C1, and characters that reverse the direction of text.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_MOST_MEMORY = {"device": 1500 * 2**20, "keras": 4000 * 2**20}
_DOCUMENTED = frozenset({0, 2, 3, 4, 5, 6, 7})


@dataclass(frozen=True)
class Expected:
    """What a command may do with an altered file.

    Attributes:
        codes: Correct exit codes.
        marked: Whether a result must say that the file is unverified.
        room: `device` or `keras`, which sets its memory limit.
    """

    codes: frozenset[int] = _DOCUMENTED
    marked: bool = False
    room: str = "device"


def judge(answer: Answer, expected: Expected) -> tuple[Column, str]:
    """Return the column in which an answer counts, and the reason."""
    if answer.hung:
        return Column.HANG, "no answer"
    if answer.died is not None:
        return Column.CRASH, f"the process ended with {answer.died}"
    if answer.traceback:
        return Column.TRACEBACK, answer.traceback.strip().splitlines()[-1]
    if "Traceback (most recent call last)" in answer.err + answer.out:
        return Column.TRACEBACK, f"printed: {(answer.err.strip() or answer.out.strip()).splitlines()[-1]}"
    if answer.peak_bytes > _MOST_MEMORY[expected.room]:
        return Column.CRASH, f"{answer.peak_bytes / 2**20:.0f} MiB of memory"
    if found := _CONTROLS.search(answer.out + answer.err):
        return Column.CODE, f"the control character {found[0]!r} reached the terminal"
    if answer.code not in expected.codes:
        return Column.CODE, f"exit code {answer.code}, not of {sorted(expected.codes)}"
    if answer.code:
        return _refusal(answer.err)
    if expected.marked and "unverified" not in answer.out.lower():
        return Column.VERDICT, "a result of an unverified file does not say so"
    return Column.ACCEPTED, ""


def _refusal(err: str) -> tuple[Column, str]:
    lines = err.splitlines()
    complaints = [line for line in lines if line.startswith("edgecnn: ")]
    if len(complaints) != 1:
        return Column.CODE, f"{len(complaints)} lines of error, not one"
    if lines[-1] != complaints[0]:
        return Column.CODE, "the error is not the last line"
    return Column.REFUSED, ""
