"""A server ends with what is under way answered, loads its files again, and is not stopped by clients that misbehave."""

import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import replace
from http.client import HTTPConnection
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

import pytest
from PIL import Image

from edgecnn.edge.errors import ConfigError
from edgecnn.edge.manifest import Manifest
from edgecnn.edge.serving import logs
from edgecnn.edge.serving import server as server_module
from edgecnn.edge.serving.connection import IDLE_SECONDS
from edgecnn.edge.serving.server import _Server, listening
from tests.edge.serving.running import COMMAND, Reply, Server, full_pipe, post, printed_port, serving

_REQUESTS = 1200
"""Their lines, if each has a path of 2,000 bytes, are more than a pipe of Linux and the queue hold."""

pytestmark = pytest.mark.workstation("load, signals and many connections take minutes under emulation")


def require_answer_before_the_end(server: Server, picture: bytes, number: signal.Signals) -> None:
    """End a server by a signal, and check that a request under way is answered first."""
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        sent = post(picture)
        client.sendall(sent[:-20])
        # The request is under way once its task has begun; what follows it in time is answered, too.
        time.sleep(0.3)
        server.signal(number)
        server.wait_log("ending")
        client.sendall(sent[-20:])
        answer = client.makefile("rb").read()
    assert server.process.wait(30) == 0
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b'"label"' in answer


def test_a_folder_that_was_exported_again_is_loaded_at_sighup(artifacts: Path, pictures: Path, tmp_path: Path) -> None:
    picture = (pictures / "0.png").read_bytes()
    with serving(tmp_path, artifacts) as server:
        before = server.get("/api/model").json["files"]
        manifest = Manifest.load(artifacts)
        kept = tuple(artifact for artifact in manifest.artifacts if artifact.path in ("model.keras", "int8.tflite"))
        replace(manifest, artifacts=kept).save(artifacts)
        server.signal(signal.SIGHUP)
        server.wait_log("loaded again")
        assert [file["name"] for file in server.get("/api/model").json["files"]] == ["int8.tflite"]
        assert len(before) > 1
        assert server.classify(picture).status == 200
        (artifacts / "int8.tflite").write_bytes(b"damaged")
        server.signal(signal.SIGHUP)
        server.wait_log("go on answering")
        require_answer_before_the_end(server, picture, signal.SIGTERM)


class _Reloading:
    """What a server needs to load its files again."""

    def __init__(self, load: Callable[[], object]) -> None:
        self._site = SimpleNamespace(engine=SimpleNamespace(models="first"))
        self._start = SimpleNamespace(source=SimpleNamespace(load=load))
        self._loading = threading.Lock()

    @property
    def models(self) -> object:
        return self._site.engine.models

    def reload(self) -> None:
        _Server._reload(cast(Any, self))


def test_of_two_signals_the_later_one_loads_what_is_there_then() -> None:
    second = threading.Event()

    def load() -> str:
        if threading.current_thread() is threads[0]:
            second.wait(1)  # Until the other one loads too, if it may.
            return "stale"
        second.set()
        end = time.monotonic() + 1
        while server.models == "first" and time.monotonic() < end:
            time.sleep(0.01)
        return "now"

    server = _Reloading(load)
    threads = [threading.Thread(target=server.reload) for _ in range(2)]
    threads[0].start()
    time.sleep(0.1)
    threads[1].start()
    for thread in threads:
        thread.join()
    assert server.models == "now"


