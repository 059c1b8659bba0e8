"""Counts of a period of time: requests, latency, and each file's answers. They add up: minutes to hours, hours to days."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import floor, log2

MOST_FILES = 32
"""Most files of which a period has counts. A bundle has a dozen; another one may have come into service within the period."""
MOST_CLASSES = 100
"""Most classes of which a file's counts are kept apart; answers with others are counted as `OTHERS`."""
OTHERS = "others"
_BINS = 4  # For each doubling of a time: a percentile is then within 9 % of the true one.

Counts = dict[str, int]
"""Numbers by what was counted. JSON has no other keys than texts."""


def add(counts: Counts, more: Mapping[str, int]) -> None:
    """Add counts to others."""
    for key, number in more.items():
        counts[key] = counts.get(key, 0) + number


@dataclass
class FileCounts:
    """A file's answers.

    Attributes:
        classes: Number of answers by index of the class.
        confidences: Number of answers by bin of `CONFIDENCES`.
        accepted: Number of answers that the file's threshold accepts; 0 for a file without one.
        refused: Number of answers that it does not accept.
    """

    classes: Counts = field(default_factory=dict)
    confidences: Counts = field(default_factory=dict)
    accepted: int = 0
    refused: int = 0

    @property
    def answers(self) -> int:
        """Number of all answers."""
        return sum(self.confidences.values())

    def add(self, more: "FileCounts") -> None:
        """Add counts of the same file."""
        for key, number in more.classes.items():
            known = key in self.classes or len(self.classes) < MOST_CLASSES
            add(self.classes, {key if known else OTHERS: number})
        add(self.confidences, more.confidences)
        self.accepted += more.accepted
        self.refused += more.refused


@dataclass
class Period:
    """What happened in a minute, an hour or a day.

    Attributes:
        start: Its beginning by this machine's clock, in seconds since 1970 (UTC).
        requests: Number of requests by HTTP status; 499 if the client went away.
        pictures: Number of pictures and camera frames that were answered.
        latencies: Number of answers by bin of the time that they took.
        files: Answers by the first digits of the file's SHA-256.
    """

    start: int = 0
    requests: Counts = field(default_factory=dict)
    pictures: int = 0
    latencies: Counts = field(default_factory=dict)
    files: dict[str, FileCounts] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """Whether nothing happened."""
        return not self.requests and not self.pictures

    @property
    def errors(self) -> int:
        """Number of requests that the server could not answer: those with a status of 500 or more."""
        return sum(number for status, number in self.requests.items() if status >= "500")

    def add(self, more: "Period") -> None:
        """Add the counts of another period."""
        add(self.requests, more.requests)
        add(self.latencies, more.latencies)
        self.pictures += more.pictures
        for key, counts in more.files.items():
            if known := self.file(key):
                known.add(counts)

    def file(self, key: str) -> FileCounts | None:
        """Return the counts of a file, to add to; None if there are those of `MOST_FILES` others."""
        if key not in self.files and len(self.files) >= MOST_FILES:
            return None
        return self.files.setdefault(key, FileCounts())

    def took(self, seconds: float) -> None:
        """Count an answer that took so many seconds."""
        add(self.latencies, {str(floor(_BINS * log2(max(seconds, 1e-6) * 1e6))): 1})

    def latency_ms(self, share: float) -> float | None:
        """Return the time in ms that this share of answers did not exceed, within 9 %; None if there were none."""
        wanted = share * sum(self.latencies.values())
        for place in sorted(map(int, self.latencies)):
            wanted -= self.latencies[str(place)]
            if wanted <= 0:
                return float(f"{2 ** ((place + 0.5) / _BINS) / 1e3:.3g}")
        return None
