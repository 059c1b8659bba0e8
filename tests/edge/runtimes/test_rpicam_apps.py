"""rpicam-apps' stage takes the files that edgecnn exports for it, on a board too, and names the right class."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgecnn.edge.data.splits import Split
from tests.edge.runtimes.rpicam_stage import SIDE, Refused, Stage

KEPT = Path(__file__).parents[2] / "kept"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A copy of the files for rpicam-apps."""
    return Path(shutil.copytree(KEPT / "rpicam_apps", tmp_path / "files"))


def frames(split: Split) -> Any:
    """Return the test images as a camera shows them: (n, 224, 224, 3)."""
    images = split.images(range(len(split.labels)))
    rows = np.arange(SIDE) * images.shape[1] // SIDE
    return np.broadcast_to(images[:, rows][:, :, rows], (len(images), SIDE, SIDE, 3)).copy()


def test_the_stage_names_keras_class_of_each_image_and_cuts_a_larger_frame_to_its_middle(
    files: Path, test_split: Split
) -> None:
    stage = Stage(files / "rpicam-apps.json")
    assert stage.lores == (SIDE, SIDE)
    keras = np.load(KEPT / "bars" / "reference.npy").argmax(axis=1)
    for frame, index in zip(frames(test_split), keras, strict=True):
        label, confidence = stage.results(frame)[0]
        assert label == stage.labels[index]
        assert 0.3 <= confidence <= 1
    frame = frames(test_split)[0]
    larger = np.pad(frame, ((48, 48), (208, 208), (0, 0)), constant_values=255)
    assert Stage(files / "rpicam-apps.json").results(larger) == Stage(files / "rpicam-apps.json").results(frame)


def without_a_label(files: Path) -> None:
    (files / "labels.txt").write_text("0\n1\n")


def with_an_empty_line(files: Path) -> None:
    (files / "labels.txt").write_text("0\n1\n2\n\n")


def with_another_model(name: str) -> Callable[[Path], None]:
    def change(files: Path) -> None:
        shutil.copy(KEPT / name, files / "rpicam-apps.tflite")

    return change


def with_a_missing_file(setting: str) -> Callable[[Path], None]:
    def change(files: Path) -> None:
        settings = json.loads((files / "rpicam-apps.json").read_text())
        settings["object_classify_tf"][setting] = "absent"
        (files / "rpicam-apps.json").write_text(json.dumps(settings))

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (without_a_label, "other numbers of labels"),
        (with_an_empty_line, "other numbers of labels"),
        (with_another_model("bars/int8.tflite"), "neither uint8 nor float32"),
        (with_another_model("bars/float32.tflite"), "another size"),
        (with_another_model("foreign/uint8.tflite"), "another size"),
        (with_a_missing_file("model_file"), "the model can't be loaded"),
        (with_a_missing_file("labels_file"), "the labels can't be read"),
    ],
)
def test_the_stage_would_refuse_others(change: Callable[[Path], None], said: str, files: Path) -> None:
    change(files)
    with pytest.raises(Refused, match=said):
        Stage(files / "rpicam-apps.json")
