"""Shows the frames of a camera or of a folder with the answers to each, as long as somebody watches."""

import asyncio
import base64
import json
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from functools import partial
from io import BytesIO
from pathlib import Path
from threading import Lock, Thread
from typing import Any, NamedTuple, Protocol

import numpy as np
from starlette.exceptions import HTTPException

from edgecnn.edge.data.image_file import read_pixels
from edgecnn.edge.errors import ConfigError, EdgeCnnError, MissingDependency, field, why
from edgecnn.edge.inference.pictures import image_files
from edgecnn.edge.model.preprocess import Images
from edgecnn.edge.packages import install_command, load_pillow
from edgecnn.edge.serving.decoder import fitted
from edgecnn.edge.serving.engine import Asked, Engine
from edgecnn.edge.serving.logs import log
from edgecnn.edge.serving.metrics import Metrics

FRAMES_PER_SECOND = 30.0
"""Rate at which the pictures of a folder are shown; a camera has its own."""
_SIZE = (640, 480)


class Frames(Protocol):
    """A camera that was opened.

    Attributes:
        name: What the page calls it.
    """

    name: str

    def read(self) -> tuple[int, Images]:
        """Wait for the next frame: its number from 1, and uint8 (h, w, 3), colours as RGB.

        Raises:
            ArtifactError: If a picture can't be read.
            OSError: If the camera gives none.
        """
        ...

    def close(self) -> None:
        """Close the camera."""


def open_camera(named: str) -> Frames:
    """Open a camera.

    Args:
        named: `picamera2`, the number of a USB camera, or a folder of pictures.

    Raises:
        ConfigError: If there is no such camera or folder.
        MissingDependency: If the package that reads it is missing.
    """
    if named == "picamera2":
        return _PiCamera()
    if named.isascii() and named.isdecimal():
        return _UsbCamera(int(named))
    if not Path(named).is_dir():
        raise ConfigError(
            f"{field('camera')}={named} is no folder: use picamera2, the number of a USB camera, or a folder of pictures"
        )
    return PictureFolder(Path(named))


