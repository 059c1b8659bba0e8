"""A whole benchmark, on the files of a real export."""

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.gate import FAIL, PASS, Budget
from benchmarks.latency import Plan
from benchmarks.run import Report, benchmark, load_reference
from convert.dataset import load_split
from convert.keras_runtime import OPENER as KERAS
from edge.errors import ArtifactError, ConfigError
from edge.files import sha256
from edge.manifest import Manifest, Reference
from edge.preprocess import Floats
from edge.runtimes import opener_for

OPENERS = {"keras": KERAS, "tflite": opener_for("tflite"), "onnx": opener_for("onnx")}
PLAN = Plan(warmup_runs=2, min_runs=3, min_seconds=0)
TFLITE = [f"{precision}.tflite" for precision in ("float32", "float16", "dynamic", "int8", "int16x8")]


def run(folder: Path, idx_folder: Path, *formats: str, threads: int = 1, max_drop: float = 100) -> Report:
    test = load_split(idx_folder, "test")
    return benchmark(folder, formats, OPENERS, test.images, test.labels, threads, PLAN, Budget(max_drop))


def change_manifest(folder: Path, change: Callable[[Manifest], Manifest]) -> None:
    change(Manifest.load(folder)).save(folder)


def change_reference(**fields: str) -> Callable[[Manifest], Manifest]:
    def change(manifest: Manifest) -> Manifest:
        assert manifest.reference
        return replace(manifest, reference=replace(manifest.reference, **fields))

    return change


def write_reference(folder: Path, probabilities: Floats) -> None:
    buffer = io.BytesIO()
    np.save(buffer, probabilities)
    (folder / "reference.npy").write_bytes(buffer.getvalue())
    change_manifest(folder, change_reference(sha256=sha256(buffer.getvalue())))


@pytest.mark.parametrize("threads", [0, -1, 65])
def test_threads_out_of_range_are_refused(threads: int, exported: Path, idx_folder: Path) -> None:
    with pytest.raises(ConfigError, match=f"--threads must be 1 to 64, got {threads}"):
        run(exported, idx_folder, "tflite", threads=threads)


def test_a_format_without_files_is_refused(artifacts: Path, idx_folder: Path) -> None:
    change_manifest(artifacts, lambda old: replace(old, artifacts=tuple(a for a in old.artifacts if a.format != "onnx")))
    with pytest.raises(ConfigError, match=r"bars has no onnx file: run edgecnn export --format onnx"):
        run(artifacts, idx_folder, "tflite", "onnx")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda old: replace(old, reference=None), "bars has no reference to judge by: run edgecnn export"),
        (change_reference(source_sha256="0" * 64), r"reference\.npy is stale, .*: run edgecnn export"),
        (change_reference(test_sha256="0" * 64), r"reference\.npy is stale, .*: run edgecnn export"),
        (change_reference(sha256="0" * 64), r"reference\.npy is not the file that the manifest lists: run edgecnn export"),
    ],
    ids=["none", "other-model", "other-images", "other-bytes"],
)
def test_a_reference_that_does_not_fit_is_refused(
    change: Callable[[Manifest], Manifest], message: str, artifacts: Path, idx_folder: Path
) -> None:
    change_manifest(artifacts, change)
    with pytest.raises(ArtifactError, match=message):
        run(artifacts, idx_folder, "tflite")


def test_a_missing_reference_is_refused(artifacts: Path, idx_folder: Path) -> None:
    (artifacts / "reference.npy").unlink()
    with pytest.raises(ArtifactError, match=r"reference\.npy does not exist"):
        run(artifacts, idx_folder, "tflite")


@pytest.mark.parametrize("name", ["reference.npy", "int8.tflite"])
def test_an_altered_file_is_refused(name: str, artifacts: Path, idx_folder: Path) -> None:
    data = bytearray((artifacts / name).read_bytes())
    data[-1] ^= 1
    (artifacts / name).write_bytes(data)
    with pytest.raises(ArtifactError, match=rf"{name} is not the file that .* lists.*: .*run edgecnn export"):
        run(artifacts, idx_folder, "tflite")


def test_a_folder_without_a_manifest_is_refused(tmp_path: Path, idx_folder: Path) -> None:
    with pytest.raises(ArtifactError, match=r"manifest\.json does not exist"):
        run(tmp_path, idx_folder, "tflite")


def test_one_file_outside_the_budget_fails_the_report(artifacts: Path, idx_folder: Path) -> None:
    test = load_split(idx_folder, "test")
    # A reference that is always right, for labels of which the files get at least one wrong.
    labels = test.labels.copy()
    labels[0] = (labels[0] + 1) % 3
    write_reference(artifacts, np.eye(3, dtype=np.float32)[labels])
    report = benchmark(artifacts, ("onnx",), OPENERS, test.images, labels, 1, PLAN, Budget(0))
    assert report.verdict.status == FAIL
    assert [reason.split(":")[0] for reason in report.verdict.reasons] == ["float32.onnx", "int8.onnx"]
    assert all(result.accuracy.lost >= 1 and result.verdict.status == FAIL for result in report.files)


def test_the_reference_is_what_the_export_wrote(exported: Path) -> None:
    manifest = Manifest.load(exported)
    assert isinstance(manifest.reference, Reference)
    reference = load_reference(exported, manifest)
    assert (reference.shape, reference.dtype.name) == ((60, 3), "float32")
    np.testing.assert_array_equal(reference, np.load(exported / "reference.npy"))


def test_every_file_of_the_asked_formats_is_measured_in_the_manifests_order(exported: Path, idx_folder: Path) -> None:
    test = load_split(idx_folder, "test")
    steps: list[str] = []
    names = ("onnx", "keras", "tflite")
    report = benchmark(exported, names, OPENERS, test.images, test.labels, 1, PLAN, Budget(100), steps.append)
    assert steps == ["model.keras", *TFLITE, "float32.onnx", "int8.onnx"]
    assert [result.artifact.path for result in report.files] == steps
    assert report.verdict.status == PASS
    assert report.dataset == Manifest.load(exported).dataset
    assert report.before.time <= report.after.time
    for result in report.files:
        assert len(result.latency.warmup_ns) == 2
        assert result.summary.runs == len(result.latency.measured_ns) == 3
        assert result.accuracy.images == 60
        assert min(result.import_ns, result.load_ns, result.peak_memory_bytes) > 0
    keras = report.files[0]
    assert keras.runtime.startswith("keras ")
    assert (keras.accuracy.lost, keras.accuracy.gained, keras.accuracy.same_class) == (0, 0, 60)
    assert keras.accuracy.drop_points == 0


def test_only_the_asked_format_is_measured(exported: Path, idx_folder: Path) -> None:
    assert [result.artifact.path for result in run(exported, idx_folder, "tflite").files] == TFLITE
