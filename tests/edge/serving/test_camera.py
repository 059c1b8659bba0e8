"""A camera's frames are answered as they come; who is late misses some, and they are counted."""

import asyncio
import base64
import errno
import json
import os
import shutil
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, aclosing, closing, contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image

from edgecnn.edge.errors import ConfigError, MissingDependency
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.serving import camera as module
from edgecnn.edge.serving.camera import FRAMES_PER_SECOND, MOST_WATCHERS, Camera, PictureFolder, open_camera
from edgecnn.edge.serving.metrics import Metrics
from tests.edge.serving.running import Server, serving, watching


def test_each_frame_gets_the_answer_of_its_own_picture_and_who_watches_keeps_nobody_from_an_answer(
    exported: Path, pictures: Path, tmp_path: Path
) -> None:
    labels = Classifier.load(exported / "int8.tflite").predict([pictures / f"{number}.png" for number in range(8)]).labels
    camera = (exported / "int8.tflite", "--camera", pictures, "--queue", "0")
    with serving(tmp_path, *camera) as server, ExitStack() as stack:
        assert server.get("/api/model").json["camera"] == "a folder of pictures"
        with watching(server, "?file=int8.tflite&pixels=true") as lines:
            seen = [next(lines) for _ in range(12)]
        with watching(server) as lines:  # The camera goes on for who comes later.
            assert next(lines)["frame"] > seen[-1]["frame"]
        assert 'outcome="classified"' in server.get("/metrics").body.decode()
        for _ in range(MOST_WATCHERS):
            next(stack.enter_context(watching(server)))
        refused = server.get("/api/camera")
        assert (refused.status, "retry-after" in refused.headers) == (503, True)
        picture = (pictures / "0.png").read_bytes()
        assert {server.classify(picture).status for _ in range(100)} == {200}
    for line in seen:
        (answer,) = line["answers"]
        assert answer["label"] == labels[(line["frame"] - 1) % 8]
        assert Image.open(BytesIO(base64.b64decode(line["jpeg"]))).size == (12, 12)
    missed = seen[-1]["frame"] - seen[0]["frame"] - (len(seen) - 1)
    assert seen[-1]["dropped"] - seen[0]["dropped"] == missed


@contextmanager
def never_reading(server: Server) -> Iterator[None]:
    """As many clients as may watch the camera, of which none reads its lines; they wait for the places of earlier ones."""
    watching, end = 0, time.monotonic() + 120
    with ExitStack() as stack:
        while watching < MOST_WATCHERS:
            assert time.monotonic() < end
            client = stack.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", server.port))
            client.sendall(b"GET /api/camera?pixels=true HTTP/1.1\r\nHost: localhost\r\n\r\n")
            watching += client.recv(12) == b"HTTP/1.1 200"
        yield


@pytest.mark.workstation("waits until the buffers of many connections are full")
def test_who_does_not_read_loses_the_place_and_does_not_keep_a_server_from_ending(
    exported: Path, noise: Path, tmp_path: Path
) -> None:
    with serving(tmp_path, exported / "int8.tflite", "--camera", noise) as server:
        with never_reading(server):
            assert server.get("/api/camera").status == 503
            end = time.monotonic() + 120
            while True:
                with suppress(AssertionError), watching(server) as lines:
                    next(lines)
                    break
                assert time.monotonic() < end
                time.sleep(0.2)
        with never_reading(server):
            counts = [b"none"]
            while len(counts) < 2 or counts[-1] != counts[-2]:  # Until the buffers are full, and no frame is sent.
                time.sleep(1)
                (count,) = (
                    line for line in server.get("/metrics").body.splitlines() if b"_frames_total" in line and b"clas" in line
                )
                counts.append(count)
            server.process.terminate()
            assert server.process.wait(60) == 0
        assert "Traceback" not in server.log.read_text()


def test_of_clients_that_come_at_once_no_more_than_may_watch(pictures: Path) -> None:
    camera = Camera(PictureFolder(pictures), Metrics())
    camera._watchers = MOST_WATCHERS
    first = asyncio.run(anext(cast(Any, camera.answers(cast(Any, None), lambda: cast(Any, None)))))
    assert str(MOST_WATCHERS) in json.loads(first)["error"]


def test_a_camera_that_is_unplugged_ends_its_stream_though_the_machine_is_at_fault() -> None:
    async def lines() -> list[str]:
        camera = Camera(cast(Any, _FailsOnce(OSError(errno.EIO, os.strerror(errno.EIO)))), Metrics())
        async with asyncio.timeout(60):
            return [line async for line in camera.answers(cast(Any, None), lambda: cast(Any, None))]

    (line,) = asyncio.run(lines())
    assert "the camera failed" in json.loads(line)["error"]


