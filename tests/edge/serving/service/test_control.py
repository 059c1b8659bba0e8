"""A server in service goes over to another bundle while clients ask, refuses one that is not right, and keeps strangers out."""

import asyncio
import json
import re
import shutil
import signal
import socket
import stat
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from edgecnn.benchmarks.remote.agent import service as agent
from edgecnn.benchmarks.remote.agent.conversation import Failed
from edgecnn.edge.errors import ArtifactError
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.inference.usage import Usage
from edgecnn.edge.serving.models import ModelSource
from edgecnn.edge.serving.service import candidate
from edgecnn.edge.serving.service.control import Control, control_socket
from tests.edge.serving.running import Server, serving, watching
from tests.edge.serving.service.conftest import Pair, file_hash, hash_of
from tests.edge.serving.service.desk import ask, clients

pytestmark = pytest.mark.workstation("load, signals and many connections take minutes under emulation")


def test_the_reference_has_every_request() -> None:
    page = (Path(__file__).parents[4] / "docs/reference/control-socket.md").read_text()
    assert re.findall(r'^\| `\{"do": "(\w+)"', page, re.MULTILINE) == [*candidate._TAKES]
    assert f"`seconds` (default {candidate.LOAD_SECONDS:g})" in page
    assert f"default {candidate.KEEP_BYTES // 2**20} MiB" in page


def label_of(server: Server, picture: bytes) -> tuple[str, str]:
    (answer,) = server.classify(picture).json["pictures"][0]["answers"]
    return answer["sha256"], answer["label"]


def test_a_hundred_switches_under_sixteen_clients_refuse_nobody_and_every_answer_is_its_file_s(
    served: Server, state: Path, pair: Pair, pictures: Path
) -> None:
    picture = (pictures / "0.png").read_bytes()
    expected = {label_of(served, picture)}
    ask(state, "load", path=str(pair.new))
    assert ask(state, "switch", sha256=hash_of(pair.new)) == {"ok": True}
    expected.add(label_of(served, picture))
    assert len({label for _, label in expected}) == 2
    with clients(served, picture) as many:
        for number in range(100):
            bundle = pair[number % 2]
            assert ask(state, "load", path=str(bundle))["ok"]
            assert ask(state, "switch", sha256=hash_of(bundle)) == {"ok": True}
    assert many.failures == []
    assert many.answers.keys() == expected
    assert sum(many.answers.values()) > 100


def test_who_watches_the_camera_gets_the_answers_of_the_other_bundle_from_the_switch_on(
    pair: Pair, state: Path, pictures: Path, tmp_path: Path
) -> None:
    with serving(tmp_path, pair.old, "--state", state, "--camera", pictures) as server, watching(server) as lines:
        assert next(lines)["answers"][0]["sha256"] == file_hash(pair.old)
        ask(state, "load", path=str(pair.new))
        assert ask(state, "switch", sha256=hash_of(pair.new))["ok"]
        hashes = (line["answers"][0]["sha256"] for line in islice(lines, 1000))
        assert any(found == file_hash(pair.new) for found in hashes)


def test_the_status_names_what_answers_and_what_is_loaded(served: Server, state: Path, pair: Pair) -> None:
    before = ask(state, "status")
    assert before["ok"]
    assert (before["pid"], before["address"], before["candidate"]) == (served.process.pid, served.address, None)
    assert before["serving"]["sha256"] == hash_of(pair.old)
    assert [(file["file"], file["sha256"]) for file in before["serving"]["files"]] == [("float32.onnx", file_hash(pair.old))]
    assert 10**7 < before["memory_bytes"] < 10**10
    loaded = ask(state, "load", path=str(pair.new))
    (row,) = loaded["files"]
    assert (loaded["sha256"], row["file"], row["vectors"], row["passed"]) == (hash_of(pair.new), "float32.onnx", 32, True)
    assert 0 <= row["largest_difference"] <= row["tolerance"]
    during = ask(state, "status")
    assert (during["candidate"], during["serving"]) == (hash_of(pair.new), before["serving"])
    assert ask(state, "switch", sha256=hash_of(pair.old)) == {"ok": True}  # It answers already.
    assert ask(state, "status") | {"memory_bytes": 0} == during | {"memory_bytes": 0}
    assert ask(state, "drop") == {"ok": True}
    assert "load it first" in ask(state, "switch", sha256=hash_of(pair.new))["error"]
    assert ask(state, "status")["candidate"] is None
    health = ask(state, "health")
    assert (health["ok"], health["errors"], health["sha256"]) == (True, 0, hash_of(pair.old))
    assert 0 < health["latency_ms"] < 60_000