def test_systemd_hears_of_the_end_of_a_reload_that_fails_for_any_reason(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[str] = []
    monkeypatch.setattr(server_module, "notify_reloading", lambda: told.append("RELOADING=1"))
    monkeypatch.setattr(server_module, "notify", told.append)
    monkeypatch.setattr(logs._LOG, "propagate", True)

    def load() -> None:
        raise ImportError("cannot enable executable stack")

    server = _Reloading(load)
    with caplog.at_level("INFO"):
        server.reload()
    assert told == ["RELOADING=1", "READY=1"]
    assert server.models == "first"
    assert "the earlier files go on answering: cannot enable" in caplog.text


@pytest.mark.parametrize("token", ["abcdefgh+ijkl/mnop==", "a&b=c%41#d0123456789"])
def test_the_page_gets_the_token_of_the_printed_address(token: str) -> None:
    with closing(listening("127.0.0.1", 0)) as entrance:
        fragment = urlsplit(server_module._address(entrance, None, token)).fragment
    assert parse_qs(fragment) == {"token": [token]}  # As the page reads it.


def test_log_lines_are_json_if_asked_for(exported: Path, pictures: Path, tmp_path: Path) -> None:
    picture = (pictures / "0.png").read_bytes()
    with serving(tmp_path, exported / "int8.tflite", "--log-json") as server:
        server.classify(picture)
        body = b'--edge\r\nBad"Header: x\r\n\r\nx\r\n--edge--\r\n'
        assert server.classify(body, kind="multipart/form-data; boundary=edge").status == 400
        server.wait_log(" 400 ")
        require_answer_before_the_end(server, picture, signal.SIGINT)
        said = [json.loads(line) for line in server.log.read_text().splitlines()]
    line = next(line for line in said if "/api/classify" in line["message"])
    assert (line["method"], line["path"], line["status"], line["client"]) == ("POST", "/api/classify", 200, "127.0.0.1")
    assert 0 < line["seconds"] < 60


def test_more_requests_than_may_wait_get_503_and_when_to_try_again(exported: Path, pictures: Path, tmp_path: Path) -> None:
    large, replies = BytesIO(), list[Reply]()
    Image.linear_gradient("L").resize((5000, 4000)).save(large, "PNG")  # Small to send, and long to decode.
    with serving(tmp_path, exported / "int8.tflite", "--queue", "1") as server:
        clients = [threading.Thread(target=lambda: replies.append(server.classify(large.getvalue()))) for _ in range(12)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        assert {reply.status for reply in replies} == {200, 503}
        assert {reply.headers["retry-after"] for reply in replies if reply.status == 503} == {"1"}
        assert server.classify((pictures / "0.png").read_bytes()).status == 200


def test_a_thousand_silent_connections_and_half_requests_don_t_keep_others_from_being_answered(
    server: Server, pictures: Path
) -> None:
    silent = []
    try:
        for number in range(1000):
            client = socket.create_connection(("127.0.0.1", server.port))
            if number % 3 == 1:
                client.sendall(b"POST /api/classify HTTP/1.1\r\nHost: loc")
            if number % 3 == 2:
                client.sendall(b"POST /api/classify HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nhalf")
            silent.append(client)
    except ConnectionError:
        pass  # Those beyond the limit are closed.
    finally:
        for client in silent[: len(silent) // 2]:
            client.close()
    end = time.monotonic() + 60
    while True:  # Until connections have been closed again.
        try:
            assert server.classify((pictures / "0.png").read_bytes()).status == 200
            break
        except (ConnectionError, TimeoutError):
            assert time.monotonic() < end
    for client in silent:
        client.close()


def test_noise_instead_of_a_request_is_400(server: Server) -> None:
    for noise in (
        b"\0\1\2\3\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost localhost\r\n\r\n",
        b"\x16\x03\x01\x02\0" * 9,
    ):
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            client.sendall(noise + b"\r\n\r\n")
            answer = client.makefile("rb").read()
        assert answer.startswith(b"HTTP/1.1 400 "), answer
    assert server.get("/healthz").status == 200


def test_a_connection_that_says_nothing_is_closed(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        client.settimeout(IDLE_SECONDS * 4)
        with suppress(ConnectionResetError):
            assert client.recv(1) == b""


def test_a_port_that_is_taken_is_refused() -> None:
    with listening("127.0.0.1", 0) as taken, pytest.raises(ConfigError, match="port"):
        listening("127.0.0.1", taken.getsockname()[1])


NO_HOSTS = ("192.0.2.1", "no such host", "ä..b", "a" * 64 + "ä", "a\0b")
FOR_MANY = ("224.0.0.1", "255.255.255.255", "127.255.255.255", "ff02::1")


@pytest.mark.parametrize("host", [*NO_HOSTS, *FOR_MANY])
def test_a_host_that_is_not_this_machine_or_for_many_machines_is_refused(host: str) -> None:
    with pytest.raises(ConfigError, match="host"):
        listening(host, 0)


@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.1", "localhost", "127.1.2.3"])  # noqa: S104  # Not connected to.
def test_an_address_of_this_machine_is_listened_on(host: str) -> None:
    listening(host, 0).close()


def test_a_client_that_closes_its_side_after_its_request_is_answered(server: Server, pictures: Path) -> None:
    picture = (pictures / "0.png").read_bytes()
    for sent in (post(picture), b"GET /api/model HTTP/1.1\r\nHost: localhost\r\n\r\n", 2 * post(picture)):
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            client.settimeout(60)
            client.sendall(sent)
            client.shutdown(socket.SHUT_WR)
            answer = client.makefile("rb").read()  # Until the server closes the connection.
        assert answer.count(b"HTTP/1.1 200 ") == max(1, sent.count(b"POST"))
        assert b'"int8.tflite"' in answer


def test_a_client_that_closes_its_side_in_the_middle_of_its_request_is_forgotten(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        client.settimeout(60)
        client.sendall(b"POST /api/classify HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\nhalf")
        client.shutdown(socket.SHUT_WR)
        assert client.makefile("rb").read() == b""


def test_of_two_servers_started_at_once_on_one_port_one_answers_and_the_other_says_why_not(exported: Path) -> None:
    port = free_port()
    command = [*COMMAND, str(exported / "int8.tflite"), "--port", str(port)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    try:
        end = time.monotonic() + 60
        while all(server.poll() is None for server in both):
            assert time.monotonic() < end, "both go on"
            time.sleep(0.02)
        loser, winner = sorted(both, key=lambda server: server.poll() is None)
        said = loser.communicate()[1]
        assert winner.stdout
        assert f":{port}/" in winner.stdout.readline()
        assert (loser.returncode, said.count("\n"), f":{port} " in said, "--port" in said) == (2, 1, True, True), said
    finally:
        for server in both:
            server.terminate()
            server.communicate()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def asked_often(server: Server, pictures: Path) -> int:
    """Ask until lines of the log must be dropped, and return how many were."""
    with closing(HTTPConnection("127.0.0.1", server.port, timeout=60)) as client:
        for _ in range(_REQUESTS):
            client.request("GET", "/" + "x" * 2000)
            answer = client.getresponse()
            assert (answer.status, bool(answer.read())) == (404, True)
    assert server.classify((pictures / "0.png").read_bytes()).status == 200
    found = re.search(r"^edgecnn_log_lines_dropped_total (\S+)$", server.get("/metrics").body.decode(), re.MULTILINE)
    assert found
    return int(float(found[1]))


def test_a_server_whose_log_nobody_reads_answers_and_counts_the_lines_it_drops(exported: Path, pictures: Path) -> None:
    command = [*COMMAND, "--port", "0", str(exported / "int8.tflite"), "--log-json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr
            dropped = asked_often(Server(process, "", printed_port(process), Path("/dev/null")), pictures)
            lines = iter(process.stderr.readline, "")
            told = next(line for line in lines if "dropped" in line)  # Others come first.
            found = re.search(r"(\d+) lines were dropped", json.loads(told)["message"])
            assert found
            assert int(found[1]) >= dropped > 0
            process.terminate()
            assert "ending" in "".join(lines)  # What comes later is written again.
            assert process.wait(60) == 0
        finally:
            process.kill()


def test_a_server_whose_output_is_full_from_the_start_answers_and_ends_at_sigterm(exported: Path, pictures: Path) -> None:
    port, end = free_port(), time.monotonic() + 60
    command = [*COMMAND, str(exported / "int8.tflite"), "--port", str(port), "--verbose"]
    with full_pipe() as (_, writer):
        os.set_blocking(writer, True)
        with subprocess.Popen(command, text=True, stdout=writer, stderr=writer) as process:
            try:
                server = Server(process, "", port, Path("/dev/null"))
                while True:  # It does not listen at once.
                    with suppress(ConnectionError):
                        assert server.get("/healthz").status == 200
                        break
                    assert time.monotonic() < end
                assert asked_often(server, pictures) > 0
                process.terminate()
                assert process.wait(60) == 0
            finally:
                process.kill()


def test_lines_that_a_full_pipe_refuses_are_counted_and_said_once_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    dropped: list[None] = []
    with full_pipe() as (reader, writer):
        monkeypatch.setattr(logs, "_standard_error", lambda: os.dup(writer))
        with logs.logging_to_stderr(False, lambda: dropped.append(None)):
            for _ in range(3):
                logs.log("refused")
            while len(dropped) < 3:
                time.sleep(0.01)
            os.read(reader, 1 << 20)
            logs.log("written")
        lines = os.read(reader, 1 << 20).decode().splitlines()
    assert [line.split(" ", 1)[1].partition(":")[0] for line in lines] == ["written", "3 lines were dropped"]
