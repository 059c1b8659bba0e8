"""Who may ask: names of the server, pages of others, and the token."""

from pathlib import Path

import pytest

from edgecnn.edge.serving.security import is_loopback
from tests.edge.serving.running import Server, serving

TOKEN = "a-token-of-some-length"


LED_HERE = ("evil.example", "evil.example:8000", "127.0.0.1.evil.example", "", "[::1", "local host")
OURS = ("localhost", "LOCALHOST:1", "127.0.0.1", "[::1]:8000", "192.168.1.17:8000")


@pytest.mark.parametrize(("host", "status"), [*((host, 400) for host in LED_HERE), *((host, 200) for host in OURS)])
def test_a_host_that_somebody_else_s_name_server_leads_here_is_refused(server: Server, host: str, status: int) -> None:
    assert server.get("/api/model", Host=host).status == status


def test_a_page_of_another_server_may_not_ask(server: Server) -> None:
    assert server.get("/api/model", Origin="https://evil.example").status == 403
    assert server.get("/api/model", Origin="null").status == 403
    assert server.get("/api/model", Origin="http://[").status == 403
    same = server.get("/api/model", Origin=f"http://127.0.0.1:{server.port}")
    assert same.status == 200
    assert "access-control-allow-origin" not in same.headers


def test_every_answer_binds_the_page_to_this_server_and_it_takes_nothing_from_outside(server: Server) -> None:
    for reply in (server.get("/"), server.get("/api/model"), server.get("/nothing"), server.get("/", Host="evil.example")):
        assert "default-src 'none'" in reply.headers["content-security-policy"]
        assert "unsafe" not in reply.headers["content-security-policy"]
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert "server" not in reply.headers
    page = server.get("/").body.decode()
    assert "http://" not in page
    assert "https://" not in page
    assert "<script>" not in page
    assert "style=" not in page


def test_on_other_addresses_a_token_is_needed_which_the_printed_address_holds(exported: Path, tmp_path: Path) -> None:
    with serving(
        tmp_path, exported / "int8.tflite", "--host", "0.0.0.0", "--allow-origin", "https://LAB.example",  # noqa: S104 - With a token.
        "--allow-host", "Board.Example", EDGECNN_TOKEN=TOKEN,
    ) as server:  # fmt: skip
        assert server.address.endswith(f"#token={TOKEN}")
        for path in ("/api/model", "/metrics", "/api/openapi.json", "/nothing"):
            refused = server.get(path)
            assert (refused.status, refused.headers["www-authenticate"]) == (401, "Bearer")
        assert server.classify(b"no picture").status == 401
        for wrong in ("Bearer", f"Bearer {TOKEN}x", f"Basic {TOKEN}", "Bearer ünicode"):
            assert server.get("/api/model", Authorization=wrong.encode().decode("latin-1")).status == 401
        assert server.get("/api/model", Authorization=f"Bearer {TOKEN}").status == 200
        assert (server.get("/").status, server.get("/healthz").status) == (200, 200)
        assert server.get("/healthz", Host="board.example:1").status == 200
        named = server.get("/api/model", Authorization=f"Bearer {TOKEN}", Origin="https://lab.example")
        assert (named.status, named.headers["access-control-allow-origin"]) == (200, "https://lab.example")
        asked = server.request(
            "OPTIONS", "/api/classify", Origin="https://lab.example", Access_Control_Request_Method="POST",
            Access_Control_Request_Headers="authorization",
        )  # fmt: skip
        assert asked.status == 200
        assert TOKEN not in server.log.read_text()


def test_a_token_of_the_environment_is_needed_on_this_machine_too(exported: Path, tmp_path: Path) -> None:
    with serving(tmp_path, exported / "int8.tflite", EDGECNN_TOKEN=TOKEN) as server:
        assert server.address == f"http://127.0.0.1:{server.port}/#token={TOKEN}"
        assert server.get("/api/model").status == 401
        assert server.get("/api/model", Authorization=f"Bearer {TOKEN}").status == 200


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("localhost", True), ("::", False), ("pi4.local", False)],
)
def test_only_this_machine_reaches_a_loopback_address(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback
