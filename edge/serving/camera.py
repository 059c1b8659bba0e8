"""Shows a camera's frames with the answers to each, as long as somebody watches."""

import asyncio
import base64
import json
import time
from collections import deque
from collections.abc import AsyncIterator
from functools import partial
from io import BytesIO
from threading import Thread
from typing import Any, NamedTuple

import numpy as np

from edgecnn.edge.data.image_file import Polarity, fit_image, load_pillow
from edgecnn.edge.errors import EdgeCnnError
from edgecnn.edge.model.preprocess import Images
from edgecnn.edge.serving.answers import Problem
from edgecnn.edge.serving.camera_sources import Frames
from edgecnn.edge.serving.decoder import FittedPicture, Rule
from edgecnn.edge.serving.engine import Asked, Engine
from edgecnn.edge.serving.logs import log
from edgecnn.edge.serving.metrics import Metrics

MOST_WATCHERS = 8
"""Most clients that watch the camera at a time; each frame is answered for each of them."""
_FULL = f"{MOST_WATCHERS} clients watch the camera already: close another page"
_SHOWN = (320, 240)
_JPEG_QUALITY = 75


class _Frame(NamedTuple):
    """The latest frame, or why no frame could be read."""

    number: int
    pixels: Images | None
    problem: str | None = None


class Camera:
    """A camera that is read while somebody watches. Who is slow misses frames; they are counted.

    Attributes:
        name: What the page calls it.
    """

    def __init__(self, frames: Frames, metrics: Metrics) -> None:
        self.name = frames.name
        self._frames, self._metrics = frames, metrics
        self._latest = _Frame(0, None)
        self._arrived: asyncio.Event = asyncio.Event()
        self._watchers, self._ending = 0, False
        self._reader: Thread | None = None
        _jpeg(np.zeros((*_SHOWN[::-1], 3), np.uint8))  # The first takes longer, since it imports the encoder.

    def end(self) -> None:
        """End all streams; called in the server's loop."""
        self._ending = True
        self._arrived.set()

    def close(self) -> None:
        """Close the camera."""
        self._ending = True
        if self._reader:
            self._reader.join(timeout=5)
        self._frames.close()

    def require_place(self) -> None:
        """Raise if as many watch as may.

        Raises:
            Problem: 503.
        """
        if self._watchers >= MOST_WATCHERS:
            raise Problem(503, _FULL, {"Retry-After": "5"})

    async def answers(self, engine: Engine, asked: Asked) -> AsyncIterator[str]:
        """Yield a line of JSON for each frame that there was time for, until the client goes away or the server ends."""
        if self._watchers >= MOST_WATCHERS:  # Others may have come since `require_place`.
            yield _line({"error": _FULL})
            return
        self._watchers += 1
        self._read_on()
        try:
            before, dropped, times = self._latest.number, 0, deque[float](maxlen=31)
            while True:
                frame = await self._after(before)
                if frame is None:
                    return
                if frame.pixels is None:
                    yield _line({"error": frame.problem})
                    return
                missed = frame.number - before - 1 if times else 0
                before, dropped = frame.number, dropped + missed
                self._metrics.frames.labels("dropped").inc(missed)
                try:
                    answered = await engine.run_apart(partial(_answered, frame, engine, asked))
                except Problem as problem:
                    yield _line({"error": problem.text})
                    return
                self._metrics.frames.labels("classified").inc()
                times.append(time.perf_counter())
                rate = (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else None
                yield _line({"frame": frame.number, "dropped": dropped, "frames_per_second": rate, **answered})
        finally:
            self._watchers -= 1

    async def _after(self, number: int) -> _Frame | None:
        """Return the first frame after one, or a later one; None if the server ends."""
        while not self._ending:
            if self._latest.number > number:
                return self._latest
            self._arrived.clear()
            await self._arrived.wait()
        return None

    def _read_on(self) -> None:
        if self._reader is None or not self._reader.is_alive():
            self._reader = Thread(target=self._read, args=(asyncio.get_running_loop(),), name="camera", daemon=True)
            self._reader.start()

    def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._watchers and not self._ending:
            try:
                frame = _Frame(*self._frames.read())
            except (EdgeCnnError, OSError) as error:
                log(f"the camera failed: {error}")
                frame = _Frame(self._latest.number + 1, None, "the camera failed: the server's log says why")
            loop.call_soon_threadsafe(self._show, frame)
            if frame.pixels is None:
                return

    def _show(self, frame: _Frame) -> None:
        self._latest = frame
        self._arrived.set()


def _answered(frame: _Frame, engine: Engine, asked: Asked) -> dict[str, Any]:
    assert frame.pixels is not None  # noqa: S101 - The caller has looked.
    start_ns = time.perf_counter_ns()
    name = f"frame {frame.number}"
    try:
        fitted = {rule: _fitted(frame.pixels, rule, name) for rule in dict.fromkeys(file.rule for file in asked.files)}
        answered = engine.answered(fitted, asked)
    except EdgeCnnError as error:  # A frame of one colour shows no digit.
        answered = {"doubt": str(error), "seen": None, "answers": []}
    total_us = (time.perf_counter_ns() - start_ns) / 1e3
    return {"name": name, **answered, "jpeg": _jpeg(frame.pixels), "total_us": total_us}


def _fitted(pixels: Images, rule: Rule, name: str) -> FittedPicture:
    doubts: list[str] = []
    image = fit_image(pixels, rule.shape, rule.preprocessing, name, Polarity(None, doubts.append))
    return FittedPicture(image, doubts[0] if doubts else None)


def _jpeg(pixels: Images) -> str:
    picture = load_pillow().fromarray(pixels)
    picture.thumbnail(_SHOWN)
    stream = BytesIO()
    picture.save(stream, "JPEG", quality=_JPEG_QUALITY)
    return base64.b64encode(stream.getvalue()).decode()


def _line(record: dict[str, Any]) -> str:
    return json.dumps(record, separators=(",", ":")) + "\n"
