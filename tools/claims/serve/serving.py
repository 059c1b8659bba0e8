"""What `edgecnn serve` adds to `Classifier.predict`, and what it bears.

The load comes from wrk (Debian's package of that name); everything stays on this machine.
"""

import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from statistics import median, quantiles
from typing import NamedTuple

import numpy as np
from PIL import Image

from edgecnn.convert.keras.load import load_keras
from edgecnn.convert.tflite.converter import to_tflite
from edgecnn.edge.data.dataset import load_test
from edgecnn.edge.inference.classifier import Classifier
from tools.claims.claims import EDGECNN, Claim, at_least, at_most

_TURNS = 4000
_STARTS = 7
_LOAD_SECONDS = 60
_CLIENTS = 16
_REQUESTS = 100_000
_CAMERA_SECONDS = 20
_SIDE = 224
_IMPORTS = (
    "typer, numpy, ai_edge_litert.interpreter, PIL.Image, starlette.applications, uvicorn, prometheus_client, python_multipart"
)
_POST = """\
local file = io.open("{picture}", "rb")
wrk.method, wrk.body = "POST", file:read("*a")
wrk.headers["Content-Type"] = "image/png"
"""


class _Server(NamedTuple):
    process: subprocess.Popen[str]
    port: int


def measure(folder: Path) -> list[Claim]:
    """Measure a server of int8.tflite."""
    with tempfile.TemporaryDirectory() as scratch:
        picture = Path(scratch, "digit.png")
        Image.fromarray(load_test().images([47])[0][..., 0]).save(picture)
        file = folder / "int8.tflite"
        claims = _starts(file, picture)
        with _serving([file]) as server:
            claims += [*_added(server, file, picture), *_borne(server, picture, Path(scratch))]
        return [*claims, *_camera(file, Path(scratch))]


