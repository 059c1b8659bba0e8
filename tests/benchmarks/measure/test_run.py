"""A whole benchmark on the files of a real export."""

import re
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgecnn.benchmarks.measure.run
from edgecnn.benchmarks.gate.budget import load_budgets
from edgecnn.benchmarks.gate.gate import FAIL, INVALID, PASS, UNDECIDED, UNJUDGED, Policy, Verdict
from edgecnn.benchmarks.machine.host import read_state
from edgecnn.benchmarks.measure.candidates import StoredReference, folder_candidates
from edgecnn.benchmarks.measure.options import BenchOptions
from edgecnn.benchmarks.measure.run import benchmark
from edgecnn.benchmarks.results.latency_summary import TimedFile, typical_ns
from edgecnn.benchmarks.results.records import Report
from edgecnn.benchmarks.show.report import to_text
from edgecnn.benchmarks.timing.requests import ProfileOps
from edgecnn.benchmarks.timing.worker import ModelProcess
from edgecnn.edge.data.splits import CHUNK, ArraySplit, Indices, Split, chunks
from edgecnn.edge.errors import ArtifactError, ConfigError, MissingDependency
from edgecnn.edge.manifest import Manifest
from edgecnn.edge.model.preprocess import Images
from edgecnn.edge.model_folder import ModelFolder
from tests.benchmarks.measure.benchmarking import PLAN, change_manifest, change_reference, openers, run, write_reference
from tests.benchmarks.measure.launching import Stepping

pytestmark = pytest.mark.workstation("whole benchmarks, a process for each launch, take minutes under emulation")


def test_a_reference_that_somebody_spoilt_and_made_fit_the_manifest_judges_nothing(
    three_files: Path, test_split: Split, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(three_files, tmp_path / "spoilt"))
    stored = np.load(folder / "reference.npy")
    stored[::3] = np.roll(stored[::3], 1, axis=1)
    write_reference(folder, stored)
    right = int((stored.argmax(axis=1) == test_split.labels).sum())
    change_manifest(folder, change_reference(correct=right))
    # On a board, the files themselves contradict the reference.
    report = run(folder, test_split, "tflite")
    assert {file.verdict.status for file in report.files} == {UNJUDGED}
    assert report.verdict.refuses
    # If the Keras model is measured, it does so before anything is judged.
    with pytest.raises(ArtifactError, match=r"reference\.npy is not.*model\.keras computes.*export") as caught:
        run(folder, test_split, "keras", "tflite")
    assert "of 60 test images" in str(caught.value)


def test_one_file_outside_the_budget_fails_the_report(artifacts: Path, test_split: Split) -> None:
    # A reference that is always right, with labels on which the files are always wrong.
    labels = (test_split.labels + 1) % 3
    write_reference(artifacts, np.eye(3, dtype=np.float32)[labels])
    report = run(artifacts, ArraySplit(next(chunks(test_split)), labels), "onnx", max_drop_points=50.0)
    assert report.verdict.status == FAIL
    # The drop, and a class that is lost.
    assert [len(file.verdict.checks) for file in report.files] == [2, 2]
    assert all(file.name in "".join(check.text for check in report.verdict.checks) for file in report.files)
    assert all(result.accuracy and result.accuracy.lost >= 50 and result.verdict.status == FAIL for result in report.files)


def test_sixty_images_do_not_decide_about_half_a_point_and_each_number_of_threads_is_a_row(
    three_files: Path, test_split: Split
) -> None:
    report = run(three_files, test_split, "onnx", threads=(2, 1), max_drop_points=0.5)
    assert [(file.name, file.threads) for file in report.files] == [("float32.onnx x2", 2), ("float32.onnx x1", 1)]
    assert report.verdict.status == UNDECIDED
    (check,) = report.verdict.checks
    assert re.search("about 740 images.*80 %", check.text)
    for file in report.files:  # What was not asked for.
        assert (file.throughput, file.paced, file.sustained, file.profile) == (None, None, (), None)


