"""A server ends with what is under way answered, loads its files again, and is not stopped by clients that misbehave."""

import json
import shutil
import signal
import socket
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from edgecnn.edge.errors import ConfigError
from edgecnn.edge.manifest import Manifest
from edgecnn.edge.serving import uvicorn_server
from edgecnn.edge.serving.uvicorn_server import Address
from tests.edge.serving.running import Reply, Server, serving

pytestmark = pytest.mark.workstation("load, signals and many connections take minutes under emulation")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_request_under_way_is_answered_before_the_server_ends(
    exported: Path, pictures: Path, tmp_path: Path, number: signal.Signals
) -> None:
    picture = (pictures / "0.png").read_bytes()
    with serving(tmp_path, exported / "int8.tflite") as server:
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            head = f"POST /api/classify HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(picture)}\r\n\r\n".encode()
            client.sendall(head + picture[:10])
            # The request is under way once its task has begun; what follows it in time is answered, too.
            time.sleep(0.3)
            server.signal(number)
            server.wait_log("ending")
            client.sendall(picture[10:])
            answer = client.makefile("rb").read()
        assert server.process.wait(30) == 0
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b'"label"' in answer


def test_a_folder_that_was_exported_again_is_loaded_at_sighup(exported: Path, pictures: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(exported, folder)
    picture = (pictures / "0.png").read_bytes()
    with serving(tmp_path, folder) as server:
        before = server.get("/api/model").json["files"]
        manifest = Manifest.load(folder)
        kept = tuple(artifact for artifact in manifest.artifacts if artifact.path in ("model.keras", "int8.tflite"))
        replace(manifest, artifacts=kept).save(folder)
        server.signal(signal.SIGHUP)
        server.wait_log("loaded again")
        assert [file["name"] for file in server.get("/api/model").json["files"]] == ["int8.tflite"]
        assert len(before) > 1
        assert server.classify(picture).status == 200
        (folder / "int8.tflite").write_bytes(b"damaged")
        server.signal(signal.SIGHUP)
        server.wait_log("go on answering")
        assert server.classify(picture).status == 200


def test_more_requests_than_may_wait_get_503_and_when_to_try_again(exported: Path, pictures: Path, tmp_path: Path) -> None:
    large = tmp_path / "large.png"
    Image.effect_noise((3000, 2000), 60).save(large)
    replies: list[Reply] = []
    with serving(tmp_path, exported / "int8.tflite", "--queue", "1") as server:
        body = large.read_bytes()
        clients = [threading.Thread(target=lambda: replies.append(server.classify(body))) for _ in range(12)]
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
            assert client.makefile("rb").read().startswith((b"HTTP/1.1 400 ", b""))
    assert server.get("/healthz").status == 200


def test_a_connection_that_says_nothing_is_closed(exported: Path, tmp_path: Path, server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        client.settimeout(uvicorn_server._IDLE_SECONDS * 4)
        with suppress(ConnectionResetError):
            assert client.recv(1) == b""


def test_log_lines_are_json_if_asked_for(exported: Path, pictures: Path, tmp_path: Path) -> None:
    with serving(tmp_path, exported / "int8.tflite", "--log-json") as server:
        server.classify((pictures / "0.png").read_bytes())
        body = b'--edge\r\nBad"Header: x\r\n\r\nx\r\n--edge--\r\n'
        assert server.classify(body, kind="multipart/form-data; boundary=edge").status == 400
        said = server.wait_log(" 400 ")
    for line in said.splitlines():
        json.loads(line)
    line = next(json.loads(line) for line in said.splitlines() if "/api/classify" in line)
    assert (line["method"], line["path"], line["status"], line["client"]) == ("POST", "/api/classify", 200, "127.0.0.1")
    assert 0 < line["seconds"] < 60


def test_a_port_that_is_taken_or_not_ours_is_refused() -> None:
    with Address("127.0.0.1", 0).bound() as taken:
        taken.listen()
        with pytest.raises(ConfigError, match="port"):
            Address("127.0.0.1", taken.getsockname()[1]).bound()
    with pytest.raises(ConfigError, match="host"):
        Address("192.0.2.1", 0).bound()
    with pytest.raises(ConfigError, match="host"):
        Address("no such host", 0).bound()
