"""A server that speaks the page's side of `edgecnn serve`, without a model: tests say what it answers, and when.

`python -m tests.edge.serving.stand_in` serves the page for a look at it.
"""

import base64
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

PAGE = Path(__file__).parents[3] / "edge" / "serving" / "page"
TYPES = {".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
TWO = ((0.3, 0.35), (0.35, 0.22), (0.5, 0.16), (0.66, 0.24), (0.68, 0.4), (0.52, 0.62), (0.3, 0.82), (0.5, 0.8), (0.74, 0.82))
"""A drawn 2, as shares of the paper's width and height."""
Json = dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """A request: its method, path, values of the query, headers and body."""

    method: str
    path: str
    query: dict[str, list[str]]
    token: str | None
    body: bytes


@dataclass(frozen=True)
class Reply:
    """A response; lines are sent one after another, as a stream."""

    body: object
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    lines: Iterator[Json] | None = None


Script = Callable[[Asked], Reply | None]


def file(name: str, **changes: object) -> Json:
    kind = name.rsplit(".", 1)[-1]
    runtime = "ai-edge-litert 2.3.0" if kind == "tflite" else "onnxruntime 1.32.0"
    found = {
        "name": name,
        "format": kind,
        "precision": name.split(".")[0],
        "size_bytes": 42560,
        "sha256": "0b5cad" * 10 + "0123",
    }
    return {**found, "runtime": runtime, "unverified": None, "doubts": [], **changes}


def model(**changes: object) -> Json:
    """Return what `/api/model` says of a model of digits."""
    names = ("float32.tflite", "int8.tflite", "float32.onnx", "int8.onnx")
    verdict = {
        "status": "PASS", "text": "Ship int8.tflite: 99.38 % right, p50 45.6 µs, 41.6 KiB.", "measured": "2026-11-27T00:06:00Z",
        "machine": "Raspberry Pi 5 Model B", "current": True, "files": dict.fromkeys(names, "PASS"),
    }  # fmt: skip
    return {
        "name": "mnist", "version": "0.1.0", "class_names": [*"0123456789"], "shape": [28, 28, 1], "draws": True,
        "preprocessing": "pixel / 255", "files": [file(name) for name in names], "skipped": {}, "reference": "float32.tflite",
        "verdict": verdict, "camera": None, "limits": {"body_bytes": 33554432, "pictures": 16}, **changes,
    }  # fmt: skip


def answer(file: Json, label: str, classes: list[str], probability: float = 0.9931, agrees: bool | None = None) -> Json:
    others = [name for name in classes if name != label][:4]
    top = [(label, probability), *((name, (1 - probability) / 2 ** (i + 1)) for i, name in enumerate(others))]
    listed = [{"label": name, "probability": share} for name, share in top]
    return {
        "file": file["name"], "sha256": file["sha256"], "runtime": file["runtime"], "label": label, "probability": probability,
        "accepted": None, "threshold": None, "top": listed, "inference_us": 45.2, "agrees": agrees, "seen": None,
    }  # fmt: skip


def picture(model: Json, label: str, others: dict[str, str] | None = None, **changes: object) -> Json:
    """Return the answers to one picture: a label, and the labels of files that say something else."""
    height, width, channels = model["shape"]
    pixels = bytes((17 * x + 11 * y) % 256 for y in range(height) for x in range(width) for _ in range(channels))
    answers = []
    for each in model["files"]:
        said = (others or {}).get(each["name"], label)
        agrees = said == label if model["reference"] not in (None, each["name"]) else None
        answers.append(answer(each, said, model["class_names"], agrees=agrees))
    seen = {"height": height, "width": width, "channels": channels, "pixels": base64.b64encode(pixels).decode()}
    return {"name": "drawing.png", "doubt": None, "seen": seen, "answers": answers, **changes}


def classified(*pictures: Json) -> Reply:
    return Reply({"pictures": pictures, "decode_us": 310.0, "total_us": 512.0})


class StandIn(ThreadingHTTPServer):
    """The server: `model` is what it serves, `script` may answer a request instead of it, `asked` has the requests."""

    daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.address = f"http://127.0.0.1:{self.server_port}/"
        self.model = model()
        self.script: Script = lambda asked: None
        self.asked: list[Asked] = []

    def replies(self, path: str, reply: Reply) -> None:
        """Answer every request of this path so."""
        self.script = lambda asked: reply if asked.path == path else None

    def drawings(self) -> list[Asked]:
        return [asked for asked in self.asked if asked.path == "/api/classify"]

    def reply(self, asked: Asked) -> Reply:
        self.asked.append(asked)
        scripted = self.script(asked)
        if scripted is not None:
            return scripted
        if asked.path == "/api/model":
            return Reply(self.model)
        if asked.path == "/api/classify":
            return classified(picture(self.model, self.model["class_names"][2]))
        return Reply({"error": "There is no such page."}, 404)


class _Handler(BaseHTTPRequestHandler):
    server: StandIn

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        name = address.path.lstrip("/") or "index.html"
        if (PAGE / name).is_file() and "/" not in name:
            self._send(
                (PAGE / name).read_bytes(), {"Content-Type": TYPES[Path(name).suffix], "Content-Security-Policy": POLICY}
            )
            return
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        given = self.headers.get("Authorization")
        token = given.removeprefix("Bearer ") if given else None
        reply = self.server.reply(Asked(self.command, address.path, parse_qs(address.query), token, body))
        try:
            if reply.lines is None:
                content = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
                self._send(content, {"Content-Type": "application/json", **reply.headers}, reply.status)
                return
            self.send_response(200)
            self.send_header("Content-Type", "application/x-ndjson")
            self.end_headers()
            for line in reply.lines:
                self.wfile.write(json.dumps(line).encode() + b"\n")
        except OSError:
            pass  # The page has left.

    do_POST = do_GET  # noqa: N815

    def _send(self, body: bytes, headers: dict[str, str], status: int = 200) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body)), "Cache-Control": "no-store"}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


@contextmanager
def running(port: int = 0) -> Iterator[StandIn]:
    with StandIn(port) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


if __name__ == "__main__":
    with running(8000) as shown:
        print(shown.address)
        threading.Event().wait()
