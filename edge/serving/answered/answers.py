"""Counts what a server answers, minute by minute: for its log, for its record on disk, and to compare with the test images."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from threading import Event, Lock, Thread
from time import monotonic, time
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edgecnn.edge.errors import ConfigError
from edgecnn.edge.files import write_bytes
from edgecnn.edge.inference.answer_mix import CONFIDENCES, ExpectedAnswers, confidence_bins
from edgecnn.edge.serving.answered.counts import MOST_FILES, Counts, FileCounts, Period, add
from edgecnn.edge.serving.answered.difference import cell_of, cells, differs, sentence
from edgecnn.edge.serving.answered.record import DAY, HOUR, Compared, Past
from edgecnn.edge.serving.answered.summary import Answered, AnswersOfFile, Traffic
from edgecnn.edge.serving.logs import log

if TYPE_CHECKING:
    from edgecnn.edge.serving.models import LoadedFile

_MINUTE = 60.0
_LAST_SECONDS = 0.5
"""How long the end of the server waits for the last write."""
_FRAME_SECONDS = 10.0
"""Interval of the camera's frames that are compared with the test images: one after another they show the same."""
_KEY_DIGITS = 16
_CONFIDENCE_NAMES = (
    f"a confidence below {CONFIDENCES[0]}",
    *(f"a confidence of {low} to {high}" for low, high in pairwise(CONFIDENCES)),
    f"a confidence of {CONFIDENCES[-1]} or more",
)


class GivenAnswer(NamedTuple):
    """A file's answer to a picture.

    Attributes:
        file: The file.
        place: Index of the class.
        confidence: Its probability.
        accepted: Whether the file's threshold accepts it; None without one.
    """

    file: "LoadedFile"
    place: int
    confidence: float
    accepted: bool | None


class _Known(NamedTuple):
    """What is known of a file. To keep the opened file itself would keep it in memory."""

    name: str
    sha256: str
    class_names: tuple[str, ...]
    expected: ExpectedAnswers | None


