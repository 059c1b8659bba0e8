"""`edgecnn serve` as a process, as a user starts it, and a client of it."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

COMMAND = [sys.executable, "-m", "edgecnn", "serve"]
_SECONDS = 60


class Reply(NamedTuple):
    """A response: status, headers in lower case, body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        return str(self.json["error"])


@dataclass
class Server:
    """A running server.

    Attributes:
        process: Its process.
        address: The printed address.
        port: Its port.
        log: File with what it wrote to standard error.
    """

    process: subprocess.Popen[str]
    address: str
    port: int
    log: Path

    def request(self, method: str, path: str, body: bytes | None = None, /, **headers: str) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_SECONDS)
        try:
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            response = connection.getresponse()
            return Reply(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Reply:
        return self.request("GET", path, None, **headers)

    def classify(self, body: bytes, query: str = "", kind: str = "image/png", **headers: str) -> Reply:
        return self.request("POST", f"/api/classify{query}", body, Content_Type=kind, **headers)

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.process.pid, number)

    def wait_log(self, text: str) -> str:
        """Wait until the log says something, and return all of it."""
        end = time.monotonic() + _SECONDS
        while text not in (said := self.log.read_text()):
            assert time.monotonic() < end, said
            time.sleep(0.02)
        return said


def post(picture: bytes) -> bytes:
    """Return a whole request to classify a picture, for a socket."""
    head = f"POST /api/classify HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(picture)}\r\n\r\n"
    return head.encode() + picture


def printed_port(process: "subprocess.Popen[str]") -> int:
    """Wait until a server answers, and return the port that it prints."""
    assert process.stdout
    line = process.stdout.readline()
    found = re.search(r":(\d+)/", line)
    assert found, line
    return int(found[1])


@contextmanager
def serving(folder: Path, *arguments: str | Path, **environment: str) -> Iterator[Server]:
    """Start a server, whose log is in `folder`, and end it."""
    log = folder / "serve.log"
    with log.open("w") as stream:
        process = subprocess.Popen(
            [*COMMAND, "--port", "0", *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=stream,
            text=True,
            env={**os.environ, **environment},
        )
    stdout = process.stdout
    assert stdout
    try:
        line = stdout.readline()
        found = re.match(r"Serving on (http://\S+:(\d+)/\S*) ", line)
        assert found, line + log.read_text()
        yield Server(process, found[1], int(found[2]), log)
    finally:
        process.terminate()
        try:
            process.wait(_SECONDS)
        finally:
            process.kill()
            stdout.close()


@contextmanager
def watching(server: Server, query: str = "") -> Iterator[Iterator[Any]]:
    """Watch a server's camera: yield the lines of its answer."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    with closing(connection):
        connection.request("GET", f"/api/camera{query}")
        with connection.getresponse() as response:
            assert response.status == 200
            yield (json.loads(line) for line in response)


@contextmanager
def full_pipe() -> Iterator[tuple[int, int]]:
    """The ends of a pipe that takes no more."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 4096)
    try:
        yield reader, writer
    finally:
        os.close(reader)
        os.close(writer)
