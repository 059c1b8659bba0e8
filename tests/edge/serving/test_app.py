"""The API answers what `Classifier.predict` answers, and says in one line what it can't answer."""

import asyncio
import base64
import json
import re
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.model_folder import ModelFolder
from edgecnn.edge.serving.app import Site, application
from edgecnn.edge.serving.metrics import Metrics
from edgecnn.edge.serving.models import MOST_BYTES
from edgecnn.edge.serving.security import Access
from tests.edge.serving.running import Server

KEPT = ("int8.tflite", "float32.onnx")


def form(parts: dict[str, bytes], boundary: str = "edge") -> tuple[bytes, str]:
    """Return a multipart form of files and its content type."""
    lines = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="picture"; filename="{name}"\r\n\r\n'.encode() + data + b"\r\n"
        for name, data in parts.items()
    ]
    return b"".join(lines) + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


PART = b'--edge\r\nContent-Disposition: form-data; name="x"\r\n\r\n%b\r\n'
SLOW_IN_PUNYCODE = PART % (b"a" * 3000 + b"-" + b"b" * 3000) + b"--edge--\r\n"
"""To decode it takes minutes."""


def test_pictures_are_answered_as_by_predict_and_in_their_order_however_they_are_sent(
    server: Server, pictures: Path, exported: Path
) -> None:
    paths = [pictures / f"{number}.png" for number in range(8)]
    data = {path.name: path.read_bytes() for path in paths}
    as_json = json.dumps({"pictures": [base64.b64encode(item).decode() for item in data.values()]}).encode()
    body, kind = form(data)
    as_form = server.classify(body, kind=kind).json["pictures"]
    assert [picture["name"] for picture in as_form] == list(data)
    alone = [picture for item in data.values() for picture in server.classify(item).json["pictures"]]
    for found in (as_form, alone, server.classify(as_json, kind="application/json").json["pictures"]):
        for name in KEPT:
            expected = Classifier.load(exported / name).predict(paths)
            answers = [answer for picture in found for answer in picture["answers"] if answer["file"] == name]
            assert [answer["label"] for answer in answers] == list(expected.labels)
            probabilities = [answer["probability"] for answer in answers]
            assert probabilities == pytest.approx(expected.probabilities.max(1).tolist(), abs=1e-6)


def test_an_answer_names_file_hash_runtime_and_agreement(server: Server, pictures: Path, exported: Path) -> None:
    reply = server.classify((pictures / "0.png").read_bytes(), "?top=1").json
    (picture,) = reply["pictures"]
    manifest = ModelFolder(exported).manifest
    assert manifest
    hashes = {artifact.path: artifact.sha256 for artifact in manifest.exported}
    for answer in picture["answers"]:
        assert answer["sha256"] == hashes[answer["file"]]
        assert re.fullmatch(r"(ai-edge-litert|onnxruntime) \d.*", answer["runtime"])
        assert len(answer["top"]) == 1
        assert 0 < answer["inference_us"] < reply["total_us"]
    assert [a["agrees"] for a in picture["answers"] if a["file"] == "float32.tflite"] == [None]
    assert {a["agrees"] for a in picture["answers"] if a["file"] != "float32.tflite"} <= {True, False}


def test_what_the_model_saw_is_returned_if_asked_for(server: Server, pictures: Path, exported: Path) -> None:
    body = (pictures / "3.png").read_bytes()
    (picture,) = server.classify(body, "?pixels=true&file=int8.tflite").json["pictures"]
    seen = picture["seen"]
    pixels = np.frombuffer(base64.b64decode(seen["pixels"]), np.uint8)
    image = ModelFolder(exported).test_images().images([3])[0]
    assert np.array_equal(pixels.reshape(seen["height"], seen["width"], seen["channels"]), image)
    assert server.classify(body).json["pictures"][0]["seen"] is None


@pytest.mark.parametrize("query", ["file=none.tflite", "top=0", "top=-1", "top=1_0", "pixels=yes", "files=int8.tflite"])
def test_a_query_that_makes_no_sense_is_refused(server: Server, pictures: Path, query: str) -> None:
    reply = server.classify((pictures / "0.png").read_bytes(), f"?{query}")
    name, _, value = query.partition("=")
    assert (reply.status, (value if name == "file" else name) in reply.error) == (404 if name == "file" else 400, True)


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"", "image/png", 400),
        (b"not a picture", "image/png", 422),
        (b"{", "application/json", 400),
        (b"[" * 100_000, "application/json", 413),
        (b'{"pictures": [1]}', "application/json", 400),
        (b'{"pictures": ["eA=="], "top": 1}', "application/json", 400),
        (b'{"pictures": ["***"]}', "application/json", 400),
        (b'{"pictures": []}', "application/json", 400),
        (b"no form", "multipart/form-data; boundary=x", 400),
        (b"no form", "multipart/form-data", 400),
        (form({str(number): b"x" for number in range(17)})[0], "multipart/form-data; boundary=edge", 413),
        (b'{"pictures": [' + b'"",' * 3_000_000 + b'""]}', "application/json", 413),
        (b'{"pictures": [' + b"[]," * 3_000_000 + b"[]]}", "application/json", 413),
        (b'{"pictures": [' + b'"eA==",' * 16 + b'"eA=="]}', "application/json", 413),
        (bytes(MOST_BYTES + 1), "image/png", 413),
    ],
)
def test_a_body_that_holds_no_pictures_is_refused_in_a_line(server: Server, body: bytes, kind: str, status: int) -> None:
    reply = server.classify(body, kind=kind)
    assert (reply.status, "\n" in reply.error) == (status, False)


