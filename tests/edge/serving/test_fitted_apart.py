"""Files for images of one size that fit pictures in different ways each get their own image, whichever comes first."""

import base64
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.inference.pictures import fitted_picture
from edgecnn.edge.manifest import Manifest
from tests.edge.serving.running import serving, watching
from tests.edge.serving.stand_in import StandIn, classified, picture

if TYPE_CHECKING:
    from tests.edge.serving.browser import Browser


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
        image = fitted_picture(path, alone.shape, alone.preprocessing)
        seen = np.frombuffer(base64.b64decode((answer["seen"] or reply["seen"])["pixels"]), np.uint8)
        assert np.array_equal(seen.reshape(image.shape), image)
    assert "border" in reply["doubt"]  # It is the letterboxed image's.


def test_a_picture_is_answered_as_by_each_file_alone(files: tuple[Path, Path], wide: Path, tmp_path: Path) -> None:
    for order in (files, files[::-1]):
        with serving(tmp_path, *order) as server:
            for path in sorted(wide.iterdir()):
                (reply,) = server.classify(path.read_bytes(), "?pixels=true").json["pictures"]
                compare_with_each_alone(order, path, reply)


def test_a_camera_s_frame_is_answered_as_by_each_file_alone(files: tuple[Path, Path], wide: Path, tmp_path: Path) -> None:
    with serving(tmp_path, *files, "--camera", wide) as server, watching(server, "?pixels=true") as lines:
        for _ in range(8):
            line = next(lines)
            compare_with_each_alone(files, wide / f"{(line['frame'] - 1) % 8}.png", line)


def test_the_page_shows_what_the_chosen_file_got(browser: "Browser", stand_in: StandIn) -> None:
    found = picture(stand_in.model, "2")
    found["answers"][2]["seen"] = {"height": 1, "width": 2, "channels": 1, "pixels": "CWM="}
    stand_in.script = lambda asked: classified(found) if asked.path == "/api/classify" else None
    browser.open(stand_in.address)
    browser.wait(lambda: browser.find("#paper").is_displayed(), "the paper is shown")
    browser.draw(((0.2, 0.8), (0.7, 0.85)))
    browser.wait_text("#label", "2")
    size = "return [document.querySelector('#seen').width, document.querySelector('#seen').height]"
    assert browser.script(size) == [28, 28]
    browser.find("[value='float32.onnx']").click()
    assert browser.script(size) == [2, 1]
    pixels = "return [...document.querySelector('#seen').getContext('2d').getImageData(0, 0, 2, 1).data]"
    assert browser.script(pixels) == [9, 9, 9, 255, 99, 99, 99, 255]
