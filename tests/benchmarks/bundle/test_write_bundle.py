"""What a bundle has for other programs: the class names, under its manifest's hash, and each file's answers for its images."""

import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgecnn.benchmarks.bundle import write_bundle as module
from edgecnn.benchmarks.bundle.write_bundle import write_bundle
from edgecnn.edge.archive import read_index, unpack
from edgecnn.edge.data.splits import Split
from edgecnn.edge.errors import ArtifactError
from edgecnn.edge.export_records import ProgramFile
from edgecnn.edge.files import sha256
from edgecnn.edge.inference.answer_mix import ExpectedAnswers
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.manifest import Manifest
from edgecnn.edge.model_folder import ModelFolder

FILES = ("int8.tflite", "float32.onnx")


@pytest.fixture
def labelled(artifacts: Path) -> Path:
    """A folder with labels.txt, and a file of a program."""
    manifest, files = Manifest.load(artifacts), []
    for name, program in (("labels.txt", None), ("own.bin", "own")):
        data = f"{name}\n".encode()
        (artifacts / name).write_bytes(data)
        files.append(ProgramFile(name, len(data), sha256(data), manifest.source().sha256, program))
    replace(manifest, for_programs=tuple(files)).save(artifacts)
    return artifacts


def bundle(folder: Path, split: Split, path: Path) -> Path:
    write_bundle(path, ModelFolder(folder), split, ["int8.tflite"])
    return path


def test_the_labels_are_in_a_bundle_and_a_programs_files_are_not(labelled: Path, test_split: Split, tmp_path: Path) -> None:
    path = bundle(labelled, test_split, tmp_path / "bars.zip")
    manifest = unpack(path, tmp_path / "unpacked")
    assert [file.path for file in manifest.for_programs] == ["labels.txt"]
    assert (tmp_path / "unpacked" / "labels.txt").read_bytes() == (labelled / "labels.txt").read_bytes()
    assert "own.bin" not in zipfile.ZipFile(path).namelist()


def test_labels_that_were_changed_are_not_bundled(labelled: Path, test_split: Split, tmp_path: Path) -> None:
    (labelled / "labels.txt").write_text("other\n")
    with pytest.raises(ArtifactError, match=r"labels\.txt was changed"):
        bundle(labelled, test_split, tmp_path / "bars.zip")
    assert not (tmp_path / "bars.zip").exists()


def test_a_bundle_whose_labels_were_left_out_is_refused(labelled: Path, test_split: Split, tmp_path: Path) -> None:
    whole, short = bundle(labelled, test_split, tmp_path / "bars.zip"), tmp_path / "short.zip"
    with zipfile.ZipFile(whole) as old, zipfile.ZipFile(short, "w") as new:
        for name in old.namelist():
            if name != "labels.txt":
                new.writestr(name, old.read(name))
    with pytest.raises(ArtifactError, match=r"does not hold.*bundle\.json"):
        unpack(short, tmp_path / "unpacked")


def expected_in(path: Path) -> tuple[ExpectedAnswers, ...]:
    with ModelFolder(path) as opened:
        return read_index(opened.folder).expected


def test_the_answers_of_each_file_are_counted_over_the_images_of_the_bundle(
    exported: Path, test_split: Split, tmp_path: Path
) -> None:
    path = tmp_path / "bars.zip"
    write_bundle(path, ModelFolder(exported), test_split, FILES, test_images=20)
    images = test_split.images(np.linspace(0, 59, 20).round().astype(int))
    for found, name in zip(expected_in(path), FILES, strict=True):
        rows = np.concatenate([Classifier.load(exported / name).predict(image).probabilities for image in images])
        assert found.file == name
        assert found.classes == tuple(rows.argmax(1).tolist().count(label) for label in range(3))
        assert found.confidences[-1] == (rows.max(1) >= 0.999).sum()
        assert sum(found.confidences) == 20


def test_of_many_images_some_are_counted_spread_evenly(
    exported: Path, test_split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MOST_ANSWERED", 15)
    path = tmp_path / "bars.zip"
    write_bundle(path, ModelFolder(exported), test_split, FILES)
    assert [sum(found.classes) for found in expected_in(path)] == [15, 15]
    assert min(expected_in(path)[0].classes) > 0
