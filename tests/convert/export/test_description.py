"""Every exported .tflite and .onnx file says what it is and how accurate it was; the manifest has the final file's hash."""

import json
import zipfile
from pathlib import Path
from typing import Any

import onnx
import pytest

import edgecnn as ec
from edgecnn.convert.export.config import ExportConfig
from edgecnn.convert.export.description import Description, described
from edgecnn.edge.data.splits import Split
from edgecnn.edge.errors import ConfigError, ConversionError
from edgecnn.edge.files import sha256
from edgecnn.edge.manifest import Manifest
from tests.conftest import Terminal


@pytest.fixture(scope="module")
def folder(exported: Path, idx_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export of today, with an author."""
    out = tmp_path_factory.mktemp("own") / "bars"
    out.mkdir()
    for name in ("model.keras", "manifest.json"):
        (out / name).write_bytes((exported / name).read_bytes())
    ec.export(out / "model.keras", idx_folder, targets=["rpicam-apps"], author="Jane Doe", license="MIT")
    return out


def record(path: Path) -> dict[str, Any]:
    """Return what a file says of itself."""
    if path.suffix == ".tflite":
        found: dict[str, Any] = json.loads(zipfile.ZipFile(path).read("edgecnn.json"))
        return found
    properties = {item.key: item.value for item in onnx.load(path).metadata_props}
    return {name: properties[f"edgecnn.{name}"] for name in ("version", "source_sha256", "correct", "test_images")}


@pytest.mark.parametrize("name", ["float32.tflite", "int8.tflite", "float32.onnx", "int8.onnx"])
def test_a_file_says_how_many_test_images_it_has_right(name: str, folder: Path, test_split: Split) -> None:
    manifest = Manifest.load(folder)
    artifact = manifest.artifact(name)
    assert artifact
    data = (folder / name).read_bytes()
    assert (artifact.sha256, artifact.size_bytes) == (sha256(data), len(data))
    model = ec.Classifier.load(folder / name)
    right = int((model.predict(test_split.images(range(60))).class_indices == test_split.labels).sum())
    said = record(folder / name)
    assert (str(said["correct"]), str(said["test_images"])) == (str(right), "60")
    assert said["source_sha256"] == manifest.keras_model().sha256


def test_the_file_for_a_program_takes_pixels_as_they_are_and_says_so(folder: Path) -> None:
    said = record(folder / "rpicam-apps.tflite")
    assert (said["preprocessing"]["scale"], said["preprocessing"]["mean"]) == (1.0, [0.0])
    assert said["labels"] == ["0", "1", "2"]


def test_two_exports_of_the_same_model_have_the_same_bytes(folder: Path, idx_folder: Path) -> None:
    def hashes() -> dict[str, str]:
        return {
            path.name: sha256(path.read_bytes()) for path in folder.iterdir() if path.suffix in (".tflite", ".json", ".txt")
        }

    before = hashes()
    ec.export(folder / "model.keras", idx_folder, formats=["tflite"], targets=["rpicam-apps"], author="Jane Doe", license="MIT")
    assert {name for name, value in hashes().items() if value != before[name]} <= {"manifest.json"}  # It has the time.


def test_metadata_that_changes_the_answers_is_not_exported(
    artifacts: Path, idx_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = (artifacts / "int8.tflite").read_bytes()
    monkeypatch.setattr("edgecnn.convert.export.file_exporter.described", lambda data, model_format, description: other)
    with pytest.raises(ConversionError, match=r"float32\.tflite computes something else.*metadata"):
        ec.export(artifacts / "model.keras", idx_folder, formats=["tflite"], precisions=["float32"])


def test_a_format_without_a_place_for_it_stays_as_it_is(exported: Path) -> None:
    taken = Manifest.load(exported).preprocessing
    description = Description("bars", ("a",), taken, "probabilities", "", "0.1.0", 1, 1)
    assert described(b"mnn", "mnn", description) == b"mnn"


@pytest.mark.parametrize("said", ["", " ", "two\nlines"])
def test_an_author_is_one_line(said: str) -> None:
    with pytest.raises(ConfigError, match="author must be one line"):
        ExportConfig(author=said)
    with pytest.raises(ConfigError, match="license must be one line"):
        ExportConfig(license=said)


def test_the_command_line_has_author_and_licence(artifacts: Path, idx_folder: Path, terminal: Terminal) -> None:
    terminal.passes(
        "export", artifacts / "model.keras", "--data", idx_folder, "--format", "onnx", "--author", "Jane", "--license", "MIT"
    )
    properties = {item.key: item.value for item in onnx.load(artifacts / "int8.onnx").metadata_props}
    assert (properties["model_author"], properties["model_license"]) == ("Jane", "MIT")
