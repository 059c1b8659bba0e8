"""Golden vectors: made on one machine, checked on another."""

import json
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgecnn.benchmarks.bundle.golden import (
    GoldenCheck,
    _acceptance,
    check_golden,
    golden_images,
    golden_problems,
    raw_outputs,
    tolerance_of,
)
from edgecnn.benchmarks.bundle.write_bundle import write_bundle
from edgecnn.benchmarks.show.checks import golden_text
from edgecnn.edge.archive import GOLDEN_IMAGES_NAME, INDEX_NAME, golden_name, read_index
from edgecnn.edge.data.dataset import load_test
from edgecnn.edge.data.splits import ArraySplit, Split
from edgecnn.edge.errors import ArtifactError, ConfigError
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.inference.model_test_images import load_reference
from edgecnn.edge.manifest import Manifest
from edgecnn.edge.model.interface import SCHEMES, Interface
from edgecnn.edge.model.threshold import Threshold
from edgecnn.edge.model_folder import ModelFolder
from edgecnn.edge.records import to_json
from tests.edge.inference.thresholds import THRESHOLD

FLOAT, INSIDE = 1e-4, 0.05
FILES = ("float32.tflite", "float16.tflite", "dynamic.tflite", "int8.tflite", "int16x8.tflite", "float32.onnx", "int8.onnx")


