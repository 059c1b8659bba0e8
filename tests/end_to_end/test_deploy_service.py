"""`edgecnn deploy` to a board on which `edgecnn serve` runs and clients go on asking: real ssh, agent and runtimes."""

import json
import signal
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from edgecnn.benchmarks.bundle.write_bundle import write_bundle
from edgecnn.benchmarks.deploy.boards import Order, deploy_to, rolled_back
from edgecnn.benchmarks.deploy.options import DeployOptions
from edgecnn.benchmarks.deploy.records import Deployed
from edgecnn.benchmarks.remote.agent.service import ask
from edgecnn.benchmarks.remote.install import running_version
from edgecnn.benchmarks.remote.remote import Install
from edgecnn.edge.data.splits import Split
from edgecnn.edge.manifest import Manifest
from edgecnn.edge.model_folder import ModelFolder
from edgecnn.edge.result import SILENT, Silent
from tests.edge.serving.running import Server, serving
from tests.edge.serving.service.desk import clients
from tests.end_to_end.test_deploy import PLACE, REAL
from tests.end_to_end.test_devices import wheel

# Sixteen clients that wait so long between two requests still ask every 6 ms, while pip works for seconds.
PAUSE = 0.1
FIRST, SECOND = ("--file", "float32.tflite"), ("--file", "float32.onnx")


@pytest.fixture
def board(network: Any, artifacts: Path, terminal: Any) -> Any:
    """A board in which float32.tflite is in service."""
    device = network.add("pi", edgecnn=REAL)
    terminal.passes("deploy", artifacts, "--device", "pi", *FIRST)
    return device


@pytest.fixture
def service(board: Any, tmp_path: Path) -> Iterator[Server]:
    """The service of the board."""
    with serving(tmp_path, board.home / PLACE, "--state", state_of(board)) as server:
        yield server


@pytest.fixture
def picture(test_split: Split) -> bytes:
    """The first test image."""
    stream = BytesIO()
    Image.fromarray(test_split.images([0])[0, :, :, 0]).save(stream, "png")
    return stream.getvalue()


def state_of(board: Any) -> Path:
    return Path(board.home / ".local/share/edgecnn/service")


def deployed(terminal: Any, tmp_path: Path, *arguments: object) -> dict[str, Any]:
    """Deploy, and return what became of the board."""
    terminal.run("deploy", *arguments, "--device", "pi", "--json", tmp_path / "deploy.json")
    (board,) = json.loads((tmp_path / "deploy.json").read_text())["boards"]
    return dict(board)


def order_of(artifacts: Path, tmp_path: Path, file: str, watch_seconds: float) -> Order:
    """Return the order to put a bundle with one file into service."""
    bundle = tmp_path / "bars.zip"
    with ModelFolder(artifacts) as models:
        write_bundle(bundle, models, models.test_images(), (file,))
    return Order(bundle, "bars", running_version(), "MEND", DeployOptions(watch_seconds=watch_seconds))


def files_in_service(board: Any) -> list[str]:
    return [file["file"] for file in ask(state_of(board), {"do": "status"})["serving"]["files"]]


def test_no_request_is_refused_while_updates_and_rollbacks_come(
    board: Any, service: Server, picture: bytes, test_split: Split, artifacts: Path, terminal: Any, tmp_path: Path
) -> None:
    pid = ask(state_of(board), {"do": "status"})["pid"]
    with clients(service, picture, pause=PAUSE) as many:
        for files in (SECOND, FIRST, SECOND):
            done = deployed(terminal, tmp_path, artifacts, *files, "--watch", "1s")
            assert (done["outcome"], done["serving"], done["answers"] >= 1) == ("deployed", True, True), terminal.err
            assert files_in_service(board) == [files[1]]
        again = deployed(terminal, tmp_path, artifacts, *SECOND)
        assert (again["outcome"], again["serving"]) == ("unchanged", True)
        assert deployed(terminal, tmp_path, "--rollback")["outcome"] == "rolled back"
        assert files_in_service(board) == ["float32.tflite"]
    assert many.failures == []
    printed = terminal.passes("deploy", "--device", "pi", "--status", "--json", tmp_path / "status.json")
    assert "In the last hour" in terminal.passes("deploy", "--device", "pi", "--status") + printed
    (board_now,) = json.loads((tmp_path / "status.json").read_text())["boards"]
    answered = board_now["service"]["answers"]
    assert answered["all"]["pictures"] == sum(many.answers.values())
    assert answered["all"]["errors"] == 0
    assert {label for _, label in many.answers} == {str(test_split.labels[0])}
    assert len({sha256 for sha256, _ in many.answers}) == 2
    assert ask(state_of(board), {"do": "status"})["pid"] == pid


