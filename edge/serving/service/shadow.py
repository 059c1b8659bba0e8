"""A candidate answers live pictures too, after the files in service, which alone answer; agreement is counted."""

import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any, NamedTuple

import numpy as np

from edgecnn.edge.errors import EdgeCnnError
from edgecnn.edge.files import make_folder, write_bytes
from edgecnn.edge.inference.pictures import FittedPicture
from edgecnn.edge.model.preprocess import Images
from edgecnn.edge.packages import load_pillow
from edgecnn.edge.serving.decoder import SLOW_SECONDS, Decoder, Rule, fitted
from edgecnn.edge.serving.logs import log
from edgecnn.edge.serving.models import LoadedFile, Models

_MOST_WAITING = 16
_MOST_WAITING_BYTES = 2**24
_SUFFIXES = {b"\x89PNG": ".png", b"\xff\xd8\xff": ".jpg"}
_MOST_LABEL = 40


class _Live(NamedTuple):
    """A picture that was answered.

    Attributes:
        source: The bytes of its file, or a frame's pixels as uint8 (h, w, 3).
        fitted: What the files in service got.
        answers: Their names and the classes that they named.
    """

    source: bytes | Images
    fitted: Mapping[Rule, FittedPicture]
    answers: Sequence[tuple[str, str]]

    @property
    def size(self) -> int:
        return self.source.nbytes if isinstance(self.source, np.ndarray) else len(self.source)


class Kept:
    """A folder for pictures, which together with what is in it already takes at most so many bytes."""

    def __init__(self, folder: Path, most: int) -> None:
        """Make the folder.

        Raises:
            ConfigError: If it can't be written.
        """
        make_folder(folder)
        self._folder, self._number = folder, 0
        self._left = most - sum(path.stat().st_size for path in folder.iterdir() if path.is_file())

    def keep(self, source: bytes | Images, before: str, after: str) -> bool:
        """Write a picture that two files see differently, if there is room, and return whether there was.

        Raises:
            ConfigError: If it can't be written.
        """
        data = _png(source) if isinstance(source, np.ndarray) else source
        if len(data) > self._left:
            return False
        suffix = next((suffix for start, suffix in _SUFFIXES.items() if data.startswith(start)), ".picture")
        while (path := self._folder / f"{self._number:06}-{_plain(before)}-{_plain(after)}{suffix}").exists():
            self._number += 1
        write_bytes(path, data)
        self._number += 1
        self._left -= len(data)
        return True


class Shadow:
    """Compares a candidate's answers with those in service, in a thread of its own, of which nobody waits for anything.

    What comes while as many pictures wait as may is dropped, and counted.
    """

    def __init__(self, candidate: Models, wanted: int, kept: Kept | None) -> None:
        """Start the thread, for as many pictures as are wanted."""
        self._files = {file.name: file for file in candidate.files}
        self._first, self._kept = candidate.files[0], kept
        self._counts = {"wanted": wanted, "answered": 0, "same": 0, "kept": 0, "dropped": 0}
        self._left, self._waiting, self._bytes = wanted, 0, 0
        self._lock, self._queue = Lock(), SimpleQueue[_Live | None]()
        self._decoder: Decoder | None = None
        self._closed = False
        Thread(target=self._run, name="shadow", daemon=True).start()

    def counts(self) -> dict[str, int]:
        """Return how many pictures were wanted, answered, of the same class for both, kept, and dropped."""
        with self._lock:
            return dict(self._counts)

    def offer(self, source: bytes | Images, fitted: Mapping[Rule, FittedPicture], answers: Sequence[Mapping[str, Any]]) -> None:
        """Take a picture that was answered, if more are wanted; return at once."""
        live = _Live(source, fitted, [(answer["file"], answer["label"]) for answer in answers])
        with self._lock:
            if self._closed or not self._left:
                return
            if self._waiting >= _MOST_WAITING or self._bytes + live.size > _MOST_WAITING_BYTES:
                self._counts["dropped"] += 1
                return
            self._left -= 1
            self._waiting += 1
            self._bytes += live.size
            self._queue.put(live)

    def close(self) -> None:
        """End the thread, after the picture in hand; the counts stay."""
        with self._lock:
            self._closed = True
        self._queue.put(None)

    def _run(self) -> None:
        while (live := self._queue.get()) is not None and not self._closed:
            others = self._others(live)
            kept = bool(others) and self._is_kept(live.source, *others[0])
            with self._lock:
                self._waiting -= 1
                self._bytes -= live.size
                self._counts["answered"] += 1
                self._counts["same"] += not others
                self._counts["kept"] += kept
        if self._decoder:
            self._decoder.close()

    def _others(self, live: _Live) -> list[tuple[str, str]]:
        """Return each class in service with the candidate's, where they differ: of files of one name, else of the first."""
        pairs = [(self._files[name], label) for name, label in live.answers if name in self._files]
        pairs = pairs or [(self._first, live.answers[0][1])]
        try:
            found = [(label, self._label(file, live)) for file, label in pairs]
        except EdgeCnnError as error:
            log(f"the bundle in the shadow gives no answer: {error}")
            return [(pairs[0][1], "none")]
        return [(before, after) for before, after in found if before != after]

    def _label(self, file: LoadedFile, live: _Live) -> str:
        picture = live.fitted.get(file.rule) or self._fitted(live.source, file.rule)
        answer, _ = file.timed(picture.image)
        return answer.labels[0]

    def _fitted(self, source: bytes | Images, rule: Rule) -> FittedPicture:
        if isinstance(source, np.ndarray):
            return fitted(source, rule, "a frame")
        # One of its own: whoever waits for an answer waits for the others.
        self._decoder = self._decoder or Decoder(SLOW_SECONDS)
        return self._decoder.decode(source, rule)

    def _is_kept(self, source: bytes | Images, before: str, after: str) -> bool:
        try:
            return self._kept is not None and self._kept.keep(source, before, after)
        except EdgeCnnError as error:
            log(f"a picture was not kept: {error}")
            self._kept = None
            return False


def _png(pixels: Images) -> bytes:
    stream = io.BytesIO()
    load_pillow().fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def _plain(label: str) -> str:
    """Return a class's name as a part of a file's."""
    return re.sub(r"[^A-Za-z0-9_.]", "_", label)[:_MOST_LABEL]