@pytest.fixture(scope="module")
def folder(exported: Path, idx_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of every file, unpacked. Do not write to it."""
    path = tmp_path_factory.mktemp("bundle") / "bars.zip"
    assert write_bundle(path, ModelFolder(exported), load_test(idx_folder)).models == FILES
    with ModelFolder(path) as opened:
        return Path(shutil.copytree(opened.path, path.with_name("unpacked")))


def changed_outputs(folder: Path, tmp_path: Path, name: str, vector: int, by: float) -> Path:
    """Copy the bundle with one golden output changed, from the most probable class to the least, and return its file."""
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    path = copy / golden_name(name)
    outputs = np.load(path)
    row = outputs[vector, 0]
    row[row.argmax()] -= np.array(by).astype(outputs.dtype)
    row[row.argmin()] += np.array(by).astype(outputs.dtype)
    np.save(path, outputs)
    return copy / name


@pytest.mark.parametrize("name", FILES)
def test_every_file_is_bit_exact_where_its_outputs_were_made(folder: Path, name: str) -> None:
    result = check_golden(folder / name, Classifier.load(folder / name))
    assert (result.passed, result.bit_exact, result.vectors, result.largest_difference) == (True, 32, 32, 0)


@pytest.mark.parametrize(("name", "by"), [("float32.onnx", 2e-4), ("int8.tflite", 3), ("int16x8.tflite", 3)])
def test_a_difference_beyond_what_the_precision_allows_names_file_vector_and_difference(
    folder: Path, tmp_path: Path, name: str, by: float
) -> None:
    file = changed_outputs(folder, tmp_path, name, 29, by)
    result = check_golden(file, Classifier.load(file))
    assert (result.passed, result.bit_exact, result.worst_vector) == (False, 31, 29)
    check = GoldenCheck("bars.zip", "AMD EPYC, x86_64", (result,), {})
    (told,) = golden_problems(check)
    said = (f"{name} ", f" {result.largest_difference:.3g} on vector 29", f"limit is {result.tolerance:.3g}")
    assert all(part in told for part in said)
    assert f"FAIL: {name} differs by" in golden_text(check)
    assert "PASS" not in golden_text(check)


@pytest.mark.parametrize(("name", "by"), [("float32.onnx", 5e-5), ("int8.tflite", 1)])
def test_a_difference_within_it_passes_and_is_told(folder: Path, tmp_path: Path, name: str, by: float) -> None:
    file = changed_outputs(folder, tmp_path, name, 3, by)
    result = check_golden(file, Classifier.load(file))
    assert (result.passed, result.bit_exact, result.worst_vector) == (True, 31, 3)
    assert 0 < result.largest_difference <= result.tolerance
    assert not check_golden(file, Classifier.load(file), tolerance=0).passed


def golden_with(threshold: Threshold, folder: Path, tmp_path: Path, vector: int, by: float) -> GoldenCheck:
    """Return the check of int8.tflite with this threshold, and one golden output changed."""
    file = changed_outputs(folder, tmp_path, "int8.tflite", vector, by)
    manifest = Manifest.load(file.parent)
    files = (replace(one, threshold=threshold if one.path == file.name else None) for one in manifest.artifacts)
    replace(manifest, artifacts=tuple(files)).save(file.parent)
    return GoldenCheck("bars.zip", "AMD EPYC, x86_64", (check_golden(file, Classifier.load(file)),), {})


def surest(folder: Path) -> NDArray[np.float32]:
    classifier = Classifier.load(folder / "int8.tflite")
    found: NDArray[np.float32] = classifier.probabilities(np.load(folder / GOLDEN_IMAGES_NAME)).max(axis=1)
    return found


@pytest.mark.parametrize(("by", "passed"), [(1, True), (100, False)])
def test_a_vector_that_is_accepted_otherwise_than_there_is_counted(
    by: float, passed: bool, folder: Path, tmp_path: Path
) -> None:
    found = surest(folder)
    least = float(found[3]) - 0.5 / 256
    check = golden_with(replace(THRESHOLD, least=least), folder, tmp_path, 3, by)
    (result,) = check.files
    assert (result.accepted, result.accepted_otherwise) == (int((found >= least).sum()), 1)
    assert result.passed == check.passed == passed
    assert ("accepts 1 of 32 vectors otherwise" in golden_text(check)) == passed  # Else the difference is the problem.


def test_vectors_without_a_threshold_are_not_counted_as_accepted(folder: Path) -> None:
    result = check_golden(folder / "int8.tflite", Classifier.load(folder / "int8.tflite"))
    assert (result.accepted, result.accepted_otherwise) == (None, 0)


def test_logits_that_all_moved_alike_are_a_problem_where_they_change_what_is_accepted() -> None:
    """No probability moves with them."""
    probabilities, tops = np.full((32, 2), 0.5, np.float32), np.full(32, 9.0, np.float32)
    threshold = replace(THRESHOLD, score="max-logit", least=8.0)
    for moved, judged in ((0.0, (32, 0, True)), (-1.0005, (32, 32, True)), (-5.0, (32, 32, False))):
        there = probabilities, tops + np.float32(moved)
        assert _acceptance(threshold, (probabilities, tops), there, 0.2) == judged


def test_a_margin_may_move_by_what_two_probabilities_may() -> None:
    here = np.tile(np.array([[0.75, 0.25]], np.float32), (32, 1))
    threshold = replace(THRESHOLD, score="margin", least=0.48)
    for moved, passed in ((0.015625, True), (0.0625, False)):
        there = here + np.array([-moved, moved], np.float32)
        assert _acceptance(threshold, (here, None), (there, None), 0.02) == (32, 32, passed)


def test_outputs_that_are_no_probabilities_name_the_file(folder: Path, tmp_path: Path) -> None:
    file = changed_outputs(folder, tmp_path, "float32.onnx", 3, float("nan"))
    with pytest.raises(ArtifactError, match=r"float32\.onnx computes something else here"):
        check_golden(file, Classifier.load(file))


def unsaid(folder: Path) -> None:
    """Take away who made the vectors."""
    (folder / INDEX_NAME).write_text(to_json(replace(read_index(folder), golden_runtimes={})))


def array(name: str, values: NDArray[Any]) -> Callable[[Path], None]:
    """Return what replaces an array of an unpacked bundle."""
    return lambda folder: np.save(folder / name, values, allow_pickle=True)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (array(GOLDEN_IMAGES_NAME, np.zeros((32, 12, 12, 1), ">f4")), r"int8\.tflite has no golden images"),
        (array(GOLDEN_IMAGES_NAME, np.zeros((32, 12, 13, 1), np.uint8)), r"int8\.tflite has no golden images"),
        (array(GOLDEN_IMAGES_NAME, np.zeros(32, np.uint8)), r"int8\.tflite has no golden images"),
        (array(GOLDEN_IMAGES_NAME, np.zeros((0, 12, 12, 1), np.uint8)), r"int8\.tflite has no golden images"),
        (unsaid, r"int8\.tflite has no golden images"),
        (
            array(golden_name("int8.tflite"), np.zeros((32, 1, 4), np.int8)),
            r"int8\.tflite gives int8 \(32, 1, 3\).*int8 \(32, 1, 4\)",
        ),
        (array(golden_name("int8.tflite"), np.array([{}], object)), "is not an array"),
    ],
    ids=["floats", "wider", "flat", "none", "made by nobody", "outputs of another shape", "pickled outputs"],
)
def test_vectors_that_are_not_the_models_are_refused(
    damage: Callable[[Path], None], message: str, folder: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    damage(copy)
    with pytest.raises(ArtifactError, match=message):
        check_golden(copy / "int8.tflite", Classifier.load(copy / "int8.tflite"))


def test_a_file_of_no_bundle_is_our_mistake(folder: Path, tmp_path: Path) -> None:
    lone = tmp_path / "int8.tflite"
    shutil.copy(folder / "int8.tflite", lone)
    classifier = Classifier.load(lone, interface=Interface(SCHEMES["unit"]))
    with pytest.raises(ValueError, match=r"file must.*unpacked bundle"):
        check_golden(lone, classifier)


def test_integer_outputs_may_differ_by_two_steps_and_floats_by_little(folder: Path) -> None:
    manifest = Manifest.load(folder)
    allowed = {artifact.path: tolerance_of(artifact, True) for artifact in manifest.exported}
    assert allowed == pytest.approx({
        "float32.tflite": FLOAT, "float16.tflite": FLOAT, "dynamic.tflite": INSIDE, "int8.tflite": 2 / 256,
        "int16x8.tflite": 2 / 32768, "float32.onnx": FLOAT, "int8.onnx": INSIDE,
    })  # fmt: skip


def test_another_runtime_than_the_one_that_made_them_may_differ_by_more(folder: Path, tmp_path: Path) -> None:
    file = changed_outputs(folder, tmp_path, "int8.tflite", 3, 6)
    assert not check_golden(file, Classifier.load(file)).passed
    index = json.loads((file.parent / "bundle.json").read_text())
    index["golden_runtimes"]["int8.tflite"] = "tflite-runtime 2.14.0"
    (file.parent / "bundle.json").write_text(json.dumps(index))
    result = check_golden(file, Classifier.load(file))
    assert (result.passed, result.tolerance) == (True, INSIDE)
    artifact = Manifest.load(folder).artifact("float32.tflite")
    assert artifact
    assert tolerance_of(artifact, same_package=False) == FLOAT


def test_golden_images_are_real_ones_and_the_ends_of_the_range() -> None:
    pixels = np.arange(50 * 4 * 4, dtype=np.uint16).astype(np.uint8).reshape(50, 4, 4, 1)
    images = golden_images(ArraySplit(pixels, np.zeros(50, np.int64)))
    assert images.shape == (32, 4, 4, 1)
    assert np.array_equal(images[0], pixels[0])
    assert np.array_equal(images[27], pixels[49])
    assert (images[28].max(), images[29].min()) == (0, 255)
    assert images[30].reshape(-1)[[0, -1]].tolist() == [0, 255]
    assert len(np.unique(images[31])) > 8
    assert len(golden_images(ArraySplit(pixels[:2], np.zeros(2, np.int64)))) == 6


def test_raw_outputs_are_the_models_own(folder: Path) -> None:
    classifier = Classifier.load(folder / "int8.tflite")
    outputs = raw_outputs(classifier, np.zeros((3, 12, 12, 1), np.uint8))
    assert (outputs.shape, outputs.dtype.name) == ((3, 1, 3), "int8")


def test_what_was_not_run_is_told_and_is_no_part_of_the_verdict(folder: Path) -> None:
    result = check_golden(folder / "int8.tflite", Classifier.load(folder / "int8.tflite"))
    text = golden_text(
        GoldenCheck("bars.zip", "AMD EPYC, x86_64", (result,), {"int8.onnx": "no runtime for onnx is installed"})
    )
    assert all(said in text for said in ("int8.onnx was not run: ", "no runtime for onnx is"))
    assert all(said in text for said in ("PASS: the one file", "that ran computes here", "on AMD EPYC, x86_64"))
    assert max(map(len, text.splitlines())) <= 100


def test_the_same_input_gives_the_same_bytes(exported: Path, idx_folder: Path, tmp_path: Path) -> None:
    test = load_test(idx_folder)
    first = write_bundle(tmp_path / "a.zip", ModelFolder(exported), test, test_images=30)
    again = write_bundle(tmp_path / "b.zip", ModelFolder(exported), test, test_images=30)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    assert first.sha256 == again.sha256
    assert first.sha256 != write_bundle(tmp_path / "c.zip", ModelFolder(exported), test, test_images=29).sha256


def test_a_bundle_has_its_members_in_order_and_a_manifest_of_its_own_images(
    exported: Path, idx_folder: Path, tmp_path: Path
) -> None:
    test = load_test(idx_folder)
    path = tmp_path / "bars.zip"
    write_bundle(path, ModelFolder(exported), test, ("int8.onnx",), test_images=7)
    with zipfile.ZipFile(path) as archive:
        assert [info.filename for info in archive.infolist()] == [
            "manifest.json", "reference.npy", "golden.images.npy", "golden.int8.onnx.npy", "x_test.npy", "y_test.npy",
            "int8.onnx", "bundle.json",
        ]  # fmt: skip
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    packed = load_test(path)
    assert np.array_equal(packed.labels, test.labels[[0, 10, 20, 30, 39, 49, 59]])
    assert np.array_equal(packed.images(range(7)), test.images([0, 10, 20, 30, 39, 49, 59]))
    whole = load_reference(exported, Manifest.load(exported), test.labels)
    with ModelFolder(path) as opened:
        manifest = Manifest.load(opened.path)
        assert manifest.dataset.test_sha256 == packed.sha256
        assert manifest.reference
        assert manifest.reference.images == 7
        probabilities = load_reference(opened.path, manifest, packed.labels)
        assert np.array_equal(probabilities, whole[[0, 10, 20, 30, 39, 49, 59]])
        assert manifest.reference.correct == (probabilities.argmax(axis=1) == packed.labels).sum()


@pytest.mark.parametrize(
    ("names", "images", "message"),
    [
        ((), 0, r"test_images.*1 to 60,.*got 0"),
        ((), 61, r"test_images.*1 to 60,.*got 61"),
        (("model.keras",), None, r"no exported file model\.keras:.*float32\.tflite, "),
    ],
)
def test_a_bundle_of_what_there_is_not_is_refused(
    names: tuple[str, ...], images: int | None, message: str, exported: Path, test_split: Split, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        write_bundle(tmp_path / "a.zip", ModelFolder(exported), test_split, names, test_images=images)


def test_an_altered_model_or_a_folder_with_nothing_exported_is_not_bundled(
    artifacts: Path, idx_folder: Path, tmp_path: Path
) -> None:
    (artifacts / "int8.tflite").write_bytes((artifacts / "int8.tflite").read_bytes()[:-1] + b"!")
    with pytest.raises(ArtifactError, match="is not the file that"):
        write_bundle(tmp_path / "a.zip", ModelFolder(artifacts), load_test(idx_folder))
    assert not list(tmp_path.glob("*.zip"))
    assert not list(tmp_path.glob(".*"))
    manifest = Manifest.load(artifacts)
    replace(manifest, artifacts=(manifest.source(),)).save(artifacts)
    with pytest.raises(ConfigError, match=r"no exported file: .*edgecnn export"):
        write_bundle(tmp_path / "a.zip", ModelFolder(artifacts), load_test(idx_folder))
