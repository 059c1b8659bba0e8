"""A client of the control socket, and many of the service at once."""

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from tests.edge.serving.running import Server

_SECONDS = 60


def ask(state: Path, do: str, **others: Any) -> Any:
    """Send one request to the control socket, and return the answer."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(_SECONDS)
        client.connect(str(state / "control.sock"))
        client.sendall(json.dumps({"do": do, **others}).encode() + b"\n")
        return json.loads(client.makefile("rb").readline())


def wait_status(state: Path, **wanted: Any) -> Any:
    """Wait until the server's status has these values, also while no server answers."""
    end = time.monotonic() + _SECONDS
    while True:
        try:
            found = ask(state, "status")
        except (OSError, ValueError):
            found = {}
        if all(found.get(name) == value for name, value in wanted.items()):
            return found
        assert time.monotonic() < end, found
        time.sleep(0.02)


class Clients:
    """Clients in threads, each of which asks again and again; an odd one keeps its connection.

    Args:
        server: Whom they ask.
        picture: What they send.
        pause: Seconds for which each waits between two requests, where a test takes long.

    Attributes:
        answers: The number of answers by the hash of the file and the class that it named.
        failures: What else came.
    """

    def __init__(self, server: Server, picture: bytes, pause: float = 0) -> None:
        self.answers, self.failures = dict[tuple[str, str], int](), list[str]()
        self._server, self._picture, self._end, self._lock = server, picture, threading.Event(), threading.Lock()
        self._pause = pause

    def run(self, keeps: bool) -> None:
        while not self._end.is_set():
            with closing(http.client.HTTPConnection("127.0.0.1", self._server.port, timeout=_SECONDS)) as connection:
                while not self._end.is_set():
                    try:
                        self._ask(connection)
                    except (OSError, http.client.HTTPException) as error:
                        self.failures.append(f"{type(error).__name__}: {error} ({'kept' if keeps else 'new'})")
                        break
                    if self._pause:
                        self._end.wait(self._pause)
                    if not keeps:
                        break

    def _ask(self, connection: http.client.HTTPConnection) -> None:
        connection.request("POST", "/api/classify", self._picture, {"Content-Type": "image/png"})
        response = connection.getresponse()
        body = response.read()
        if response.status != 200:
            self.failures.append(f"{response.status}: {body[:200]!r}")
            return
        (answer,) = json.loads(body)["pictures"][0]["answers"]
        with self._lock:
            key = answer["sha256"], answer["label"]
            self.answers[key] = self.answers.get(key, 0) + 1

    def end(self) -> None:
        self._end.set()


@contextmanager
def clients(server: Server, picture: bytes, count: int = 16, pause: float = 0) -> Iterator[Clients]:
    """Have clients ask during the block; every second one keeps its connection."""
    many = Clients(server, picture, pause)
    threads = [threading.Thread(target=many.run, args=(number % 2 == 1,)) for number in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield many
    finally:
        many.end()
        for thread in threads:
            thread.join(_SECONDS)