@contextmanager
def _serving(arguments: Sequence[str | Path]) -> Iterator[_Server]:
    command = [EDGECNN, "serve", *map(str, arguments), "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout
        found = re.search(r":(\d+)/", process.stdout.readline())
        assert found, "the server did not start"
        yield _Server(process, int(found[1]))
    finally:
        process.terminate()
        process.wait()


def _asking(port: int, picture: bytes) -> http.client.HTTPConnection:
    """Return a connection over which one picture was answered."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    _ask(connection, picture)
    return connection


def _ask(connection: http.client.HTTPConnection, picture: bytes) -> None:
    connection.request("POST", "/api/classify", picture, {"Content-Type": "image/png"})
    response = connection.getresponse()
    answer = response.read()
    assert response.status == 200, answer


def _added(server: _Server, file: Path, picture: Path) -> list[Claim]:
    """Time a request over one connection and `Classifier.predict` of the same bytes, in turns."""
    data, classifier = picture.read_bytes(), Classifier.load(file)
    connection = _asking(server.port, data)
    asked, predicted = [], []
    for _ in range(_TURNS):
        begin = time.perf_counter()
        _ask(connection, data)
        between = time.perf_counter()
        classifier.predict(BytesIO(data))
        asked.append(between - begin)
        predicted.append(time.perf_counter() - between)
    connection.close()
    claims = []
    for percent, limit in ((50, 1), (99, 3)):
        ours, theirs = (quantiles(times, n=100)[percent - 1] * 1e3 for times in (asked, predicted))
        how = f"{ours:.2f} and {theirs:.2f} ms, {_TURNS} turns, one 28x28 PNG over one connection"
        claims.append(at_most(f"serve: p{percent} of a request - of Classifier.predict, ms", ours - theirs, limit, how))
    return claims


def _borne(server: _Server, picture: Path, scratch: Path) -> list[Claim]:
    """Let many clients ask."""
    script = scratch / "post.lua"
    script.write_text(_POST.format(picture=picture))
    rate, errors, text = _load(server, script, _LOAD_SECONDS)
    said = f"{_CLIENTS} clients, {_LOAD_SECONDS} s, wrk; {text}"
    claims = [
        at_least("serve: requests a second", rate, 300, said),
        at_most("serve: answers other than 2xx, and broken connections", errors, 0, said),
    ]
    before = _memory(server.process.pid)
    seconds = max(1, round(_REQUESTS / rate))
    done, errors, _ = _load(server, script, seconds)
    after = _memory(server.process.pid)
    how = f"{before:.1f} and {after:.1f} MiB of the server and its decoder, before and after {done * seconds:,.0f} requests"
    return [*claims, at_most("serve: growth of memory over 100,000 requests, MiB", after - before, 2, how)]


def _load(server: _Server, script: Path, seconds: int) -> tuple[float, int, str]:
    """Return requests a second, errors, and the latencies as wrk prints them."""
    where = f"http://127.0.0.1:{server.port}/api/classify"
    command = ["wrk", "-t1", f"-c{_CLIENTS}", f"-d{seconds}s", "--latency", "-s", str(script), where]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    assert rate, said
    wrong = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    broken = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", said)
    errors = int(wrong[1]) if wrong else 0
    errors += sum(map(int, broken.groups())) if broken else 0
    latencies = ", ".join(f"p{percent} {time}" for percent, time in re.findall(r"^\s+(50|99)%\s+(\S+)", said, re.MULTILINE))
    return float(rate[1]), errors, latencies


def _memory(pid: int) -> float:
    """Return the resident memory of a process and its children in MiB."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    threads = Path(f"/proc/{pid}/task").iterdir()
    started = {child for thread in threads for child in (thread / "children").read_text().split()}
    total = 0
    for number in {str(pid), *children, *started}:
        found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{number}/status").read_text())
        total += int(found[1]) if found else 0
    return total / 1024


def _starts(file: Path, picture: Path) -> list[Claim]:
    """Time a server's start until its first answer, and `edgecnn predict` of the same picture, in turns.

    Also the imports that any server of these packages needs to run the file, without a line of edgecnn.
    """
    data, served, predicted, imported = picture.read_bytes(), [], [], []
    for _ in range(_STARTS):
        begin = time.perf_counter()
        subprocess.run([sys.executable, "-c", f"import {_IMPORTS}"], capture_output=True, check=True)
        imported.append(time.perf_counter() - begin)
        begin = time.perf_counter()
        subprocess.run([EDGECNN, "predict", str(file), str(picture)], capture_output=True, check=True)
        predicted.append(time.perf_counter() - begin)
        begin = time.perf_counter()
        with _serving([file]) as server:
            _asking(server.port, data).close()
            served.append(time.perf_counter() - begin)
    how = f"{median(served):.2f} and {median(predicted):.2f} s, medians of {_STARTS} turns; the imports alone: "
    how += f"{median(imported) / median(predicted):.2f}"
    return [at_most("serve: start to first answer / edgecnn predict", median(served) / median(predicted), 1.5, how)]


def _camera(file: Path, scratch: Path) -> list[Claim]:
    """Watch a folder as a camera of 30 frames a second, with a small model and with one of MobileNet's size."""
    digits, photos = scratch / "digits", scratch / "photos"
    digits.mkdir()
    photos.mkdir()
    for number, image in enumerate(load_test().images(range(30))):
        Image.fromarray(image[..., 0]).save(digits / f"{number}.png")
    random = np.random.default_rng(0)
    for number in range(30):
        small = Image.fromarray(random.integers(0, 256, (12, 16, 3), np.uint8))
        small.resize((640, 480), Image.Resampling.BICUBIC).save(photos / f"{number}.jpg")
    mobile = scratch / "mobilenet.tflite"
    keras = load_keras()
    network = keras.applications.MobileNet((_SIDE, _SIDE, 3), alpha=0.25, weights=None, classes=10)
    mobile.write_bytes(to_tflite(network, "float32", (_SIDE, _SIDE, 3), "float32", False))
    trusted = ["--trust-unverified", "--preprocess", "tf"]
    return [
        *_watched("28x28, int8.tflite", [file, "--camera", digits]),
        *_watched("224x224, MobileNet 0.25", [mobile, *trusted, "--camera", photos]),
    ]


def _watched(name: str, arguments: Sequence[str | Path]) -> list[Claim]:
    with _serving(arguments) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        connection.request("GET", "/api/camera")
        stream, end = connection.getresponse(), time.monotonic() + _CAMERA_SECONDS
        lines = [json.loads(stream.readline())]
        while time.monotonic() < end:
            lines.append(json.loads(stream.readline()))
        connection.close()
    frames, dropped = lines[-1]["frame"] - lines[0]["frame"] + 1, lines[-1]["dropped"]
    how = f"{len(lines)} of {frames} frames answered in {_CAMERA_SECONDS} s, {os.cpu_count()} cores"
    return [
        at_most(f"serve: missed frames of a camera, {name}", dropped, 0, how),
        at_least(f"serve: frames a second of it, {name}", lines[-1]["frames_per_second"], 29, how),
    ]
