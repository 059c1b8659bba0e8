"""SIGTERM ends a server within five seconds, whatever its clients, the camera and the reader of its log do."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from edgecnn.edge.serving.answered.record import NOW_NAME
from tests.edge.serving.running import COMMAND, full_pipe, post, printed_port
from tests.scans import many_scans

pytestmark = pytest.mark.workstation("load, signals and many connections take minutes under emulation")

_SECONDS = 5.0
"""The promise itself, from the signal to the end of the process."""
_STUCK = """
import sys, time
from edgecnn.edge.serving import camera
class Stuck:
    name = "a camera whose driver hangs"
    def read(self):
        time.sleep(600)
    close = read
camera.open_camera = lambda named: Stuck()
from edgecnn.__main__ import run
sys.argv[0] = "edgecnn"
run()
"""


class Held(NamedTuple):
    """A server's port, and a folder with a picture whose answers fill a connection's buffers soon."""

    port: int
    folder: Path


Hold = Callable[[Held], Iterator[None]]


@contextmanager
def connected(held: Held) -> Iterator[socket.socket]:
    """A client that takes little at a time."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", held.port))
        yield client


def a_body_that_does_not_end(held: Held) -> Iterator[None]:
    with connected(held) as client:
        client.sendall(b"POST /api/classify HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nhalf")
        yield


def a_client_that_does_not_read(held: Held) -> Iterator[None]:
    with connected(held) as client:
        client.setblocking(False)
        ask = b"GET /api/model HTTP/1.1\r\nHost: localhost\r\n\r\n"
        with suppress(BlockingIOError):  # Until the server reads no more, since its answers are not read.
            while True:
                client.send(ask * 100)
                time.sleep(0.001)
        yield


def a_camera_that_is_watched(held: Held) -> Iterator[None]:
    with connected(held) as client:
        client.sendall(b"GET /api/camera HTTP/1.1\r\nHost: localhost\r\n\r\n")
        reader = threading.Thread(target=lambda: list(client.makefile("rb")), daemon=True)
        reader.start()
        yield


def a_camera_whose_lines_nobody_reads(held: Held) -> Iterator[None]:
    with connected(held) as client:
        client.sendall(b"GET /api/camera?pixels=true HTTP/1.1\r\nHost: localhost\r\n\r\n")
        yield


def pictures_that_take_long_to_decode(held: Held) -> Iterator[None]:
    slow = post(many_scans(60, (8192, 6144)))
    with ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(connected(held)).sendall(slow)
        yield


def requests_one_after_another(held: Held) -> Iterator[None]:
    ended = threading.Event()

    def ask() -> None:
        with suppress(OSError):
            while not ended.is_set():
                with connected(held) as client:
                    client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                    client.recv(100)

    clients = [threading.Thread(target=ask) for _ in range(4)]
    for client in clients:
        client.start()
    try:
        yield
    finally:
        ended.set()
        for client in clients:
            client.join()


HOLDS: tuple[Hold, ...] = (
    requests_one_after_another,
    a_body_that_does_not_end,
    a_client_that_does_not_read,
    a_camera_that_is_watched,
    a_camera_whose_lines_nobody_reads,
    pictures_that_take_long_to_decode,
)


@contextmanager
def unread(command: list[str]) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A server and its port; its standard error is a full pipe that nobody reads."""
    with full_pipe() as (_, writer):
        os.set_blocking(writer, True)
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=writer, text=True) as process:
            try:
                yield process, printed_port(process)
            finally:
                process.kill()


def require_end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    assert process.wait(_SECONDS) == 0


def test_a_server_with_an_unread_log_ends_in_time_whatever_all_its_clients_do(exported: Path, noise: Path) -> None:
    options = ["--camera", str(noise), "--verbose", "--state", str(noise.with_name("state"))]
    with unread([*COMMAND, "--port", "0", str(exported / "int8.tflite"), *options]) as (process, port), ExitStack() as stack:
        for hold in HOLDS:
            stack.enter_context(contextmanager(hold)(Held(port, noise)))
        time.sleep(4)  # A picture is in the last lane by then, where it may take 20 seconds, and the unread buffers are full.
        require_end(process)
    assert noise.with_name("state").joinpath(NOW_NAME).exists()  # The server unwound, and was not cut off.


def test_a_server_whose_camera_hangs_for_good_ends_in_time(exported: Path) -> None:
    command = [sys.executable, "-c", _STUCK, "serve", "--port", "0", str(exported / "int8.tflite"), "--camera", "0"]
    with unread(command) as (process, port), contextmanager(a_camera_that_is_watched)(Held(port, exported)):
        time.sleep(1)
        require_end(process)
