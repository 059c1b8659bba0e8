"""What is kept of the past: the last 60 minutes, 72 hours and 400 days with answers, on disk in three files of bounded size.

`answers.json` is written once a minute, and only if there was a request; hours and days that have ended are in files of their
own, which are written when one ends. Each is replaced by a rename after its bytes are on the disk, so a power cut costs a
minute. Periods are kept in the order in which they were recorded: a clock that jumps makes wrong labels, and displaces nothing.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from edgecnn.edge.errors import ArtifactError
from edgecnn.edge.files import read_bytes, sha256
from edgecnn.edge.records import Record, from_json, to_value
from edgecnn.edge.serving.answered.counts import MOST_FILES, Counts, Period

SCHEMA = 1
NOW_NAME, HOURS_NAME, DAYS_NAME = "answers.json", "answers.hours.json", "answers.days.json"
HOUR, DAY = 3600, 86_400
_MOST_MINUTES, _MOST_HOURS, _MOST_DAYS = 60, 72, 400
_MOST_BYTES = 2**26
EARLIEST = 1_767_225_600
"""2026-01-01: an earlier clock is not set yet, as on a board without a battery before it has found a network."""


@dataclass
class Compared:
    """A file's answers that are compared with those for the test images.

    Attributes:
        always: Number of answers by cell, for `classes` and `confidences`, since the file came into service.
        today: Those of this day.
        day: Beginning of this day.
        days: Number of this day, from 1, counting days with answers.
        said: What differs and was said, by `classes` and `confidences`.
    """

    always: dict[str, Counts] = field(default_factory=dict)
    today: dict[str, Counts] = field(default_factory=dict)
    day: int = 0
    days: int = 0
    said: dict[str, str] = field(default_factory=dict)


@dataclass
class _Now:
    """The file that is written each minute."""

    schema: int
    since: int
    minutes: tuple[Period, ...]
    hour: Period
    day: Period
    compared: dict[str, Compared]


@dataclass
class _Ended:
    """The file of hours or days that have ended."""

    schema: int
    periods: tuple[Period, ...]


class Past:
    """What was answered, in memory.

    Attributes:
        since: Beginning of the first minute, in seconds since 1970; 0 without any.
        minutes: The last minutes, without the answers of each file.
        hours: The last hours. The last of them goes on.
        days: The last days. The last of them goes on.
        compared: Comparisons by the first digits of a file's SHA-256.
    """

    def __init__(self) -> None:
        self.since = 0
        self.minutes: list[Period] = []
        self.hours: list[Period] = []
        self.days: list[Period] = []
        self.compared: dict[str, Compared] = {}
        self._unsaved: dict[str, list[Period]] = {}

    def time(self, clock: float) -> int:
        """Return a time of the machine's clock, or where it is not set yet, the last time that is known."""
        if clock >= EARLIEST:
            return int(clock)
        return self.minutes[-1].start if self.minutes else EARLIEST

    def add(self, minute: Period) -> None:
        """Add a minute that has ended."""
        self.since = self.since or minute.start
        self.minutes.append(replace(minute, files={}))
        del self.minutes[:-_MOST_MINUTES]
        for name, ring, seconds, most in (
            (HOURS_NAME, self.hours, HOUR, _MOST_HOURS),
            (DAYS_NAME, self.days, DAY, _MOST_DAYS),
        ):
            start = minute.start // seconds * seconds
            known = next((period for period in ring if period.start == start), None)
            if known is not (ring[-1] if ring else None):
                self._unsaved[name] = ring  # One has ended, or the clock went back into one that had.
            if known is None:
                known = Period(start)
                ring.append(known)
                del ring[:-most]
            known.add(minute)

    def comparison(self, key: str) -> Compared:
        """Return what is compared of a file, to change it; that of the file which came first makes room."""
        if key not in self.compared and len(self.compared) >= MOST_FILES:
            del self.compared[next(iter(self.compared))]
        return self.compared.setdefault(key, Compared())

    def unsaved(self) -> list[tuple[str, bytes]]:
        """Return names and contents of the files to write, in this order, after a minute was added; then call `saved`."""
        files = [(name, _bytes(_Ended(SCHEMA, tuple(ring[:-1])))) for name, ring in self._unsaved.items()]
        now = _Now(SCHEMA, self.since, tuple(self.minutes), self.hours[-1], self.days[-1], self.compared)
        return [*files, (NOW_NAME, _bytes(now))]

    def saved(self) -> None:
        """Note that the files have been written."""
        self._unsaved = {}

    @classmethod
    def load(cls, folder: Path, on_damage: Callable[[str], None]) -> "Past":
        """Read the files of a folder; `on_damage` gets a line for each one that can't be read; its part then begins at zero."""
        past = cls()
        for name, ring in ((HOURS_NAME, past.hours), (DAYS_NAME, past.days)):
            ended, is_damaged = _read(_Ended, folder / name, on_damage)
            ring += ended.periods if ended else ()
            if is_damaged:
                past._unsaved[name] = ring
        now, _ = _read(_Now, folder / NOW_NAME, on_damage)
        if now:
            past.since, past.minutes, past.compared = now.since, list(now.minutes), now.compared
            for ring, last in ((past.hours, now.hour), (past.days, now.day)):
                # If the process was killed between the two files, both have this period, and one of them lacks a minute.
                both = [*(period for period in ring if period.start == last.start), last]
                ring[:] = [period for period in ring if period.start != last.start]
                ring.append(max(both, key=lambda period: sum(period.requests.values()) + period.pictures))
        elif past.days:
            past.since = past.days[0].start
        return past


def _bytes(record: Any) -> bytes:
    """Return a record after a line with the hash of its bytes: of a card that loses bits, nothing is taken for a count."""
    data = json.dumps(to_value(record), separators=(",", ":")).encode()
    return f"{sha256(data)}\n".encode() + data


def _read(kind: type[Record], path: Path, on_damage: Callable[[str], None]) -> tuple[Record | None, bool]:
    """Return the record of a file, and whether the file is damaged; None if it is, or does not exist."""
    if not path.exists():
        return None, False
    try:
        digest, _, data = read_bytes(path, _MOST_BYTES).partition(b"\n")
        if digest.decode(errors="replace") != sha256(data):
            raise ArtifactError(f"{path} is damaged")
        return from_json(kind, data, str(path), SCHEMA), False
    except ArtifactError as error:
        on_damage(f"a part of the record of answers can't be read and begins at zero: {error}")
        return None, True