def test_noise_makes_a_limit_of_latency_invalid_and_nothing_else(
    three_files: Path, test_split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A machine on battery, whatever this one is.
    monkeypatch.setattr(edgecnn.benchmarks.measure.run, "read_state", lambda: replace(read_state(), on_battery=True))
    quiet = run(three_files, test_split, "onnx", max_size_kib=1000)
    assert quiet.verdict.status == PASS
    assert any(item.name == "battery" for item in quiet.noise)
    report = run(three_files, test_split, "onnx", runs=200, max_p90_ms=0.001)
    assert report.verdict.status == INVALID
    assert "the machine ran on battery" in report.verdict.checks[-1].text
    assert report.allowed == ()
    allowed = run(three_files, test_split, "onnx", max_p90_ms=1000, policy=Policy(("noise",)))
    assert "battery" in allowed.allowed
    # Four runs are too few for a p90, whatever is allowed.
    assert re.match(r"float32\.onnx: p90 can't.*64 runs, but", allowed.verdict.checks[-1].text)
    assert run(three_files, test_split, "onnx", policy=Policy(strict=True)).verdict.status == INVALID


def test_a_limit_that_would_judge_nothing_is_refused(exported: Path, test_split: Split) -> None:
    with pytest.raises(ConfigError, match=r"max_size_kib.*exported files.*none.*runtime"):
        run(exported, test_split, "keras", max_size_kib=0.001)


def test_a_profile_that_cannot_be_had_costs_nothing_else(
    three_files: Path, test_split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = ModelProcess.ask

    def refuse(process: ModelProcess, request: Any) -> Any:
        if isinstance(request, ProfileOps):
            raise MissingDependency("no profiler: update it")
        return ask(process, request)

    monkeypatch.setattr(ModelProcess, "ask", refuse)
    report = run(three_files, test_split, "onnx", profile=True)
    (file,) = report.files
    assert (file.profile, file.profile_problem) == (None, "no profiler: update it")
    assert file.accuracy
    assert file.accuracy.images == 60
    assert f"By op: not measured: {file.profile_problem}" in to_text(report)


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
            (PLAN.rounds, True, True)
        ] * PLAN.launches
    assert report.baseline == min(report.files, key=lambda file: typical_ns(file.launches)).name
    keras, *others = report.files
    assert keras.runtime.startswith("keras ")
    assert keras.accuracy
    assert (keras.accuracy.lost, keras.accuracy.gained, keras.accuracy.same_class) == (0, 0, 60)
    # It is the reference: neither its size nor a comparison with itself is judged, however few the images are.
    assert (keras.verdict, keras.budget.max_drop_points) == (Verdict(UNJUDGED, ()), None)
    assert {file.verdict.status for file in others} == {FAIL}


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


@pytest.mark.parametrize(("learnt", "judged", "status"), [(range(20), 40, PASS), (range(60), 60, UNJUDGED)])
def test_copies_of_training_images_judge_nothing(
    learnt: range, judged: int, status: str, three_files: Path, test_split: Split, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(three_files, tmp_path / "learnt"))
    change_manifest(folder, lambda old: replace(old, dataset=replace(old.dataset, learnt=tuple(learnt))))
    report = run(folder, test_split, "onnx", max_drop_points=50.0, min_accuracy_percent=20.0)
    accuracy = report.files[0].accuracy
    assert accuracy
    assert (accuracy.images, accuracy.learnt, accuracy.all_images) == (judged, 60 - judged, 60)
    assert accuracy.all_learnt == (judged == 60)
    assert {file.verdict.status for file in report.files} == {status}
    many = "all 60" if judged == 60 else "20 of 60"
    for text in (to_text(report), report.to_markdown(), report.to_html()):
        assert re.search(f"{many} test images[^.]*copies of training", " ".join(text.split()))


def test_every_image_is_read_once_for_all_files_and_a_chunk_at_a_time(three_files: Path, test_split: Split) -> None:
    asked: list[tuple[int, int]] = []

    class Counted(ArraySplit):
        def images(self, indices: Indices) -> Images:
            asked.append((int(indices[0]), len(indices)))
            return super().images(indices)

    images = np.tile(next(chunks(test_split)), (10, 1, 1, 1))
    labels = np.tile(test_split.labels, 10)
    labels[-2:] = (labels[-2:] + 1) % 3
    test = Counted(images, labels)
    write = np.tile(np.load(three_files / "reference.npy"), (10, 1))
    options = BenchOptions(plan=PLAN)
    candidate_set = folder_candidates(ModelFolder(three_files), options, openers("tflite", "onnx"), test_split)
    assert candidate_set.images
    candidate_set = replace(
        candidate_set,
        images=replace(candidate_set.images, test=test),
        reference=StoredReference((write,) * len(candidate_set.candidates), "theirs.tflite"),
    )
    steps: list[tuple[int, int, str]] = []
    report = benchmark(
        candidate_set,
        options,
        load_budgets(None, {"max_drop_points": 100.0}, ()),
        Policy(),
        command="",
        versions={},
        progress=Stepping(lambda *step: steps.append(step)),
    )
    assert asked == [(0, CHUNK), (CHUNK, CHUNK), (2 * CHUNK, 100)]
    assert [step for step in steps if "classifying" in step[2]] == [
        (done, 600, "classifying 600 test images") for done in (0, CHUNK, 2 * CHUNK)
    ]
    # The same images ten times are no more evidence than once.
    once = run(three_files, test_split, "tflite", "onnx")
    for many, few in zip(report.files, once.files, strict=True):
        assert many.accuracy
        assert (many.accuracy.images, many.accuracy.copies, many.accuracy.conflicting) == (60, 540, 2)
        assert replace(many.accuracy, copies=0, conflicting=0) == few.accuracy
    said = " ".join(to_text(report).split())
    assert re.search(r"540 test images[^.]*earlier one", said)
    assert re.search(r" 2 test images[^.]*another label", said)
    assert "another label" not in to_text(once)


def test_the_slowest_operator_of_a_file_that_gains_nothing_is_named_without_being_asked_for(
    three_files: Path, test_split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gains_nothing(files: Sequence[TimedFile]) -> list[tuple[int, int, None]]:
        return [(place, 0, None) for place, file in enumerate(files) if file.artifact.path == "int8.tflite"]

    monkeypatch.setattr(edgecnn.benchmarks.measure.run, "no_faster_than_float", gains_nothing)
    report = run(three_files, test_split, "tflite", "onnx")
    found = {file.name: file.slowest_op for file in report.files}
    slowest = found.pop("int8.tflite")
    assert slowest
    assert 0 < slowest.share <= 1
    assert re.search(r" \(operator \d of \d+\)$", slowest.op)
    assert set(found.values()) == {None}
    assert all(file.profile is None for file in report.files)
