"""A bundle has the class names for other programs, under its manifest's hash, and no program's own files."""

import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from edgecnn.benchmarks.bundle.write_bundle import write_bundle
from edgecnn.edge.archive import unpack
from edgecnn.edge.data.splits import Split
from edgecnn.edge.errors import ArtifactError
from edgecnn.edge.export_records import ProgramFile
from edgecnn.edge.files import sha256
from edgecnn.edge.manifest import Manifest
from edgecnn.edge.model_folder import ModelFolder


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