def test_a_service_that_dies_while_it_is_watched_has_the_earlier_bundle_again(
    board: Any, service: Server, artifacts: Path, terminal: Any, tmp_path: Path
) -> None:
    class EndsTheWatched(Silent):
        def say(self, text: str) -> None:
            if "watching" in text:
                service.signal(signal.SIGKILL)

    before = (board.home / PLACE).read_bytes()
    (done,) = deploy_to(["pi"], order_of(artifacts, tmp_path, SECOND[1], 20.0), EndsTheWatched())
    assert (done.outcome, done.serving) == ("taken back", False), done
    assert "stopped answering" in str(done.reason)
    assert (board.home / PLACE).read_bytes() == before
    assert terminal.run("deploy", artifacts, *SECOND, "--device", "pi") == 0


def test_a_bundle_of_other_classes_does_not_come_into_a_running_service(
    board: Any, service: Server, artifacts: Path, terminal: Any, tmp_path: Path
) -> None:
    manifest = Manifest.load(artifacts)
    replace(manifest, class_names=("a", "b", "c")).save(artifacts)
    done = deployed(terminal, tmp_path, artifacts, *SECOND)
    assert (done["outcome"], "other classes" in done["reason"]) == ("refused", True)
    assert files_in_service(board) == ["float32.tflite"]
    assert ask(state_of(board), {"do": "status"})["candidate"] is None


def test_live_pictures_that_it_answers_too_decide_whether_it_comes_into_service(
    board: Any, service: Server, picture: bytes, artifacts: Path, terminal: Any, tmp_path: Path
) -> None:
    with clients(service, picture, 2):
        done = deployed(terminal, tmp_path, artifacts, *SECOND, "--shadow", "20", "--watch", "0s")
        assert (done["outcome"], done["shadowed"], done["agreed"]) == ("refused", 20, 20)  # 20 of 20 show 83 %.
        assert ask(state_of(board), {"do": "status"})["candidate"] is None
        done = deployed(terminal, tmp_path, artifacts, *SECOND, "--shadow", "100", "--watch", "0s")
    assert (done["outcome"], done["shadowed"], done["agreed"]) == ("deployed", 100, 100)
    assert files_in_service(board) == ["float32.onnx"]


def test_another_edgecnn_gets_an_environment_of_its_own_and_the_running_service_becomes_it(
    network: Any, artifacts: Path, picture: bytes, tmp_path: Path
) -> None:
    device = network.add("pi", edgecnn=None)
    order = order_of(artifacts, tmp_path, "float32.tflite", 0.0)

    def deploy(text: str) -> Deployed:
        install = Install(("tflite",), wheel(network.folder, text))
        (found,) = deploy_to(["pi"], replace(order, install=install), SILENT)
        return found

    assert deploy(REAL).outcome == "deployed"
    place = device.home / ".local/share/edgecnn"
    first = (place / "current/venv").resolve()
    assert (first / "bin/edgecnn").exists()
    with (
        serving(tmp_path, place / "current/model.zip", "--state", place / "service") as server,
        clients(server, picture, pause=PAUSE) as many,
    ):
        before = ask(place / "service", {"do": "status"})
        done = deploy(f"{REAL}# another")
        assert (done.outcome, done.serving, done.reason) == ("deployed", True, None)
        assert (place / "current/venv").resolve() != first
        assert first.exists()  # For a rollback.
        status = ask(place / "service", {"do": "status"})
        assert status["pid"] == before["pid"]
        assert status["started"] != before["started"]
        (found,) = rolled_back(["pi"], SILENT)
        assert (found.outcome, found.serving) == ("rolled back", True)
        assert (place / "current/venv").resolve() == first
        assert ask(place / "service", {"do": "status"})["started"] != status["started"]
    assert many.failures == []
    assert many.answers
