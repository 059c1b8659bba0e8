"""labels.txt has the class names as other programs read them, and comes with every export."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from edgecnn.convert.export.config import ExportConfig
from edgecnn.convert.export.export import export
from edgecnn.convert.export.program_files import labels_text
from edgecnn.edge.data.dataset import load_dataset
from edgecnn.edge.data.folder_options import read_labels
from edgecnn.edge.errors import ArtifactError, ConfigError
from edgecnn.edge.files import sha256
from edgecnn.edge.manifest import Manifest
from edgecnn.edge.model.interface import SCHEMES, Interface
from edgecnn.edge.model_folder import ModelFolder

ONNX = ExportConfig(("onnx",))


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("cat", "a\nb"), r"class 1 is named 'a\\nb', which is no line of labels\.txt: give other labels"),
        (("a\rb", "cat"), "class 0 is named"),
        (("cat", ""), "class 1 has no name"),
        (("cat", " "), "class 1 has no name"),
    ],
)
def test_a_name_that_is_no_line_is_refused(names: tuple[str, ...], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        labels_text(names)


def test_each_class_is_a_line_in_the_order_of_the_outputs(tmp_path: Path) -> None:
    names = ("ключ", "n01: tench, Tinca", "crane (134)")
    assert labels_text(names) == "ключ\nn01: tench, Tinca\ncrane (134)\n"
    (tmp_path / "labels.txt").write_text(labels_text(names), encoding="utf-8")
    assert read_labels(tmp_path / "labels.txt") == names


def test_every_export_writes_the_labels_and_lists_their_hash(artifacts: Path, idx_folder: Path) -> None:
    assert Manifest.load(artifacts).for_programs == ()  # Those files are of an earlier release.
    manifest = export(artifacts / "model.keras", load_dataset(idx_folder), ONNX)
    (labels,) = manifest.for_programs
    data = (artifacts / "labels.txt").read_bytes()
    assert data.decode().split("\n") == [*manifest.class_names, ""]
    assert (labels.path, labels.sha256, labels.size_bytes, labels.program) == ("labels.txt", sha256(data), len(data), None)
    with ModelFolder(artifacts) as folder:
        assert folder.program_file(labels) == data


def test_labels_of_somebody_else_are_not_replaced(artifacts: Path, idx_folder: Path) -> None:
    (artifacts / "labels.txt").write_text("mine\n")
    with pytest.raises(ConfigError, match=r"labels\.txt is not edgecnn's.*elsewhere"):
        export(artifacts / "model.keras", load_dataset(idx_folder), ONNX)
    assert (artifacts / "labels.txt").read_text() == "mine\n"


def test_labels_that_were_changed_or_belong_to_an_earlier_model_are_refused(artifacts: Path, idx_folder: Path) -> None:
    (labels,) = export(artifacts / "model.keras", load_dataset(idx_folder), ONNX).for_programs
    with ModelFolder(artifacts) as folder, pytest.raises(ArtifactError, match=r"labels\.txt is stale.*made from"):
        folder.program_file(replace(labels, source_sha256="0" * 64))
    lines = (artifacts / "labels.txt").read_text().splitlines()
    (artifacts / "labels.txt").write_text("\n".join(lines[::-1]))
    with ModelFolder(artifacts) as folder, pytest.raises(ArtifactError, match=r"labels\.txt was changed after.*: export"):
        folder.program_file(labels)


def test_a_model_from_elsewhere_gets_labels_again_where_they_are(exported: Path, idx_folder: Path, tmp_path: Path) -> None:
    shutil.copy(exported / "model.keras", tmp_path / "own.keras")
    out = tmp_path / "out"
    for _ in range(2):
        manifest = export(tmp_path / "own.keras", load_dataset(idx_folder), ONNX, Interface(SCHEMES["unit"]), out)
        assert [file.path for file in manifest.for_programs] == ["labels.txt"]
    assert (out / "labels.txt").read_text().splitlines() == list(manifest.class_names)
