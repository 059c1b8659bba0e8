"""`edgecnn serve` serves folders, bundles and files, refuses unverified files, and its page shows the answers."""

import base64
import json
import os
import re
import shutil
import signal
from contextlib import closing
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest
from PIL import Image

import edgecnn as ec
from edgecnn.commands import serve
from edgecnn.commands.serve import golden_vectors, last_verdict
from edgecnn.edge.errors import ConfigError
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.inference.pictures import fitted_picture
from edgecnn.edge.manifest import Manifest
from edgecnn.edge.model_folder import ModelFolder
from edgecnn.edge.serving import export_page as serve_page
from edgecnn.edge.serving.decoder import QUICK_SECONDS, Decoder
from edgecnn.edge.serving.models import LastVerdict
from edgecnn.edge.serving.options import ServeOptions
from edgecnn.edge.serving.server import Start, serve_source
from edgecnn.edge.serving.service.systemd import Inherited
from tests.edge.serving.running import Server, serving, watching

pytestmark = pytest.mark.workstation("load, signals and many connections take minutes under emulation")

if TYPE_CHECKING:
    from tests.edge.serving.browser import Browser


UNIT = Path(__file__).parents[3] / "examples/edgecnn-serve.service"


def test_a_bundle_is_served_as_its_folder_is(exported: Path, server: Server, pictures: Path, tmp_path: Path) -> None:
    ec.bundle(exported, tmp_path / "bars.zip", test_images=20)
    picture = (pictures / "1.png").read_bytes()
    expected = [(a["file"], a["label"], a["probability"]) for a in server.classify(picture).json["pictures"][0]["answers"]]
    with serving(tmp_path, tmp_path / "bars.zip") as served:
        found = served.classify(picture).json["pictures"][0]["answers"]
        assert served.get("/api/model").json["name"] == "bars.zip"
    assert [(a["file"], a["label"], a["probability"]) for a in found] == expected


def test_an_unverified_file_is_refused_unless_it_is_trusted(
    exported: Path, pictures: Path, tmp_path: Path, terminal: Any
) -> None:
    alone = tmp_path / "alone.tflite"
    shutil.copy(exported / "int8.tflite", alone)
    said = terminal.fails(2, "serve", alone, "--port", "0", "--preprocess", "unit")
    assert "alone.tflite is unverified" in said
    assert "--trust-unverified" in said
    with serving(tmp_path, alone, "--preprocess", "unit", "--trust-unverified") as served:
        (file,) = served.get("/api/model").json["files"]
        assert file["unverified"]
        assert str(tmp_path) not in file["unverified"]
        assert served.classify((pictures / "1.png").read_bytes()).status == 200


def test_what_can_t_be_served_is_one_line(exported: Path, artifacts: Path, tmp_path: Path, terminal: Any) -> None:
    (artifacts / "int8.tflite").write_bytes(b"damaged")
    for code, named, *arguments in (
        (4, "int8.tflite", artifacts, "--port", "0"),
        (4, "nowhere", tmp_path / "nowhere", "--port", "0"),
        (2, "two files are called int8.tflite", exported / "int8.tflite", exported / "int8.tflite", "--port", "0"),
        (2, "--port", exported, "--port", "70000"),
        (2, "--host", exported, "--host", "192.0.2.1"),
        (2, "--queue", exported, "--queue", "-1"),
        (2, "--allow-origin", exported, "--allow-origin", "example.org"),
        (2, "--allow-host", exported, "--allow-host", "http://example.org"),
        (2, "--camera", exported, "--port", "0", "--camera", "nowhere"),
    ):
        assert named in terminal.fails(code, "serve", *arguments)


def test_without_the_serve_extra_it_says_what_to_install(
    exported: Path, monkeypatch: pytest.MonkeyPatch, terminal: Any
) -> None:
    missing = [package._replace(module="no_such_module") for package in serve._PACKAGES]
    monkeypatch.setattr(serve, "_PACKAGES", missing)
    said = terminal.fails(6, "serve", exported)
    assert "starlette is not installed" in said
    assert "pip install" in said


