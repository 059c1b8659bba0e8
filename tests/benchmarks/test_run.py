"""A whole benchmark, on the files of a real export."""

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import benchmarks.run
from benchmarks.budgets import load_budgets
from benchmarks.gate import FAIL, INVALID, PASS, UNDECIDED, Policy
from benchmarks.host import read_state
from benchmarks.latency import Plan
from benchmarks.lineup import folder_lineup, load_reference
from benchmarks.options import Options, thread_counts
from benchmarks.process import ModelProcess
from benchmarks.report import to_text
from benchmarks.requests import ProfileOps
from benchmarks.results import Report
from benchmarks.run import benchmark
from convert.keras_runtime import keras_opener
from edge.errors import ArtifactError, ConfigError, MissingDependency
from edge.files import sha256
from edge.manifest import Manifest, Reference
from edge.preprocess import Floats, Images
from edge.runtimes import opener_for
from edge.splits import CHUNK, ArraySplit, Indices, Split, chunks

OPENERS = {"keras": keras_opener(), "tflite": opener_for("tflite"), "onnx": opener_for("onnx")}
PLAN = Plan(min_seconds=0, min_runs=4, launches=2, rounds=2)


def run(
    folder: Path,
    test: Split,
    *formats: str,
    threads: tuple[int, ...] = (1,),
    policy: Policy = Policy(),  # noqa: B008  # Frozen.
    runs: int = PLAN.min_runs,
    **limits: float,
) -> Report:
    options = Options(formats, threads, replace(PLAN, min_runs=runs))
    return benchmark(
        folder_lineup(folder, options, OPENERS, test),
        options,
        load_budgets(None, {"max_drop_points": 100.0, **limits}, ()),
        policy,
        "edgecnn bench",
        {},
    )


def change_manifest(folder: Path, change: Callable[[Manifest], Manifest]) -> None:
    change(Manifest.load(folder)).save(folder)


def change_reference(**fields: Any) -> Callable[[Manifest], Manifest]:
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
def test_threads_out_of_range_are_refused(threads: int, exported: Path, test_split: Split) -> None:
    with pytest.raises(ConfigError, match=f"--threads must be 1 to 64, got {threads}"):
        run(exported, test_split, "tflite", threads=(threads,))


@pytest.mark.parametrize("text", ["", "one", "1,,2", "1;2"])
def test_threads_that_are_no_numbers_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--threads must be a number, or several as 1,2,4"):
        thread_counts(text)


def test_several_numbers_of_threads_are_a_sweep() -> None:
    assert thread_counts("1") == (1,)
    assert thread_counts("1, 2,4") == (1, 2, 4)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"threads": (1, 1)}, "--threads must be different numbers"),
        ({"threads": ()}, "--threads must be different numbers"),
        ({"percents": (100.0,)}, "--percentile must be above 0 and below 100, got 100"),
        ({"percents": (0.0,)}, "--percentile must be above 0 and below 100, got 0"),
        ({"batch": 0}, "--batch must be 1 to 4096 images, got 0"),
        ({"batch": 4097}, "--batch must be 1 to 4096 images, got 4097"),
        ({"rate": 0.0}, "--rate must be 0.1 to 1000000"),
        ({"rate": float("nan")}, "--rate must be 0.1 to 1000000"),
        ({"sustained_seconds": 86_401.0}, "--sustained must be at most 24 hours"),
    ],
)
def test_options_out_of_range_are_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Options(("tflite",), **fields)  # type: ignore[arg-type]  # Some are wrong on purpose.


def test_a_format_without_files_is_refused(artifacts: Path, test_split: Split) -> None:
    change_manifest(artifacts, lambda old: replace(old, artifacts=tuple(a for a in old.artifacts if a.format != "onnx")))
    with pytest.raises(ConfigError, match=r"bars has no onnx file: run edgecnn export --format onnx"):
        run(artifacts, test_split, "tflite", "onnx")


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
    change: Callable[[Manifest], Manifest], message: str, artifacts: Path, test_split: Split
) -> None:
    change_manifest(artifacts, change)
    with pytest.raises(ArtifactError, match=message):
        run(artifacts, test_split, "tflite")


def test_a_missing_reference_is_refused(artifacts: Path, test_split: Split) -> None:
    (artifacts / "reference.npy").unlink()
    with pytest.raises(ArtifactError, match=r"reference\.npy does not exist"):
        run(artifacts, test_split, "tflite")


@pytest.mark.parametrize("name", ["reference.npy", "int8.tflite"])
def test_an_altered_file_is_refused(name: str, artifacts: Path, test_split: Split) -> None:
    data = bytearray((artifacts / name).read_bytes())
    data[-1] ^= 1
    (artifacts / name).write_bytes(data)
    with pytest.raises(ArtifactError, match=rf"{name} is not the file that .* lists.*: .*run edgecnn export"):
        run(artifacts, test_split, "tflite")