def test_a_charset_that_takes_minutes_to_decode_is_not_decoded(server: Server) -> None:
    reply = server.classify(SLOW_IN_PUNYCODE, kind="multipart/form-data; charset=punycode; boundary=edge")
    assert (reply.status, "charset" in reply.error, "\n" in reply.error) == (400, True, False)


def test_a_form_s_other_fields_are_short(server: Server, pictures: Path) -> None:
    files, kind = form({"0.png": (pictures / "0.png").read_bytes()})
    assert server.classify(PART % bytes(100) + files, kind=kind).status == 200
    assert server.classify(PART % bytes(5000) + files, kind=kind).status == 400


def test_an_unexpected_exception_is_answered_in_json_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        """An engine whose models can't be described."""

        @property
        def models(self) -> Any:
            raise RuntimeError("secret")

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "http_version": "1.1", "method": "GET", "scheme": "http", "path": "/api/model", "query_string": b"",
        "headers": [(b"host", b"localhost")], "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
    }  # fmt: skip
    metrics = Metrics()
    app = application(Site(cast(Any, Broken()), metrics, "0"), Access())
    with caplog.at_level("ERROR", "edgecnn.serve"):
        asyncio.run(cast(Any, app(scope, cast(Any, None), send)))
    start, body = sent
    assert (start["status"], json.loads(body["body"])["error"].partition(":")[0]) == (500, "the server has a bug")
    assert metrics.errors == 1
    assert "secret" in caplog.text
    assert "/api/model: unexpected error" in caplog.text


def test_one_broken_picture_of_several_is_named(server: Server, pictures: Path) -> None:
    body, kind = form({"good.png": (pictures / "0.png").read_bytes(), "broken.png": b"not a picture"})
    reply = server.classify(body, kind=kind)
    assert reply.status == 422
    assert reply.error.startswith("broken.png is not an image ")
    assert server.classify(b"not a picture").error.startswith("picture is not an image ")


def test_no_answer_holds_a_path_of_the_machine(server: Server, exported: Path) -> None:
    replies = [server.get(path) for path in ("/api/model", "/api/openapi.json", "/metrics", "/nothing", "/healthz")]
    replies += [server.classify(b"no picture"), server.classify(b"", "?file=/etc/passwd")]
    for reply in replies:
        assert str(exported).encode() not in reply.body
        assert b"/tmp/" not in reply.body


def test_other_paths_and_methods_are_errors_in_json(server: Server) -> None:
    for path in ("/nothing", "/api/model/", "/../../etc/passwd"):
        reply = server.get(path)
        assert (reply.status, "/api/openapi.json" in reply.error) == (404, True)
    reply = server.get("/api/classify")
    assert (reply.status, reply.headers["allow"], "another method" in reply.error) == (405, "POST", True)


def test_the_model_is_described(server: Server, exported: Path) -> None:
    said = server.get("/api/model").json
    manifest = ModelFolder(exported).manifest
    assert manifest
    assert {file["name"] for file in said["files"]} == {artifact.path for artifact in manifest.exported}
    assert (said["class_names"], said["shape"]) == (list(manifest.class_names), [12, 12, 1])
    assert (said["reference"], said["camera"]) == ("float32.tflite", None)


def test_requests_and_inferences_are_counted(server: Server, pictures: Path) -> None:
    def count(line: str) -> float:
        found = re.search(rf"^{re.escape(line)} (\S+)$", server.get("/metrics").body.decode(), re.MULTILINE)
        return float(found[1]) if found else 0.0

    right, wrong = (f'edgecnn_requests_total{{path="/api/classify",status="{status}"}}' for status in (200, 422))
    inferences = 'edgecnn_inference_seconds_count{file="int8.tflite"}'
    before = [count(line) for line in (right, wrong, inferences)]
    server.classify((pictures / "0.png").read_bytes())
    server.classify(b"not a picture")
    assert [count(line) for line in (right, wrong, inferences)] == [before[0] + 1, before[1] + 1, before[2] + 1]


def test_paths_that_strangers_invent_are_one_line_of_the_metrics(server: Server) -> None:
    for number in range(20):
        server.get(f"/invented-{number}")
    assert "invented" not in server.get("/metrics").body.decode()