class Answers:
    """The counts of a server. Any thread may count."""

    def __init__(
        self,
        folder: Path | None = None,
        on_minute: Callable[[Period], None] = lambda minute: None,
        clock: Callable[[], float] = time,
    ) -> None:
        """Begin to count.

        Args:
            folder: Where the record is kept; None keeps it in memory.
            on_minute: Called with each minute in which something happened.
            clock: The machine's clock, in seconds since 1970.
        """
        self._folder, self._on_minute, self._clock = folder, on_minute, clock
        self._past = Past()
        self._counting, self._keeping = Lock(), Lock()
        self._minute, self._begun = Period(), monotonic()
        self._comparable: dict[str, dict[str, Counts]] = {}
        self._known: dict[str, _Known] = {}
        self._next_frame = 0.0
        self._ended, self._can_write = Event(), True

    def request(self, status: int) -> None:
        """Count a request by the HTTP status of its answer."""
        with self._counting:
            add(self._minute.requests, {str(status): 1})

    def took(self, seconds: float) -> None:
        """Count how long the answer to a request with pictures, or to a frame, took."""
        with self._counting:
            self._minute.took(seconds)

    def picture(self, answers: Sequence[GivenAnswer], is_frame: bool) -> None:
        """Count the answers to a picture, or to a frame of the camera."""
        bins = confidence_bins(np.array([answer.confidence for answer in answers]))
        now = monotonic()
        with self._counting:
            is_compared = not is_frame or now >= self._next_frame
            if is_frame and is_compared:
                self._next_frame = now + _FRAME_SECONDS
            self._minute.pictures += 1
            for answer, place in zip(answers, bins.tolist(), strict=True):
                key = self._key(answer.file)
                confidences = {str(place): 1}
                one = FileCounts({str(answer.place): 1}, confidences, answer.accepted is True, answer.accepted is False)
                if counts := self._minute.file(key):
                    counts.add(one)
                if is_compared and self._known[key].expected:
                    cell = cell_of(answer.place, len(self._known[key].class_names))
                    new = self._comparable.setdefault(key, {"classes": {}, "confidences": {}})
                    add(new["classes"], {str(cell): 1})
                    add(new["confidences"], confidences)

    def close_minute(self) -> None:
        """Add the minute that has passed to the record, and write that if anything happened."""
        with self._keeping:
            with self._counting:
                minute, comparable, start = self._minute, self._comparable, self._start()
                self._minute, self._comparable, self._begun = Period(), {}, monotonic()
            if minute.is_empty:
                return
            minute.start = start
            self._past.add(minute)
            said = [text for key, counts in comparable.items() for text in self._compare(key, counts, minute.start)]
            files = self._past.unsaved()
        self._on_minute(minute)
        for text in said:
            log(text)
        if self._folder:
            self._write(self._folder, files)

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Go on with what was counted before, and close each minute while the block runs, and the last one at its end."""
        if self._folder:
            self._past = Past.load(self._folder, log)
        thread = Thread(target=self._run, name="answers", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join(_LAST_SECONDS)  # A card that is broken may never finish.

    def summary(self, files: Sequence["LoadedFile"]) -> Answered:
        """Return what was answered, by the files in service, before the last start too."""
        with self._keeping:
            with self._counting:
                minute = Period()
                minute.add(self._minute)
                known, start = [(key := self._key(file), self._known[key]) for file in files], self._start()
            past, now = self._past, self._past.time(self._clock())
            since = past.since or (0 if minute.is_empty else start)
            every = _sum(past.days, minute)
            return Answered(
                since=datetime.fromtimestamp(since, UTC).isoformat() if since else None,
                hour=_traffic(_sum((period for period in past.minutes if 0 <= now - period.start < HOUR), minute)),
                day=_traffic(_sum((period for period in past.hours if -HOUR < now - period.start < DAY), minute)),
                all=_traffic(every),
                files=tuple(self._of_file(key, one, every.files.get(key, FileCounts())) for key, one in known),
            )

    def _start(self) -> int:
        """Return when the minute began that is counted now."""
        return self._past.time(self._clock() - round(monotonic() - self._begun))

    def _run(self) -> None:
        while not self._ended.wait(_MINUTE):
            self.close_minute()
        self.close_minute()

    def _key(self, file: "LoadedFile") -> str:
        """Return the key of a file's counts, and remember its name and its classes."""
        key = file.about.sha256[:_KEY_DIGITS]
        if key not in self._known:
            if len(self._known) >= MOST_FILES:
                del self._known[next(iter(self._known))]
            self._known[key] = _Known(file.name, file.about.sha256, file.classifier.class_names, file.expected)
        return key

    def _compare(self, key: str, new: dict[str, Counts], start: int) -> Iterator[str]:
        """Add answers to those that are compared, and yield what is found to differ for the first time."""
        known, compared = self._known.get(key), self._past.comparison(key)
        if known is None or known.expected is None:
            return
        if compared.day != start // DAY * DAY:
            compared.day, compared.today, compared.days = start // DAY * DAY, {}, compared.days + 1
        expected_of = {"classes": cells(known.expected.classes), "confidences": list(known.expected.confidences)}
        for what, expected in expected_of.items():
            for counts in (compared.always, compared.today):
                add(counts.setdefault(what, {}), new[what])
            always, today = (_row(counts[what], len(expected)) for counts in (compared.always, compared.today))
            if what not in compared.said and differs(expected, always, today, compared.days):
                names = _CONFIDENCE_NAMES if what == "confidences" else _cell_names(known.class_names)
                shown = always if differs(expected, always, [0] * len(expected), 1) else today
                seen = f"{datetime.fromtimestamp(start, UTC):%Y-%m-%d %H:%M} UTC"
                compared.said[what] = sentence(known.name, what, expected, shown, names, seen)
                yield compared.said[what]

    def _of_file(self, key: str, known: "_Known", counts: FileCounts) -> AnswersOfFile:
        compared = self._past.compared.get(key, Compared())
        names = {str(place): name for place, name in enumerate(known.class_names)}
        bins = {str(place): str(low) for place, low in enumerate((0.0, *CONFIDENCES))}
        classes: Counts = {}
        for place, number in counts.classes.items():  # A class may be called as `OTHERS` is.
            add(classes, {names.get(place, place): number})
        return AnswersOfFile(
            file=known.name,
            sha256=known.sha256,
            answers=counts.answers,
            accepted=counts.accepted,
            refused=counts.refused,
            classes=classes,
            confidences={bins[place]: counts.confidences[place] for place in bins if place in counts.confidences},
            compared=sum(compared.always.get("confidences", {}).values()) if known.expected else None,
            differences=tuple(compared.said.values()),
        )

    def _write(self, folder: Path, files: Sequence[tuple[str, bytes]]) -> None:
        """Write files. A full disk keeps no answer from being given; it is said once, until one can be written again."""
        try:
            for name, data in files:
                write_bytes(folder / name, data)
            self._past.saved()
            self._can_write = True
        except ConfigError as error:
            if self._can_write:
                log(f"what was answered is not kept at the moment: {error}")
            self._can_write = False


def _sum(periods: "Iterator[Period] | Sequence[Period]", last: Period) -> Period:
    total = Period()
    for period in (*periods, last):
        total.add(period)
    return total


def _traffic(period: Period) -> Traffic:
    requests = dict(sorted(period.requests.items()))
    return Traffic(requests, period.errors, period.pictures, period.latency_ms(0.5), period.latency_ms(0.9))


def _row(counts: Counts, length: int) -> list[int]:
    return [counts.get(str(place), 0) for place in range(length)]


def _cell_names(class_names: Sequence[str]) -> list[str]:
    """Return the name of each cell of `cells`: its class, or the first and the last of its classes."""
    found: dict[int, list[str]] = {}
    for place, name in enumerate(class_names):
        found.setdefault(cell_of(place, len(class_names)), []).append(name)
    return [names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}" for names in found.values()]
