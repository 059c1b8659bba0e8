"""What an export says to other programs and to people: inside its files, in labels.txt and in the model card."""

import json
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import onnx
import pytest

import edgecnn as ec
from edgecnn.__main__ import main
from edgecnn.benchmarks.statistics import binomial
from edgecnn.convert.export.config import ExportConfig
from edgecnn.convert.export.program_files import Description, described, labels_text, write_program_files
from edgecnn.edge.data.dataset import load_dataset
from edgecnn.edge.data.folder_options import read_labels
from edgecnn.edge.data.splits import Split, Subset
from edgecnn.edge.errors import ArtifactError, ConfigError, ConversionError
from edgecnn.edge.files import sha256
from edgecnn.edge.manifest import Manifest
from edgecnn.edge.model_folder import ModelFolder
from edgecnn.edge.result import SILENT
from tests.convert.conftest import save_splits
from tests.convert.export.conftest import entry


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


@pytest.fixture(scope="module")
def folder(exported: Path, idx_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export of today, with an author."""
    out = tmp_path_factory.mktemp("own") / "bars"
    out.mkdir()
    for name in ("model.keras", "manifest.json"):
        (out / name).write_bytes((exported / name).read_bytes())
    described = ("--for", "rpicam-apps", "--author", "Jane Doe", "--license", "MIT")
    assert main(["export", str(out / "model.keras"), "--data", str(idx_folder), *described]) == 0
    return out


def record(path: Path) -> dict[str, Any]:
    """Return what a file says of itself."""
    if path.suffix == ".tflite":
        found: dict[str, Any] = json.loads(zipfile.ZipFile(path).read("edgecnn.json"))
        return found
    properties = {item.key: item.value for item in onnx.load(path).metadata_props}
    return {name: properties[f"edgecnn.{name}"] for name in ("version", "source_sha256", "correct", "test_images")}


@pytest.mark.parametrize("name", ["float32.tflite", "int8.tflite", "float32.onnx", "int8.onnx"])
def test_a_file_says_how_many_test_images_it_has_right_and_who_made_it(name: str, folder: Path, test_split: Split) -> None:
    manifest = Manifest.load(folder)
    artifact = entry(manifest, name)
    data = (folder / name).read_bytes()
    assert (artifact.sha256, artifact.size_bytes) == (sha256(data), len(data))
    model = ec.Classifier.load(folder / name)
    right = int((model.predict(test_split.images(range(60))).class_indices == test_split.labels).sum())
    said = record(folder / name)
    assert (str(said["correct"]), str(said["test_images"])) == (str(right), "60")
    assert said["source_sha256"] == manifest.source().sha256
    assert all(text in data for text in (b"Jane Doe", b"MIT"))


def test_every_export_writes_the_labels_and_lists_their_hash(exported: Path, folder: Path) -> None:
    assert Manifest.load(exported).for_programs == ()  # Those files are of an earlier release.
    with ModelFolder(folder) as models:
        assert models.manifest
        labels = next(file for file in models.manifest.for_programs if file.path == "labels.txt")
        data = models.program_file(labels)
        assert (labels.sha256, labels.size_bytes, labels.program) == (sha256(data), len(data), None)
        assert data.decode().split("\n") == [*models.manifest.class_names, ""]
        with pytest.raises(ArtifactError, match=r"labels\.txt is stale.*made from"):
            models.program_file(replace(labels, source_sha256="0" * 64))
        with pytest.raises(ArtifactError, match=r"labels\.txt was changed after.*: export"):
            models.program_file(replace(labels, sha256="0" * 64))


def test_labels_of_somebody_else_are_not_replaced(exported: Path, tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("mine\n")
    new, job = tmp_path / "new", SimpleNamespace(folder=tmp_path)
    with pytest.raises(ConfigError, match=r"labels\.txt is not edgecnn's.*elsewhere"):
        write_program_files(new, Manifest.load(exported), cast(Any, job))
    assert (tmp_path / "labels.txt").read_text() == "mine\n"
    assert not new.exists()


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


def test_an_export_renews_the_card_of_its_files_and_leaves_an_edited_one_alone(
    folder: Path, idx_folder: Path, tmp_path: Path
) -> None:
    again = Path(shutil.copytree(folder, tmp_path / "bars"))

    def export() -> list[str]:
        said: list[str] = []
        progress: Any = SimpleNamespace(say=said.append, step=SILENT.step)
        ec.export(again / "model.keras", idx_folder, formats=["tflite"], precisions=["float32"], progress=progress)
        return [line for line in said if "MODEL_CARD.md" in line]

    card = again / "MODEL_CARD.md"
    card.write_text(card.read_text().replace("[name]", "Anna"))
    assert export() == []
    assert "Anna" in card.read_text()
    assert entry(Manifest.load(again), "float32.tflite").sha256 in card.read_text()
    edited = card.read_text().replace("## Limitations", "## No limits")
    card.write_text(edited)
    (told,) = export()
    assert "stays as it is" in told
    assert card.read_text() == edited


@pytest.mark.parametrize("keep_accuracy", [None, 50.0])
def test_the_card_s_accuracy_is_that_of_distinct_test_images_as_in_bench(
    keep_accuracy: float | None, exported: Path, idx_folder: Path, tmp_path: Path
) -> None:
    dataset = load_dataset(idx_folder)
    copies = Subset(dataset.test, np.repeat(np.arange(40), 5))
    save_splits(tmp_path / "copies.npz", train=dataset.train, test=copies)
    out = tmp_path / "out"
    ec.export(
        shutil.copy(exported / "model.keras", tmp_path / "alone.keras"),
        tmp_path / "copies.npz",
        formats=["tflite"],
        precisions=["float32"],
        interface="unit",
        out=out,
        keep_accuracy=keep_accuracy,
    )
    report = ec.bench(
        out, runtime="tflite", options=ec.BenchOptions(plan=ec.PlanOptions(launches=1, min_runs=4, min_seconds=0))
    )
    accuracy = report.files[0].accuracy
    assert accuracy
    assert (accuracy.images, accuracy.copies) == (40, 160)
    right = binomial.interval(accuracy.reference_correct, 40)
    interval = f"95 % interval {100 * right.low:.2f} to {100 * right.high:.2f} %"
    part = f"({accuracy.reference_correct} of 40 distinct images; {interval})"
    assert part in (out / "MODEL_CARD.md").read_text()
