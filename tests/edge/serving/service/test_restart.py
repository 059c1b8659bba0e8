"""A server's next process takes its place with its sockets: clients wait, and nobody is refused or forgotten."""

import asyncio
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from edgecnn.commands.serve import golden_vectors
from edgecnn.edge.inference.usage import Usage
from edgecnn.edge.serving.app import Site
from edgecnn.edge.serving.decoder import QUICK_SECONDS, Decoder
from edgecnn.edge.serving.metrics import Metrics
from edgecnn.edge.serving.models import ModelSource
from edgecnn.edge.serving.options import ServeOptions
from edgecnn.edge.serving.server import Handover, Start, _Server, listening, serve_source
from edgecnn.edge.serving.service.systemd import Inherited
from tests.edge.serving.running import Server, printed_port, serving
from tests.edge.serving.service.conftest import Hanging, Pair, hash_of
from tests.edge.serving.service.desk import ask, clients, wait_status

pytestmark = pytest.mark.workstation("load, signals and many connections take minutes under emulation")

_MOMENT = 0.3


def restart(state: Path) -> None:
    """Restart a server, and wait until its next process answers."""
    before = ask(state, "status")["started"]
    assert ask(state, "restart") == {"ok": True}
    end = time.monotonic() + 60
    while wait_status(state, ok=True)["started"] == before:
        assert time.monotonic() < end


def program(state: Path, text: str) -> Path:
    """Put a program in the place of the environment's edgecnn."""
    path = state.parent / "current/venv/bin/edgecnn"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_a_restart_under_sixteen_clients_refuses_nobody(served: Server, state: Path, pictures: Path) -> None:
    picture = (pictures / "0.png").read_bytes()
    with clients(served, picture) as many:
        for _ in range(3):
            restart(state)
    assert many.failures == []
    assert len(many.answers) == 1
    assert sum(many.answers.values()) > 32  # On a busy machine, each client gets a few.
    assert ask(state, "status")["pid"] == served.process.pid


def test_connections_between_two_requests_or_within_one_are_answered_across_a_restart(
    served: Server, state: Path, pictures: Path
) -> None:
    picture = (pictures / "0.png").read_bytes()
    address = ("127.0.0.1", served.port)
    with closing(HTTPConnection(*address, timeout=60)) as idle, closing(HTTPConnection(*address, timeout=60)) as half:
        idle.request("GET", "/healthz")
        idle.getresponse().read()
        half.putrequest("POST", "/api/classify")
        half.putheader("Content-Length", str(len(picture)))
        half.endheaders(picture[:10])
        kept = idle.sock, half.sock
        time.sleep(_MOMENT)  # It is under way once its task has begun.
        before = ask(state, "status")["started"]
        assert ask(state, "restart")["ok"]
        time.sleep(_MOMENT)  # The idle one has been put aside, the other one is waited for.
        with pytest.raises(ConnectionRefusedError):  # What this process would say is over soon.
            ask(state, "status")
        idle.request("GET", "/healthz")
        half.send(picture[10:])
        for connection in (half, idle):
            response = connection.getresponse()
            assert (response.status, bool(response.read())) == (200, True)
        half.request("POST", "/api/classify", picture)
        assert half.getresponse().status == 200
        assert (idle.sock, half.sock) == kept
        assert wait_status(state, ok=True)["started"] != before


def test_the_next_process_is_the_program_of_the_environment_in_service_with_the_same_arguments(
    served: Server, state: Path, pair: Pair
) -> None:
    path = program(state, f'#!/bin/sh\nexport EDGECNN_TEST=next\nexec {sys.executable} -m edgecnn "$@"\n')
    restart(state)
    assert b"EDGECNN_TEST=next" in Path(f"/proc/{served.process.pid}/environ").read_bytes()
    assert ask(state, "status")["serving"]["sha256"] == hash_of(pair.old)
    path.unlink()
    restart(state)
    assert served.get("/healthz").status == 200


def test_a_program_that_does_not_start_leaves_the_present_process_in_service(served: Server, state: Path) -> None:
    started = ask(state, "status")["started"]
    for text, why in (("#!/nowhere/python\n", "No such file"), ("#!/bin/sh\necho broken >&2; exit 3\n", "broken")):
        path = program(state, text)
        refused = ask(state, "restart")
        assert refused["ok"] is False
        assert f"{path} does not start" in refused["error"]
        assert why in refused["error"]
    assert ask(state, "status")["started"] == started
    assert served.get("/healthz").status == 200


def test_sigterm_during_a_restart_ends_the_server(served: Server, state: Path, pictures: Path) -> None:
    with socket.create_connection(("127.0.0.1", served.port)) as half:
        half.sendall(b"POST /api/classify HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\nhalf")
        time.sleep(_MOMENT)
        assert ask(state, "restart")["ok"]
        served.wait_log("takes over")
        served.signal(signal.SIGTERM)
        assert served.process.wait(30) == 0


