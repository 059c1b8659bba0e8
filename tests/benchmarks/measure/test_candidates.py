"""Files from elsewhere: unknown properties are requested, and results name their reference."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgecnn.benchmarks.gate.budget import Budget
from edgecnn.benchmarks.gate.gate import FAIL, PASS, UNJUDGED
from edgecnn.benchmarks.measure.candidates import candidate_of, file_candidates, folder_candidates
from edgecnn.benchmarks.measure.options import BenchOptions
from edgecnn.benchmarks.measure.targets import budgets_of, candidates
from edgecnn.benchmarks.show.report import to_text
from edgecnn.benchmarks.timing.latency import TIMED_REGION
from edgecnn.edge.data.splits import ArraySplit, Split
from edgecnn.edge.errors import ArtifactError, ConfigError
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.inference.usage import Usage
from edgecnn.edge.manifest import Manifest
from edgecnn.edge.model.interface import SCHEMES, Interface
from edgecnn.edge.model.preprocess import correct
from edgecnn.edge.model_file import read_model
from edgecnn.edge.model_folder import ModelFolder
from edgecnn.edge.result import SILENT
from tests.benchmarks.measure.onnx_files import (
    IMAGES,
    OPTIONS,
    TFLITE,
    UNIT,
    bare,
    classifier,
    images_of,
    labelled,
    run,
)

pytestmark = pytest.mark.workstation("whole benchmarks, a process for each launch, take minutes under emulation")


def test_a_reference_that_several_runtimes_run_is_found_among_the_files(tmp_path: Path) -> None:
    files = [ModelFolder(classifier(tmp_path / name)) for name in ("a.onnx", "b.onnx")]
    usage = Usage("/nowhere", interface=UNIT)
    with pytest.raises(ConfigError, match="/nowhere"):  # Its images are looked for.
        candidates(files, usage, {"onnx": ("onnx", "onnxruntime")}, files[1].named, OPTIONS, SILENT)


def test_a_classifier_needs_its_preprocessing_and_images_of_its_shape(tmp_path: Path) -> None:
    file, test = classifier(tmp_path / "a.onnx"), labelled(classifier(tmp_path / "a.onnx"))
    with pytest.raises(ConfigError, match=r"a\.onnx: no manifest\.json.*takes pixels"):
        file_candidates(bare(file), OPTIONS, images_of(test))
    test = ArraySplit(np.zeros((2, 9, 9, 3), np.uint8), np.array([0, 1]))
    with pytest.raises(ConfigError, match=r"a\.onnx.*images.*\(6, 5, 3\)\D*\(9, 9, 3\):.*data"):
        file_candidates(bare(classifier(tmp_path / "a.onnx"), interface=UNIT), OPTIONS, images_of(test))


@pytest.mark.parametrize(
    ("labels", "message"), [([0, 3], "a.onnx has 3 classes, but the labels go up to 3"), ([], "no test images")]
)
def test_labels_that_do_not_fit_are_refused_before_measuring(labels: list[int], message: str, tmp_path: Path) -> None:
    test = ArraySplit(IMAGES[: max(len(labels), 1)][: len(labels)], np.array(labels, np.int64))
    with pytest.raises(ConfigError, match=message):
        file_candidates(bare(classifier(tmp_path / "a.onnx"), interface=UNIT), OPTIONS, images_of(test))


def test_files_of_other_classes_than_the_reference_and_one_that_is_named_twice_are_refused(tmp_path: Path) -> None:
    files = classifier(tmp_path / "a.onnx"), classifier(tmp_path / "b.onnx", classes=4)
    test = labelled(files[0])
    with pytest.raises(ArtifactError, match=r"a\.onnx.*3 classes.*b\.onnx has 4"):
        file_candidates(bare(*files, interface=UNIT), OPTIONS, images_of(test), reference=1)
    file = classifier(tmp_path / "a.onnx")
    with pytest.raises(ConfigError, match=r"a\.onnx is named twice"):
        file_candidates(bare(file, file), OPTIONS)


@pytest.mark.parametrize("reference", [-1, 1])
def test_a_reference_that_is_none_of_the_files_is_our_mistake(reference: int, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"reference.*one of 1 files"):
        file_candidates(bare(classifier(tmp_path / "a.onnx")), OPTIONS, reference=reference)


def test_a_limit_of_accuracy_needs_labelled_images_and_another_file(tmp_path: Path) -> None:
    file = classifier(tmp_path / "a.onnx")
    for limit in ("max_drop_points", "min_agreement_percent"):
        with pytest.raises(ConfigError, match=f"{limit}.*needs labelled images.*data"):
            run(file_candidates(bare(file), OPTIONS), limits={limit: 1.0})
        test = labelled(file)
        with pytest.raises(ConfigError, match=r"budget.*data.*max_drop_points"):
            budgets_of(file_candidates(bare(file), OPTIONS), Budget(max_p90_ms=9), {})
        candidate_set = file_candidates(bare(file, interface=UNIT), OPTIONS, images_of(test))
        with pytest.raises(ConfigError, match=rf"{limit}.*a\.onnx is the reference"):
            run(candidate_set, limits={limit: 1.0})


def test_the_first_file_is_the_reference_and_is_judged_by_nothing_but_what_was_asked(tmp_path: Path) -> None:
    good, bad = classifier(tmp_path / "good.onnx"), classifier(tmp_path / "bad.onnx", seed=1)
    test = labelled(good, wrong=30)
    report = run(file_candidates(bare(good, bad, interface=UNIT), OPTIONS, images_of(test)), judged=True)
    reference, other = report.files
    assert (report.reference, report.dataset, report.timed_region) == ("good.onnx", images_of(test).record, TIMED_REGION)
    assert report.class_names == ("0", "1", "2")
    assert reference.accuracy
    assert (reference.accuracy.correct, reference.accuracy.lost, reference.accuracy.gained) == (270, 0, 0)
    assert (reference.verdict.status, reference.verdict.checks) == (UNJUDGED, ())
    assert other.accuracy
    right = int(correct(Classifier.load(bad, interface=UNIT).probabilities(IMAGES), test.labels).sum())
    assert (other.accuracy.images, other.accuracy.correct, other.accuracy.reference_correct) == (300, right, 270)
    assert (other.verdict.status, report.verdict.status) == (FAIL, FAIL)
    assert "points below good.onnx, the drop" in other.verdict.checks[0].text
    text = " ".join(to_text(report).split())
    assert "Accuracy compared with good.onnx" in text
    assert "Keras" not in text
    assert all(f"{name}.onnx (no manifest.json beside it)" in text.partition("Unverified: ")[2] for name in ("good", "bad"))


def test_outputs_of_another_kind_than_was_said_are_refused_before_anything_is_measured(tmp_path: Path) -> None:
    path = classifier(tmp_path / "a.onnx")
    test = labelled(path)
    logits = Interface(SCHEMES["unit"], "logits")
    with pytest.raises(ArtifactError, match=r"a\.onnx: output classes.*already probabilities.*omit logits"):
        file_candidates(bare(path, interface=logits), OPTIONS, images_of(test))


def test_what_was_said_of_the_files_is_in_the_result(tmp_path: Path) -> None:
    a, b, c = (classifier(tmp_path / f"{name}.onnx") for name in "abc")
    test = labelled(a)
    files = [*bare(a, c, interface=UNIT), *bare(b, interface=Interface(SCHEMES["torch"]))]
    notes = file_candidates(files, OPTIONS, images_of(test)).notes
    assert notes[:2] == (
        "a.onnx, c.onnx: no manifest says it, unverified: inputs are 0.00392157 * pixel, outputs are probabilities.",
        "b.onnx: no manifest says it, unverified: inputs are (0.00392157 * pixel - 0.485 0.456 0.406) / 0.229 0.224 0.225, "
        "outputs are probabilities.",
    )
    assert all("no manifest says it" not in note for note in file_candidates(files, OPTIONS).notes)


def test_another_file_may_be_the_reference_whatever_the_number_of_threads(tmp_path: Path) -> None:
    bad, good = classifier(tmp_path / "bad.onnx", seed=1), classifier(tmp_path / "good.onnx")
    test = labelled(good)
    options = replace(OPTIONS, threads=(1, 2))
    candidate_set = file_candidates(bare(bad, good, interface=UNIT), options, images_of(test), reference=1)
    report = run(candidate_set, options, judged=True, limits={"max_size_kib": 100.0})
    assert [(file.name, file.threads) for file in report.files] == [
        ("bad.onnx x1", 1),
        ("bad.onnx x2", 2),
        ("good.onnx x1", 1),
        ("good.onnx x2", 2),
    ]
    assert [file.verdict.status for file in report.files] == [FAIL, FAIL, PASS, PASS]
    assert [len(file.verdict.checks) for file in report.files] == [3, 3, 1, 1]  # The drop, a class that is lost, the size.
    assert [file.accuracy and file.accuracy.reference_correct for file in report.files] == [300] * 4


def test_a_file_of_four_images_at_a_time_is_timed_so_and_says_so(tmp_path: Path) -> None:
    one, four = classifier(tmp_path / "one.onnx"), classifier(tmp_path / "four.onnx", batch=4)
    test = labelled(one)
    options = replace(OPTIONS, batch=6)
    report = run(file_candidates(bare(one, four, interface=UNIT), options, images_of(test)), options, judged=True)
    single, several = report.files
    assert (single.images_per_run, several.images_per_run) == (1, 4)
    assert several.accuracy
    assert (several.accuracy.images, several.accuracy.same_class) == (300, 300)
    for file, images in ((single, 6), (several, 8)):
        assert file.throughput
        assert (file.throughput.batch, file.throughput.one_by_one) == (images, True)
        assert file.throughput.images_per_second == pytest.approx(
            images * 1e9 * file.throughput.measured.count / file.throughput.measured.unpack().sum()
        )
        times = np.concatenate([item.measured.unpack() for launch in file.launches for item in launch.rounds])
        assert file.latency.images_per_second == pytest.approx(file.images_per_run * 1e9 * len(times) / times.sum())
    text = " ".join(to_text(report).split())
    assert all(said in text for said in ("four.onnx takes 4 images", "its runs is of 4"))


def test_files_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    for folder in ("old", "new"):
        (tmp_path / folder).mkdir()
    files = [classifier(tmp_path / folder / "a.onnx") for folder in ("old", "new")]
    candidate_set = file_candidates(bare(*files), OPTIONS)
    assert [candidate.name for candidate in candidate_set.candidates] == [str(file) for file in files]
    assert candidate_set.folder == f"{tmp_path / 'new'}, {tmp_path / 'old'}"


def test_a_file_with_a_manifest_needs_nothing_said_and_keeps_its_entry(exported: Path, test_split: Split) -> None:
    candidate_set = file_candidates(bare(exported / "int8.tflite"), OPTIONS, images_of(test_split))
    assert candidate_set.candidates[0].artifact == Manifest.load(exported).artifact("int8.tflite")
    assert candidate_set.class_names == Manifest.load(exported).class_names
    assert candidate_set.notes == ()
    with pytest.raises(ConfigError, match=r"defines its preprocessing.*omit preprocess"):
        file_candidates(bare(exported / "int8.tflite", interface=UNIT), OPTIONS, images_of(test_split))


def test_no_more_images_are_timed_than_their_size_allows(exported: Path, test_split: Split) -> None:
    (candidate,) = folder_candidates(ModelFolder(exported), BenchOptions(), {"keras": (TFLITE,)}, test_split).candidates
    assert candidate.request.images is not None
    assert len(candidate.request.images) == 60
    large = ArraySplit(np.zeros((9, 1024, 512, 1), np.uint8), np.zeros(9, np.int64))
    candidate = candidate_of(read_model(exported / "model.keras"), TFLITE, 1, large)
    assert candidate.request.images is not None
    assert len(candidate.request.images) == 8