def test_a_blank_frame_has_a_doubt_one_that_can_t_be_read_ends_the_stream_and_the_server_ends_while_it_is_watched(
    exported: Path, pictures: Path, tmp_path: Path
) -> None:
    frame = tmp_path / "frames" / "blank.png"
    frame.parent.mkdir()
    Image.new("L", (64, 64), 255).save(frame)
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    reads_digits = (shutil.copy(exported / "int8.tflite", tmp_path), "--preprocess", "unit", "--fit", "digit")
    with serving(tmp_path, *reads_digits, "--trust-unverified", "--camera", frame.parent) as server:
        with watching(server) as lines:
            line = next(lines)
            assert (line["answers"], "shows nothing on its background" in line["doubt"]) == ([], True)
            broken.replace(frame)
            said = list(lines)[-1]["error"]
            assert "the camera failed" in said
            assert str(frame.parent) not in said
            assert str(frame.parent) in server.wait_log("the camera failed")
        shutil.copy(pictures / "0.png", frame)
        with watching(server) as lines:
            next(lines)
            server.process.terminate()
            list(lines)
            assert server.process.wait(30) == 0


class _FailsOnce:
    """Frames of which the first can't be read."""

    name, _number = "a camera", 0

    def __init__(self, error: Exception) -> None:
        self._error = error

    def read(self) -> tuple[int, Any]:
        time.sleep(0.01)
        self._number += 1
        if self._number == 1:
            raise self._error
        return self._number, np.zeros((12, 12, 3), np.uint8)

    def close(self) -> None:
        pass


class _Answers:
    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)

    async def run_apart(self, call: Any) -> dict[str, Any]:
        return {"total_us": 1.0, "answers": self.answers}


async def _first_line(camera: Camera, *answers: Any) -> Any:
    async with aclosing(cast(Any, camera.answers(cast(Any, _Answers(*answers)), lambda: cast(Any, None)))) as lines:
        return json.loads(await asyncio.wait_for(anext(lines), 20))


def test_the_camera_is_read_for_who_comes_as_soon_as_its_failure_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    async def watch() -> Any:
        camera, loop = Camera(cast(Any, _FailsOnce(OSError("unplugged"))), Metrics()), asyncio.get_running_loop()
        call = loop.call_soon_threadsafe

        def slowly(*given: Any, **named: Any) -> Any:
            handle = call(*given, **named)
            time.sleep(0.3)  # The reading thread gets no further while the next client comes.
            return handle

        monkeypatch.setattr(loop, "call_soon_threadsafe", slowly)
        lines = [await _first_line(camera) for _ in range(2)]
        camera.close()
        return lines

    failure, line = asyncio.run(watch())
    assert "error" in failure
    assert line["frame"] > 1


@pytest.mark.parametrize(("failed", "error"), [(True, OSError("unplugged")), (True, MemoryError()), (False, OSError())])
def test_the_camera_is_read_for_who_comes_while_its_last_reading_ends(
    failed: bool, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a failure, and after the last client went away, its thread may be alive for a while but read no more."""
    released = threading.Event()

    class Lingers(threading.Thread):
        def run(self) -> None:
            super().run()
            released.wait(60)

    monkeypatch.setattr(module, "Thread", Lingers)

    async def watch() -> Any:
        camera = Camera(cast(Any, _FailsOnce(error)), Metrics())
        before = [await _first_line(camera) for _ in range(1 if failed else 2)]
        assert "error" in before[0]
        while camera._reading:
            await asyncio.sleep(0.01)
        last = await _first_line(camera)
        released.set()
        camera.close()
        return last

    try:
        assert asyncio.run(watch())["frame"] > 1
    finally:
        released.set()


@pytest.mark.parametrize(("answers", "outcome"), [([], "blank"), (["a digit"], "classified")])
def test_a_frame_without_an_answer_is_not_counted_as_classified_nor_timed(answers: list[str], outcome: str) -> None:
    frames, metrics = _FailsOnce(ValueError()), Metrics()
    frames._number = 1

    async def watch() -> None:
        with closing(Camera(cast(Any, frames), metrics)) as camera:
            await _first_line(camera, *answers)

    asyncio.run(watch())
    counted = {label: metrics.frames.labels(label)._value.get() for label in ("blank", "classified")}
    assert counted == {"blank": 0, "classified": 0, outcome: 1}
    minute = metrics.answers._minute
    assert (minute.latency_ms(0.5) is None) == (outcome == "blank")


def test_without_a_camera_there_is_no_stream(server: Server) -> None:
    assert server.get("/api/camera").status == 404


def test_of_a_folder_s_frames_who_is_late_gets_the_last_one(pictures: Path) -> None:
    now = [0.0]
    frames = PictureFolder(pictures, lambda: now[0])
    now[0] = 10.5 / FRAMES_PER_SECOND
    assert frames.read()[0] == 10
    now[0] = 11 / FRAMES_PER_SECOND
    assert frames.read()[0] == 11
    now[0] = 100.2 / FRAMES_PER_SECOND
    number, pixels = frames.read()
    assert (number, pixels.shape) == (100, (12, 12, 3))


def test_what_is_no_camera_or_lacks_its_package_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="camera"):
        open_camera(str(tmp_path / "none"))
    with pytest.raises(ConfigError, match="no image files"):
        open_camera(str(tmp_path))
    with pytest.raises(MissingDependency, match="picamera2"):
        open_camera("picamera2")
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(MissingDependency, match="OpenCV"):
        open_camera("0")