def start_of(source: Any, decoder: Any, state: Path | None = None) -> Start:
    return Start(source, ServeOptions(port=0, state=state and str(state)), None, decoder, golden_vectors, print, Inherited())


def test_sighup_stays_ignored_until_the_next_process_answers(pair: Pair, state: Path) -> None:
    def ask_restart() -> None:
        wait_status(state, ok=True)
        ask(state, "restart")

    source = ModelSource((pair.old,), Usage().classifier, lambda folder: None)
    before = signal.getsignal(signal.SIGHUP)
    try:
        with ThreadPoolExecutor(1) as pool, closing(Decoder(QUICK_SECONDS)) as decoder:
            asked = pool.submit(ask_restart)
            handover = serve_source(start_of(source, decoder, state))
            asked.result(60)
        assert handover
        assert (handover.program, len(handover.descriptors)) == (None, 1)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        os.close(handover.descriptors[0])
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("rounds", range(5))
def test_a_connection_that_is_accepted_at_that_moment_is_passed_on(rounds: int) -> None:
    async def passed_on(client: socket.socket) -> list[socket.socket]:
        server = _Server(Site(cast(Any, SimpleNamespace(has_moved=bool)), Metrics(), "0"), start_of(None, None), "", None)
        server.config.load()
        server.lifespan = server.config.lifespan_class(server.config)
        with listening("127.0.0.1", 0) as entrance:
            await server.startup([entrance])
            client.connect(entrance.getsockname())
            for _ in range(rounds):  # First it waits in the kernel, then for asyncio's task.
                await asyncio.sleep(0)
            server.handover = Handover(None)
            await server._pass_on([entrance])
        return [socket.socket(fileno=number) for number in server.handover.descriptors]

    with socket.socket() as client, ExitStack() as stack:
        entrance, *passed = [stack.enter_context(one) for one in asyncio.run(passed_on(client))]
        if not passed:
            entrance.settimeout(_MOMENT)
            passed.append(stack.enter_context(entrance.accept()[0]))
        assert [one.getpeername() for one in passed] == [client.getsockname()]


def test_a_restart_that_waits_for_native_code_ends_to_be_started_again(state: Path, hanging: Hanging, tmp_path: Path) -> None:
    seconds = "from edgecnn.edge.serving import server; server._HANDOVER_SECONDS = 1.0"
    run = f"import sys; {seconds}; from edgecnn.__main__ import run; sys.argv[0] = 'edgecnn'; run()"
    command = [sys.executable, "-c", run, "serve", "--port", "0", "--state", str(state), *hanging.arguments]
    with (
        (tmp_path / "log").open("w") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as process,
    ):
        try:
            with hanging.hung(printed_port(process)):
                assert ask(state, "restart")["ok"]
                assert process.wait(60) == 1
        finally:
            process.kill()


def test_systemd_hears_of_a_restart_and_its_watchdog_of_the_next_process(
    told: socket.socket, pair: Pair, state: Path, tmp_path: Path
) -> None:
    environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "400000"}
    with serving(tmp_path, pair.old, "--state", state, **environment):
        assert told.recv(100) == b"READY=1"
        assert ask(state, "restart")["ok"]
        heard = [told.recv(100).split(b"\n")]
        while [said[0] for said in heard[-2:]] != [b"READY=1", b"WATCHDOG=1"]:
            heard.append(told.recv(100).split(b"\n"))
    changes = [said for said in heard if said != [b"WATCHDOG=1"]]
    if changes[0][0] == b"WATCHDOG=1":
        del changes[0]  # The first beat of the process that ends.
    assert [said[0] for said in changes] == [b"RELOADING=1", b"READY=1", b"WATCHDOG=1"]
    # Until the next process beats, systemd waits longer than between two beats.
    assert changes[0][-1] == b"WATCHDOG_USEC=300000000"
    assert changes[2][-1] == b"WATCHDOG_USEC=400000"


def test_a_token_stays_across_a_restart_and_sighup_during_it_does_no_harm(pair: Pair, state: Path, tmp_path: Path) -> None:
    with serving(tmp_path, pair.old, "--state", state, "--host", "0.0.0.0") as server:  # noqa: S104 - Reached from here.
        token = {"Authorization": f"Bearer {server.address.partition('=')[2]}"}
        assert server.get("/api/model", **token).status == 200
        assert ask(state, "status")["address"] == server.address.partition("#")[0]
        for number in range(1, 4):
            assert ask(state, "restart")["ok"]
            server.wait_log("takes over")
            while server.log.read_text().count("loading") == number:
                os.kill(server.process.pid, signal.SIGHUP)
            wait_status(state, ok=True)
        assert server.get("/api/model", **token).status == 200
        assert server.get("/api/model").status == 401