class PictureFolder:
    """The pictures of a folder, over and over, as a camera would show them: who is late misses some."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.name = "a folder of pictures"
        self._paths = list(image_files(folder))
        load_pillow()  # What is missing is said at the start.
        self._clock, self._start, self._number = clock, clock(), 0

    def read(self) -> tuple[int, Images]:
        """See `Frames`."""
        # Frame n is there at n / rate; of those that have passed only the last is left.
        self._number = max(self._number + 1, int((self._clock() - self._start) * FRAMES_PER_SECOND))
        time.sleep(max(0.0, self._start + self._number / FRAMES_PER_SECOND - self._clock()))
        path = self._paths[(self._number - 1) % len(self._paths)]
        return self._number, read_pixels(path, "remove it from the folder")[0]

    def close(self) -> None:
        """Do nothing."""


class _UsbCamera:
    def __init__(self, number: int) -> None:
        try:
            import cv2  # type: ignore[import-not-found, unused-ignore] # 40 MB, only for a USB camera.
        except ModuleNotFoundError as error:
            command = install_command("usb-camera")
            raise MissingDependency(f"OpenCV, which reads USB cameras, is not installed: {command}") from error
        self.name = f"USB camera {number}"
        self._camera: Any = cv2.VideoCapture(number)
        if not self._camera.isOpened():
            raise ConfigError(f"{field('camera')}={number} can't be opened: v4l2-ctl --list-devices shows what is connected")
        self._number = 0

    def read(self) -> tuple[int, Images]:
        """See `Frames`. A frame that the driver dropped is not known."""
        found, frame = self._camera.read()
        if not found:
            raise OSError(f"{self.name} gives no more frames")
        self._number += 1
        return self._number, np.ascontiguousarray(frame[..., ::-1])

    def close(self) -> None:
        """Close the camera."""
        self._camera.release()


class _PiCamera:
    def __init__(self) -> None:
        try:
            from picamera2 import Picamera2  # type: ignore[import-not-found] # noqa: PLC0415 # Only a Pi has it.

            camera = Picamera2()
        except (ImportError, ValueError) as error:  # ValueError: its libraries were built for another numpy.
            raise MissingDependency(f"picamera2 can't be imported ({error}): sudo apt install python3-picamera2") from error
        except (RuntimeError, IndexError) as error:
            raise ConfigError(
                f"no camera can be opened ({error}): rpicam-hello --list-cameras shows what is connected"
            ) from error
        self.name = "picamera2"
        # picamera2's BGR888 is red, green, blue in an array.
        camera.configure(camera.create_video_configuration(main={"format": "BGR888", "size": _SIZE}))
        camera.start()
        self._camera, self._number = camera, 0

    def read(self) -> tuple[int, Images]:
        """See `Frames`."""
        self._number += 1
        return self._number, self._camera.capture_array()

    def close(self) -> None:
        """Close the camera."""
        self._camera.close()


MOST_WATCHERS = 8
"""Most clients that watch the camera at a time; each frame is answered for each of them."""
_FULL = f"{MOST_WATCHERS} clients watch the camera already: close another page"
_SHOWN = (320, 240)
_JPEG_QUALITY = 75


class _Frame(NamedTuple):
    """The latest frame; None if it could not be read."""

    number: int
    pixels: Images | None


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
        # Whether it reads on. A thread is alive for a while after it has decided to end, and would not read for who comes then.
        self._reading, self._deciding = False, Lock()
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
            HTTPException: 503.
        """
        if self._watchers >= MOST_WATCHERS:
            raise HTTPException(503, _FULL, {"Retry-After": "5"})

    async def answers(self, engine: Engine, asked: Callable[[], Asked]) -> AsyncIterator[str]:
        """Yield a line of JSON for each frame that there was time for, until the client goes away or the server ends.

        `asked` is called for each frame: other files may be in service by then.
        """
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
                    yield _line({"error": "the camera failed: the server's log says why"})
                    return
                missed = frame.number - before - 1 if times else 0
                before, dropped = frame.number, dropped + missed
                self._metrics.frames.labels("dropped").inc(missed)
                try:
                    answered = await engine.run_apart(partial(_answered, frame, engine, asked()))
                except HTTPException as error:
                    yield _line({"error": error.detail})
                    return
                self._metrics.frames.labels("classified" if answered["answers"] else "blank").inc()
                if answered["answers"]:
                    self._metrics.answers.took(answered["total_us"] / 1e6)
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
        with self._deciding:
            if self._reading:
                return
            self._reader = Thread(target=self._read, args=(asyncio.get_running_loop(),), name="camera", daemon=True)
            self._reader.start()
            self._reading = True

    def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._goes_on():
            try:
                frame = _Frame(*self._frames.read())
            except Exception as error:  # Cameras' libraries raise errors of many classes.
                log(f"the camera failed: {error if isinstance(error, EdgeCnnError) else why(error, named=True)}")
                with self._deciding:  # Before anybody hears of it: who comes then starts another thread.
                    self._reading = False
                loop.call_soon_threadsafe(self._show, None)
                return
            loop.call_soon_threadsafe(self._show, frame)

    def _goes_on(self) -> bool:
        with self._deciding:
            self._reading = self._watchers > 0 and not self._ending
            return self._reading

    def _show(self, frame: _Frame | None) -> None:
        self._latest = frame or _Frame(self._latest.number + 1, None)
        self._arrived.set()


def _answered(frame: _Frame, engine: Engine, asked: Asked) -> dict[str, Any]:
    assert frame.pixels is not None  # noqa: S101 - The caller has looked.
    start_ns = time.perf_counter_ns()
    name = f"frame {frame.number}"
    try:
        images = {rule: fitted(frame.pixels, rule, name) for rule in dict.fromkeys(file.rule for file in asked.files)}
        answered = engine.answered(images, asked, "frame")
        if shadow := engine.shadow:
            shadow.offer(frame.pixels, images, answered["answers"])
    except EdgeCnnError as error:  # A frame of one colour shows no digit.
        answered = {"doubt": str(error), "box": None, "seen": None, "answers": []}
    total_us = (time.perf_counter_ns() - start_ns) / 1e3
    return {"name": name, **answered, "jpeg": _jpeg(frame.pixels), "total_us": total_us}


def _jpeg(pixels: Images) -> str:
    picture = load_pillow().fromarray(pixels)
    picture.thumbnail(_SHOWN)
    stream = BytesIO()
    picture.save(stream, "JPEG", quality=_JPEG_QUALITY)
    return base64.b64encode(stream.getvalue()).decode()


def _line(record: dict[str, Any]) -> str:
    return json.dumps(record, separators=(",", ":")) + "\n"
