"""A server takes the sockets that systemd opened, says when it answers and that it is alive, and is silent once it hangs."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from edgecnn.edge.errors import ConfigError
from edgecnn.edge.serving.service import systemd
from tests.edge.serving.running import COMMAND, Server, serving
from tests.edge.serving.service.conftest import Hanging

pytestmark = pytest.mark.workstation("load, signals and many connections take minutes under emulation")
_SECONDS = 30


def states(told: socket.socket, seconds: float) -> list[str]:
    """Return what is said within a time."""
    found, end = list[str](), time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        told.settimeout(left)
        with suppress(TimeoutError):
            found.append(told.recv(4096).decode())
    return found


def wait_state(told: socket.socket, wanted: str) -> list[str]:
    """Wait until something is said, and return what was said before."""
    told.settimeout(_SECONDS)
    found = list[str]()
    while (said := told.recv(4096).decode()).partition("\n")[0] != wanted:
        found.append(said)
    return found


def test_a_server_says_when_it_answers_that_it_is_alive_that_it_loads_again_and_that_it_ends(
    exported: Path, told: socket.socket, tmp_path: Path
) -> None:
    environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "400000"}
    with serving(tmp_path, exported / "int8.tflite", **environment) as server:
        assert wait_state(told, "READY=1") == []
        for _ in range(3):
            assert wait_state(told, "WATCHDOG=1") == []
        server.signal(signal.SIGHUP)
        assert {*wait_state(told, "RELOADING=1")} <= {"WATCHDOG=1"}
        assert {*wait_state(told, "READY=1")} <= {"WATCHDOG=1"}
        server.signal(signal.SIGTERM)
        assert {*wait_state(told, "STOPPING=1")} <= {"WATCHDOG=1"}


def test_a_server_whose_model_hangs_in_native_code_is_silent(told: socket.socket, hanging: Hanging, tmp_path: Path) -> None:
    environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "800000"}
    with serving(tmp_path, *hanging.arguments, **environment) as server:
        assert server.classify(hanging.harmless).status == 200
        wait_state(told, "WATCHDOG=1")
        with hanging.hung(server.port):
            states(told, 1.5)  # The beat in which it began.
            assert states(told, 2.0) == []
            assert server.get("/healthz").status == 200  # Its loop answers on.
        server.process.kill()


def test_a_loop_that_hangs_is_silent(told: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.setenv("WATCHDOG_USEC", "200000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    heard = dict[str, list[str]]()

    async def hung() -> None:
        beats = asyncio.create_task(systemd.beat(lambda: True))
        await asyncio.sleep(0.5)
        heard["running"] = states(told, 0.01)
        heard["hung"] = states(told, 1.0)  # It keeps the loop.
        beats.cancel()

    asyncio.run(hung())
    assert {*heard["running"]} == {"WATCHDOG=1", "WATCHDOG=1\nWATCHDOG_USEC=200000"}
    assert heard["hung"] == []


@pytest.mark.parametrize(
    "environment", [{}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "x"}, {"WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}]
)
def test_without_a_watchdog_of_this_process_nothing_is_said(
    environment: dict[str, str], told: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    for name in ("WATCHDOG_USEC", "WATCHDOG_PID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    asyncio.run(asyncio.wait_for(systemd.beat(lambda: True), _SECONDS))  # It returns.
    assert states(told, 0.01) == []


def test_what_nobody_listens_to_is_said_to_nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for place in ("", "relative", str(tmp_path / "nowhere"), "@nowhere-of-edgecnn", "/" + "x" * 300):
        monkeypatch.setenv("NOTIFY_SOCKET", place)
        systemd.notify("READY=1")


def test_an_abstract_socket_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"edgecnn-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.bind(f"\0{name}")
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
        systemd.notify("READY=1", "STATUS=it answers")
        assert made.recv(100) == b"READY=1\nSTATUS=it answers"


Activated = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def activated() -> Iterator[Activated]:
    """Starts a server as systemd does for a socket unit: the socket has the number 3."""
    started = list[subprocess.Popen[str]]()

    def start(entrance: socket.socket, *arguments: str | Path) -> "subprocess.Popen[str]":
        launch = (
            f"import os, sys; os.dup2({entrance.fileno()}, 3); os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1')"
        )
        command = [sys.executable, "-c", f"{launch}; os.execv(sys.argv[1], sys.argv[1:])", *COMMAND, *map(str, arguments)]
        pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        started.append(subprocess.Popen(command, pass_fds=[entrance.fileno()], **pipes))
        return started[-1]

    yield start
    for process in started:
        process.terminate()
        process.communicate()


def test_the_socket_of_a_socket_unit_is_answered_on_and_needs_a_token_if_others_reach_it(
    exported: Path, activated: Activated
) -> None:
    for host, has_token in (("127.0.0.1", False), ("0.0.0.0", True)):  # noqa: S104 - As a socket unit has it.
        with socket.create_server((host, 0)) as entrance:
            port = entrance.getsockname()[1]
            process = activated(entrance, exported / "int8.tflite")
        assert process.stdout
        line = process.stdout.readline()
        assert f":{port}/" in line
        assert ("#token=" in line) is has_token
        assert Server(process, line, port, Path("/dev/null")).get("/api/model").status == (401 if has_token else 200)


def test_a_socket_unit_of_another_kind_is_refused(exported: Path, tmp_path: Path, activated: Activated) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(str(tmp_path / "datagrams"))
        process = activated(other, exported / "int8.tflite")
        _, said = process.communicate(timeout=60)
    assert (process.returncode, said.count("\n")) == (2, 1), said
    assert "not for TCP" in said


def test_sockets_of_another_process_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for process, count in (("1", "1"), (str(os.getpid()), "x"), (str(os.getpid()), "-1"), ("", "1")):
        monkeypatch.setenv("LISTEN_PID", process)
        monkeypatch.setenv("LISTEN_FDS", count)
        assert systemd.inherited() == systemd.Inherited()
        assert "LISTEN_FDS" not in os.environ


def test_a_descriptor_that_is_no_socket_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with Path("/dev/null").open() as file:
        monkeypatch.setattr(systemd, "_FIRST", file.fileno())
        monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
        monkeypatch.setenv("LISTEN_FDS", "1")
        with pytest.raises(ConfigError, match="is no socket"):
            systemd.inherited()