def test_a_folder_without_a_manifest_is_refused(tmp_path: Path, test_split: Split) -> None:
    with pytest.raises(ArtifactError, match=r"manifest\.json does not exist"):
        run(tmp_path, test_split, "tflite")


def test_one_file_outside_the_budget_fails_the_report(artifacts: Path, test_split: Split) -> None:
    # A reference that is always right, for labels of which the files get every one wrong.
    labels = (test_split.labels + 1) % 3
    write_reference(artifacts, np.eye(3, dtype=np.float32)[labels])
    report = run(artifacts, ArraySplit(next(chunks(test_split)), labels), "onnx", max_drop_points=50.0)
    assert report.verdict.status == FAIL
    assert [check.text.split(":")[0] for check in report.verdict.checks] == ["float32.onnx", "int8.onnx"]
    assert all(result.accuracy and result.accuracy.lost >= 50 and result.verdict.status == FAIL for result in report.files)


def test_sixty_images_do_not_decide_about_half_a_point(three_files: Path, test_split: Split) -> None:
    report = run(three_files, test_split, "onnx", max_drop_points=0.5)
    assert report.verdict.status == UNDECIDED
    (check,) = report.verdict.checks
    assert "60 images do not decide, about 740 images like these would decide" in check.text


def test_noise_makes_a_limit_of_latency_invalid_and_nothing_else(
    three_files: Path, test_split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A machine on battery, whatever this one is.
    monkeypatch.setattr(benchmarks.run, "read_state", lambda: replace(read_state(), on_battery=True))
    quiet = run(three_files, test_split, "onnx", max_size_kib=1000)
    assert quiet.verdict.status == PASS
    assert any(item.name == "battery" for item in quiet.noise)
    report = run(three_files, test_split, "onnx", runs=200, max_p90_ms=1000)
    assert report.verdict.status == INVALID
    assert "the machine ran on battery" in report.verdict.checks[-1].text
    assert report.allowed == ()
    allowed = run(three_files, test_split, "onnx", max_p90_ms=1000, policy=Policy(("noise",)))
    assert "battery" in allowed.allowed
    # Four runs are too few for a p90, whatever is allowed.
    assert allowed.verdict.checks[-1].text.startswith("float32.onnx: p90 can't be judged: it needs 64 runs, these are")
    assert run(three_files, test_split, "onnx", policy=Policy(strict=True)).verdict.status == INVALID


def test_a_limit_that_would_judge_nothing_is_refused(exported: Path, test_split: Split) -> None:
    with pytest.raises(ConfigError, match="max_size_kib is a limit of exported files, none is measured: name a --runtime"):
        run(exported, test_split, "keras", max_size_kib=0.001)


def test_limits_of_a_file_that_is_not_measured_are_noted(three_files: Path, test_split: Split, tmp_path: Path) -> None:
    (tmp_path / "limits.toml").write_text('max_drop_points = 100\n[files."int8.tflite"]\nmax_size_kib = 1')
    options = Options(("onnx",), plan=PLAN)
    report = benchmark(
        folder_lineup(three_files, options, OPENERS, test_split),
        options,
        load_budgets(tmp_path / "limits.toml", {}, ("int8.tflite", "float32.onnx")),
        Policy(),
        "edgecnn bench",
        {},
        ("keras files were not measured.",),
    )
    assert report.verdict.status == PASS
    assert report.notes == ("keras files were not measured.", "int8.tflite has limits of its own and was not measured.")
    assert all(note in to_text(report) for note in report.notes)


def test_a_profile_that_cannot_be_had_costs_nothing_else(
    three_files: Path, test_split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = ModelProcess.ask

    def refuse(process: ModelProcess, request: Any) -> Any:
        if isinstance(request, ProfileOps):
            raise MissingDependency("this runtime has no profiler: update it")
        return ask(process, request)

    monkeypatch.setattr(ModelProcess, "ask", refuse)
    options = Options(("onnx",), plan=PLAN, profile=True)
    budgets = load_budgets(None, {"max_drop_points": 100.0}, ())
    report = benchmark(folder_lineup(three_files, options, OPENERS, test_split), options, budgets, Policy(), "", {})
    (file,) = report.files
    assert (file.profile, file.profile_problem) == (None, "this runtime has no profiler: update it")
    assert file.accuracy
    assert file.accuracy.images == 60
    assert "By op: not measured: this runtime has no profiler: update it" in to_text(report)


def test_the_reference_is_what_the_export_wrote(exported: Path) -> None:
    manifest = Manifest.load(exported)
    assert isinstance(manifest.reference, Reference)
    reference = load_reference(exported, manifest)
    assert (reference.shape, reference.dtype.name) == ((60, 3), "float32")
    np.testing.assert_array_equal(reference, np.load(exported / "reference.npy"))


def test_every_file_of_the_asked_formats_is_measured_in_the_manifests_order(three_files: Path, test_split: Split) -> None:
    report = run(three_files, test_split, "onnx", "keras", "tflite", max_size_kib=0.001)
    assert [result.name for result in report.files] == ["model.keras", "float32.tflite", "int8.tflite", "float32.onnx"]
    assert report.dataset == Manifest.load(three_files).dataset
    assert report.before.time <= report.after.time
    assert len(report.during) == PLAN.launches * PLAN.rounds
    for result in report.files:
        assert result.latency.runs >= 4
        assert result.latency.runs == sum(item.measured.count for launch in result.launches for item in launch.rounds)
        assert result.accuracy
        assert result.accuracy.images == 60
        assert [(len(launch.rounds), launch.import_ns > 0, launch.load_ns > 0) for launch in result.launches] == [
            (2, True, True),
            (2, True, True),
        ]
    assert report.baseline == min(report.files, key=lambda file: file.latency.p50_ns.estimate).name  # type: ignore[union-attr]
    keras, *others = report.files
    assert keras.runtime.startswith("keras ")
    assert keras.accuracy
    assert (keras.accuracy.lost, keras.accuracy.gained, keras.accuracy.same_class) == (0, 0, 60)
    # The reference's size is nobody's budget.
    assert keras.verdict.status == PASS
    assert {file.verdict.status for file in others} == {FAIL}


def test_a_sweep_measures_each_file_with_each_number_of_threads(three_files: Path, test_split: Split) -> None:
    report = run(three_files, test_split, "onnx", threads=(2, 1))
    assert [(file.name, file.threads) for file in report.files] == [("float32.onnx x2", 2), ("float32.onnx x1", 1)]


def test_what_was_asked_for_besides_is_there(measured: Report) -> None:
    for file in measured.files:
        assert file.throughput
        assert file.paced
        assert file.profile
        assert file.sustained
        assert file.throughput.batch == 4
        assert file.throughput.one_by_one
        assert file.throughput.images_per_second == pytest.approx(
            4e9 * file.throughput.measured.count / file.throughput.measured.unpack().sum()
        )
        assert file.paced.frames == 100
        assert file.paced.response.count == file.paced.busy.count == 100 - file.paced.dropped
        assert file.sustained[-1].seconds >= 0.05
        assert all(window.p50_ns <= window.p90_ns <= window.max_ns for window in file.sustained)
        assert sum(op.share for op in file.profile.ops) == pytest.approx(1)


def test_what_was_not_asked_for_is_not_there(three_files: Path, test_split: Split) -> None:
    (file,) = run(three_files, test_split, "onnx").files
    assert (file.throughput, file.paced, file.sustained, file.profile) == (None, None, (), None)


def test_every_image_is_read_once_for_all_files_and_a_chunk_at_a_time(three_files: Path, test_split: Split) -> None:
    asked: list[tuple[int, int]] = []

    class Counted(ArraySplit):
        def images(self, indices: Indices) -> Images:
            asked.append((int(indices[0]), len(indices)))
            return super().images(indices)

    images = np.tile(next(chunks(test_split)), (10, 1, 1, 1))
    test = Counted(images, np.tile(test_split.labels, 10))
    write = np.tile(load_reference(three_files, Manifest.load(three_files)), (10, 1))
    options = Options(("tflite", "onnx"), plan=PLAN)
    lineup = replace(folder_lineup(three_files, options, OPENERS, test), stored=(write,) * 3)
    assert asked == [(0, 100)] * 3  # What is timed.
    said: list[tuple[int, int, str]] = []
    report = benchmark(
        lineup,
        options,
        load_budgets(None, {"max_drop_points": 100.0}, ()),
        Policy(),
        "",
        {},
        (),
        lambda *step: said.append(step),
    )
    assert asked[3:] == [(0, CHUNK), (CHUNK, CHUNK), (2 * CHUNK, 100)]
    assert [step for step in said if "classifying" in step[2]] == [
        (done, 600, "classifying 600 test images") for done in (0, CHUNK, 2 * CHUNK)
    ]
    once = run(three_files, test_split, "tflite", "onnx")
    for many, few in zip(report.files, once.files, strict=True):
        assert many.accuracy
        assert few.accuracy
        assert (many.accuracy.images, many.accuracy.correct) == (600, 10 * few.accuracy.correct)
        assert many.accuracy.confusion == tuple((*entry, 10 * count) for *entry, count in few.accuracy.confusion)
        assert [flip.image for flip in many.accuracy.flips] == [
            60 * turn + flip.image for turn in range(10) for flip in few.accuracy.flips
        ]