def test_a_bundle_that_is_damaged_or_altered_or_of_other_classes_or_slow_is_refused_and_the_old_one_answers(
    served: Server,
    state: Path,
    pair: Pair,
    other_classes: Path,
    altered: Callable[[], Path],
    pictures: Path,
    tmp_path: Path,
) -> None:
    picture = (pictures / "0.png").read_bytes()
    before = label_of(served, picture)
    half = tmp_path / "half.zip"
    half.write_bytes(pair.new.read_bytes()[: pair.new.stat().st_size // 2])
    folder = tmp_path / "folder"
    folder.mkdir()
    assert ask(state, "load", path=str(pair.new))["ok"]
    for path, why, others in (
        (half, "not a whole bundle", {}),
        (altered(), "differs by", {}),
        (other_classes, "other classes (a, b, c)", {}),
        (pair.old, "within 0.001 s", {"seconds": 0.001}),
        (tmp_path / "nowhere.zip", "does not exist", {}),
        (folder, "does not exist", {}),
        (pictures / "0.png", "no bundle", {}),
    ):
        refused = refused_load(state, path, **others)
        assert refused["ok"] is False
        assert why in refused["error"], refused
        assert "\n" not in refused["error"]
        status = ask(state, "status")
        assert (status["serving"]["sha256"], status["candidate"]) == (hash_of(pair.old), hash_of(pair.new))
        assert label_of(served, picture) == before


def refused_load(state: Path, path: Path, **others: Any) -> Any:
    """Load a bundle, as soon as the one before is out of the way, and return the refusal."""
    while "still being loaded" in (found := ask(state, "load", path=str(path), **others)).get("error", ""):
        time.sleep(0.05)
    return found


def test_what_a_client_of_the_socket_sends_wrong_is_one_line_and_the_service_goes_on(
    served: Server, state: Path, pictures: Path
) -> None:
    for line in (
        b"\n",
        b"[]\n",
        b"\xff\xfe\n",
        b'{"do": 1}\n',
        b'{"do": "__init__"}\n',
        b'{"do": "load"}\n',
        b'{"do": "load", "path": 1}\n',
        b'{"do": "load", "path": "\\u0000"}\n',
        b'{"do": "load", "path": "/x", "seconds": true}\n',
        b'{"do": "load", "path": "/x", "seconds": 1e400}\n',
        b'{"do": "load", "path": "/x", "seconds": -1}\n',
        b'{"do": "status", "\\u001b[2J": 1}\n',
        b'{"do": "shadow", "pictures": 1}\n',
        b"[" * 60_000 + b"\n",
        b"x" * 2**17 + b"\n",
    ):
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(60)
            client.connect(str(state / "control.sock"))
            client.sendall(line)
            answer = client.makefile("rb").readline()
        refused = json.loads(answer)
        assert (refused["ok"], answer.count(b"\n")) == (False, 1), line[:60]
        assert not any(text in refused["error"] for text in ("Traceback", "\x1b", "bug")), refused
    assert label_of(served, (pictures / "0.png").read_bytes())


def test_clients_of_the_socket_that_say_nothing_or_vanish_keep_nobody_waiting(
    served: Server, state: Path, pair: Pair, pictures: Path
) -> None:
    silent = [socket.socket(socket.AF_UNIX) for _ in range(6)]
    try:
        for number, client in enumerate(silent):
            client.settimeout(60)
            client.connect(str(state / "control.sock"))
            client.sendall((b"", b'{"do": "sta', b'{"do": "status"}\n' * 100)[number % 3])
        assert ask(state, "status")["ok"]
        assert label_of(served, (pictures / "0.png").read_bytes())
        vanished = socket.socket(socket.AF_UNIX)
        vanished.connect(str(state / "control.sock"))
        vanished.sendall(json.dumps({"do": "load", "path": str(pair.new)}).encode() + b"\n")
        vanished.close()
        assert ask(state, "status")["candidate"] == hash_of(pair.new)  # It was next in turn.
        assert silent[0].recv(1) == b""  # It is closed.
        for _ in range(20):
            silent.append(socket.socket(socket.AF_UNIX))
            silent[-1].settimeout(60)
            silent[-1].connect(str(state / "control.sock"))
        assert silent[-1].recv(1) == b""  # At once: there are too many.
        assert label_of(served, (pictures / "0.png").read_bytes())
    finally:
        for client in silent:
            client.close()


def test_the_socket_is_its_user_s_a_second_server_is_refused_and_a_killed_one_s_is_replaced(
    pair: Pair, state: Path, tmp_path: Path, terminal: Any
) -> None:
    with serving(tmp_path, pair.old, "--state", state) as first:
        place = state / "control.sock"
        assert (stat.S_IMODE(place.stat().st_mode), stat.S_IMODE(state.stat().st_mode)) == (0o600, 0o700)
        said = terminal.fails(2, "serve", pair.new, "--port", "0", "--state", state)
        assert f"--state {state} is used by another server" in said
        assert ask(state, "status")["pid"] == first.process.pid
        first.process.kill()
        first.process.wait()
    assert place.is_socket()
    with serving(tmp_path, pair.new, "--state", state) as second:
        assert ask(state, "status")["pid"] == second.process.pid
    assert not place.exists()


def test_a_bug_is_one_line_for_the_client_and_a_traceback_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def answer(asked: dict[str, Any]) -> dict[str, Any]:
        raise ZeroDivisionError("ours")

    async def asked_twice() -> list[Any]:
        with control_socket(tmp_path) as entrance:
            server = await Control(answer).start(entrance)
            found = [await asyncio.to_thread(ask, tmp_path, "status") for _ in range(2)]
            server.close()
            return found

    said = "the server has a bug: its log says more"
    assert asyncio.run(asked_twice()) == [{"ok": False, "error": said}] * 2
    assert "ZeroDivisionError: ours" in caplog.text


def test_a_bundle_whose_link_is_switched_while_it_is_loaded_keeps_its_own_hash(pair: Pair, tmp_path: Path) -> None:
    link = tmp_path / "model.zip"
    link.symlink_to(pair.old)

    def switch(file: Path, classifier: Classifier) -> None:
        link.unlink()
        link.symlink_to(pair.new)

    source = ModelSource((link,), Usage().classifier, lambda folder: None)
    loaded = source.load(switch)
    assert (loaded.bundle_sha256, loaded.path) == (hash_of(pair.old), str(pair.old.resolve()))
    copy = Path(shutil.copy(pair.old, tmp_path / "copy.zip"))
    with pytest.raises(ArtifactError, match=r"copy\.zip changed while it was opened"):
        replace(source, targets=(copy,)).load(lambda *_: copy.touch())


def test_what_deploy_asks_of_a_service_is_answered_as_it_expects(served: Server, state: Path, pair: Pair) -> None:
    before = agent.running(state)
    assert before
    agent.ask(state, {"do": "load", "path": str(pair.new)}, agent.LOAD_SECONDS)
    assert candidate.LOAD_SECONDS < agent.LOAD_SECONDS
    agent.ask(state, {"do": "switch", "sha256": hash_of(pair.new)})
    switched = agent.await_service(state, hash_of(pair.new), wait=time.sleep)
    assert agent.watch(state, hash_of(pair.new), switched, 0, 60_000) == 1
    with pytest.raises(Failed, match="does not exist"):
        agent.ask(state, {"do": "load", "path": str(state / "nowhere.zip")})
    agent.ask(state, {"do": "restart"})
    restarted = agent.await_service(state, hash_of(pair.old), wait=time.sleep)
    assert agent.watch(state, hash_of(pair.old), restarted, 0, None) == 1
    assert restarted["pid"] == before["pid"]
    assert restarted["answers"]["all"]["pictures"] == 0  # What is asked of its health is no answer to anybody.


def test_a_link_that_is_switched_is_loaded_at_sighup_and_named_by_its_hash(pair: Pair, state: Path, tmp_path: Path) -> None:
    for name, bundle in zip(("a", "b"), pair, strict=True):
        (tmp_path / name).mkdir(exist_ok=True)
        shutil.copy(bundle, tmp_path / name / "model.zip")
    current = tmp_path / "current"
    current.symlink_to("a")
    with serving(tmp_path, current / "model.zip", "--state", state) as server:
        assert ask(state, "status")["serving"]["sha256"] == hash_of(pair.old)
        current.unlink()
        current.symlink_to("b")
        server.signal(signal.SIGHUP)
        server.wait_log("loaded again")
        assert ask(state, "status")["serving"]["sha256"] == hash_of(pair.new)