def test_the_last_benchmark_is_shown_and_said_to_be_outdated_after_another_export(
    three_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifacts = Path(shutil.copytree(three_files, tmp_path / "bars"))
    (artifacts / "bench.json").unlink(missing_ok=True)  # Another test may have measured the folder that was copied.
    assert last_verdict(ModelFolder(artifacts)) is None
    options = ec.BenchOptions(plan=ec.Plan(min_runs=20, min_seconds=0, launches=1), percents=(50.0,))
    report = ec.bench(artifacts, runtime="litert", options=options, allow=("noise",))
    found = last_verdict(ModelFolder(artifacts))
    assert found
    assert (found.status, found.current) == (report.verdict.status, True)
    assert found.files["int8.tflite"] == next(f.verdict.status for f in report.files if f.name == "int8.tflite")
    with serving(tmp_path, artifacts) as served:
        said = served.get("/api/model").json["verdict"]
    typed = found.text.replace("max_drop_points=", "--max-drop ")  # As a command, and not Python, names it.
    assert (said["status"], said["text"], said["current"]) == (found.status, typed, True)
    # A page without a server shows the same.
    monkeypatch.setattr(serve_page, "web_runtime", lambda source: serve_page.WebRuntime("onnxruntime-web 1", {}))
    ec.export_page(artifacts, tmp_path / "page")
    assert json.loads((tmp_path / "page" / "model.json").read_text())["about"]["verdict"] == {**said, "text": found.text}
    kept = json.loads((artifacts / "bench.json").read_text())

    def verdict_with(**changes: object) -> LastVerdict:
        (artifacts / "bench.json").write_text(json.dumps(kept | changes))
        found = last_verdict(ModelFolder(artifacts))
        assert found
        return found

    row = next(file for file in kept["files"] if file["name"] == "int8.tflite")
    named = [dict(row, name=f"int8.tflite {runtime}") for runtime in ("litert", "openvino")]
    named[1]["verdict"] = dict(row["verdict"], status="PASS" if row["verdict"]["status"] == "FAIL" else "FAIL")
    others = [file for file in kept["files"] if file is not row]
    baseline = named[0]["name"] if kept["baseline"] == row["name"] else kept["baseline"]
    # The status of a file is that of the runtime that serves it.
    assert verdict_with(files=[*others, *named], baseline=baseline).files == found.files
    openvino = verdict_with(files=[*others, dict(row, runtime="openvino 2026.4.1")])
    assert openvino.files == {name: status for name, status in found.files.items() if name != "int8.tflite"}
    kept["files"][0]["artifact"]["sha256"] = "0" * 64
    assert not verdict_with().current
    (artifacts / "bench.json").write_text("damaged")
    assert last_verdict(ModelFolder(artifacts)) is None


def test_a_sighup_before_the_server_answers_does_not_end_it() -> None:
    class Slow:
        """Files during whose loading somebody reloads the service."""

        def load(self) -> None:
            os.kill(os.getpid(), signal.SIGHUP)
            raise ConfigError("loaded")

    def ended(*_: object) -> None:
        raise AssertionError("the signal ended it")

    before = signal.signal(signal.SIGHUP, ended)
    try:
        with closing(Decoder(QUICK_SECONDS)) as decoder:
            start = Start(cast(Any, Slow()), ServeOptions(port=0), None, decoder, golden_vectors, print, Inherited())
            with pytest.raises(ConfigError, match="loaded"):
                serve_source(start)
        assert signal.getsignal(signal.SIGHUP) is ended
    finally:
        signal.signal(signal.SIGHUP, before)


def test_the_unit_s_command_line_starts_a_server(exported: Path, tmp_path: Path) -> None:
    (command,) = re.findall(r"^ExecStart=/opt/edgecnn/venv/bin/edgecnn serve (.*) --port 8000$", UNIT.read_text(), re.MULTILINE)
    assert "/opt/edgecnn/model" in command
    here = command.replace("/opt/edgecnn/model", str(exported)).replace("/var/lib/edgecnn-serve", str(tmp_path / "state"))
    with serving(tmp_path, *here.split()) as served:
        assert "#token=" in served.address
        assert served.get("/healthz").status == 200


def test_the_page_shows_what_each_file_answers_to_a_picture(
    server: Server, browser: "Browser", pictures: Path, tmp_path: Path
) -> None:
    answers: list[dict[str, Any]] = server.classify((pictures / "2.png").read_bytes()).json["pictures"][0]["answers"]
    browser.open(server.address)
    browser.wait(lambda: browser.find("#page").is_displayed(), "the model is shown")
    browser.find("input[type=file]").send_keys(str(pictures / "2.png"))
    for answer in answers:
        browser.wait(lambda: answer["file"] in browser.text("main"), answer["file"])  # noqa: B023 - Called at once.
    browser.wait(lambda: answers[0]["label"] in browser.text("#answer, [aria-live]"), "the answer")
    assert not browser.complaints()


# Files for images of one size that fit pictures in different ways each get their own image, whichever comes first.


@pytest.fixture(scope="module")
def files(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """An int8.tflite that stretches pictures, and a float32.tflite that letterboxes them and expects a dark border."""
    parent = tmp_path_factory.mktemp("fitted")
    folders = [Path(shutil.copytree(exported, parent / name)) for name in ("stretch", "letterbox")]
    manifest = Manifest.load(folders[0])
    stretch = replace(manifest.preprocessing, fit="stretch", background="any")
    replace(manifest, preprocessing=stretch).save(folders[0])
    assert (manifest.preprocessing.fit, manifest.preprocessing.background) == ("letterbox", "dark")
    return folders[0] / "int8.tflite", folders[1] / "float32.tflite"


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of pictures that look different stretched and letterboxed; their borders are neither light nor dark."""
    folder, rng = tmp_path_factory.mktemp("wide"), np.random.default_rng(0)
    for number in range(8):
        pixels = np.full((24, 96), 128, np.uint8)
        pixels[1:-1, 1:-1] = rng.integers(0, 2, (11, 47), np.uint8).repeat(2, 0).repeat(2, 1) * 255
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


def compare_with_each_alone(files: tuple[Path, ...], path: Path, reply: Any) -> None:
    for file, answer in zip(files, reply["answers"], strict=True):
        alone = Classifier.load(file)
        expected = alone.predict([path]).probabilities[0]
        assert answer["file"] == file.name
        assert [ranked["probability"] for ranked in answer["top"]] == pytest.approx(sorted(expected, reverse=True), abs=1e-6)
        image = fitted_picture(path, alone.shape, alone.preprocessing).image
        seen = np.frombuffer(base64.b64decode((answer["seen"] or reply["seen"])["pixels"]), np.uint8)
        assert np.array_equal(seen.reshape(image.shape), image)
    assert "border" in reply["doubt"]
    assert reply["doubt"].endswith("crop it so that its border is background alone")  # It is the letterboxed image's.


def test_a_picture_or_frame_is_answered_as_by_each_file_alone(files: tuple[Path, Path], wide: Path, tmp_path: Path) -> None:
    for order in (files, files[::-1]):
        with serving(tmp_path, *order, "--camera", wide) as server:
            for path in sorted(wide.iterdir()):
                (reply,) = server.classify(path.read_bytes(), "?pixels=true").json["pictures"]
                compare_with_each_alone(order, path, reply)
            with watching(server, "?pixels=true") as lines:
                for line in islice(lines, 8):
                    compare_with_each_alone(order, wide / f"{(line['frame'] - 1) % 8}.png", line)
