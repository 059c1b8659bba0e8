"""What `edgecnn serve` adds to `Classifier.predict`, and what it bears.

The load comes from wrk (Debian's package of that name); everything stays on this machine.
"""

import http.client
import json
import os
import re
import shutil
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
from edgecnn.convert.tflite.convert import to_tflite
from edgecnn.edge.data.dataset import load_test
from edgecnn.edge.inference.classifier import Classifier
from tools.promises.claims import Claim, at_least, at_most

_EDGECNN = str(Path(sys.executable).parent / "edgecnn")
_TURNS = 10
_TURN_SECONDS = 3
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


class _Load(NamedTuple):
    """What wrk printed: requests a second, errors, and percentiles of the latency in ms."""

    rate: float
    errors: int
    latency_ms: dict[int, float]


# Milliseconds in each unit that wrk prints.
_MS = {"us": 1e-3, "ms": 1.0, "s": 1e3}


def measure(folder: Path) -> list[Claim]:
    """Measure a server of int8.tflite."""
    if not shutil.which("wrk"):
        sys.exit("benchmark: wrk is not installed: sudo apt-get install wrk")
    with tempfile.TemporaryDirectory() as scratch:
        picture = Path(scratch, "digit.png")
        Image.fromarray(load_test().images([47])[0][..., 0]).save(picture)
        file, script = folder / "int8.tflite", Path(scratch, "post.lua")
        script.write_text(_POST.format(picture=picture))
        claims = _starts(file, picture)
        with _serving([file]) as server:
            claims += [*_added(server, file, picture, script), *_borne(server, script)]
        return [*claims, *_camera(file, Path(scratch))]


@contextmanager
def _serving(arguments: Sequence[str | Path]) -> Iterator[_Server]:
    command = [_EDGECNN, "serve", *map(str, arguments), "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout
        found = re.search(r":(\d+)/", process.stdout.readline())
        assert found, "the server did not start"
        yield _Server(process, int(found[1]))
    finally:
        process.terminate()
        process.wait()


def _ask(port: int, picture: bytes) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", "/api/classify", picture, {"Content-Type": "image/png"})
    response = connection.getresponse()
    answer = response.read()
    assert response.status == 200, answer
    connection.close()


def _added(server: _Server, file: Path, picture: Path, script: Path) -> list[Claim]:
    """Time requests over one connection and `Classifier.predict` of the same bytes, in turns.

    wrk asks: Python's own client would add to each request what the server does not take.
    """
    data, classifier = picture.read_bytes(), Classifier.load(file)
    asked: list[_Load] = []
    predicted: list[list[float]] = []
    for _ in range(_TURNS):
        asked.append(_load(server, script, 1, _TURN_SECONDS))
        times, end = [], time.perf_counter() + _TURN_SECONDS
        while (begin := time.perf_counter()) < end:
            classifier.predict(BytesIO(data))
            times.append((time.perf_counter() - begin) * 1e3)
        predicted.append(times)
    assert not any(load.errors for load in asked)
    turns = f"{_TURNS} turns of {_TURN_SECONDS} s, one 28x28 PNG, wrk with one connection"
    claims = []
    for percent, limit in ((50, 1), (99, 3)):
        ours = [load.latency_ms[percent] for load in asked]
        theirs = [quantiles(times, n=100)[percent - 1] for times in predicted]
        how = f"{median(ours):.2f} and {median(theirs):.2f} ms, {turns}"
        added = median(a - b for a, b in zip(ours, theirs, strict=True))
        claims.append(at_most(f"serve: p{percent} of a request - of Classifier.predict, ms", added, limit, how))
    return claims


def _borne(server: _Server, script: Path) -> list[Claim]:
    """Let many clients ask."""
    load = _load(server, script, _CLIENTS, _LOAD_SECONDS)
    latencies = ", ".join(f"p{percent} {found:.1f} ms" for percent, found in load.latency_ms.items())
    said = f"{_CLIENTS} clients, {_LOAD_SECONDS} s, wrk; {latencies}"
    claims = [
        at_least("serve: requests a second", load.rate, 300, said),
        at_most("serve: answers other than 2xx, and broken connections", load.errors, 0, said),
    ]
    before = _memory(server.process.pid)
    seconds = max(1, round(_REQUESTS / load.rate))
    done = _load(server, script, _CLIENTS, seconds).rate * seconds
    after = _memory(server.process.pid)
    how = f"{before:.1f} and {after:.1f} MiB of the server and its decoder, before and after {done:,.0f} requests"
    return [*claims, at_most("serve: growth of memory over 100,000 requests, MiB", after - before, 2, how)]


def _load(server: _Server, script: Path, clients: int, seconds: int) -> _Load:
    where = f"http://127.0.0.1:{server.port}/api/classify"
    command = ["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "--latency", "-s", str(script), where]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    assert rate, said
    wrong = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    broken = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", said)
    errors = int(wrong[1]) if wrong else 0
    errors += sum(map(int, broken.groups())) if broken else 0
    found = re.findall(r"^\s+(50|99)%\s+([\d.]+)(us|ms|s)$", said, re.MULTILINE)
    return _Load(float(rate[1]), errors, {int(percent): float(number) * _MS[unit] for percent, number, unit in found})


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
        subprocess.run([_EDGECNN, "predict", str(file), str(picture)], capture_output=True, check=True)
        predicted.append(time.perf_counter() - begin)
        begin = time.perf_counter()
        with _serving([file]) as server:
            _ask(server.port, data)
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
