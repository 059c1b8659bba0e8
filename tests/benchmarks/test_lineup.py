"""Files from elsewhere: what can not be known of them is asked for, and what is measured says what it is beside."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from benchmarks.budgets import load_budgets
from benchmarks.gate import FAIL, PASS, UNJUDGED, Policy
from benchmarks.latency import RANDOM_REGION, TIMED_REGION, Plan
from benchmarks.lineup import BareFile, Lineup, file_lineup, folder_lineup
from benchmarks.options import Options
from benchmarks.report import to_text
from benchmarks.results import Report
from benchmarks.run import benchmark
from edge.classifier import Classifier
from edge.errors import ArtifactError, ConfigError
from edge.interface import SCHEMES, Interface
from edge.manifest import DatasetRecord, Manifest
from edge.metrics import correct
from edge.runtimes import opener_for
from edge.splits import ArraySplit, Split

ONNX, TFLITE = opener_for("onnx"), opener_for("tflite")
UNIT = Interface(SCHEMES["unit"])
PLAN = Plan(min_seconds=0, min_runs=100, launches=2, rounds=2)
OPTIONS = Options((), plan=PLAN)
IMAGES = np.random.default_rng(0).integers(0, 256, (300, 6, 5, 3)).astype(np.uint8)


def classifier(path: Path, seed: int = 0, batch: int | str = 1, classes: int = 3) -> Path:
    """Write a linear classifier of colour images of 6 x 5, channels first."""
    weights = np.random.default_rng(seed).standard_normal((3 * 6 * 5, classes)).astype(np.float32)
    nodes = [
        helper.make_node("Flatten", ["image"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["classes"]),
    ]
    return write(path, nodes, [batch, 3, 6, 5], [batch, classes], TensorProto.FLOAT, weights)


def write(
    path: Path,
    nodes: list[onnx.NodeProto],
    takes: Sequence[int | str],
    gives: Sequence[int | str],
    dtype: int,
    weights: np.ndarray | None = None,
) -> Path:
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(nodes[0].input[0], dtype, takes)],
        [helper.make_tensor_value_info(nodes[-1].output[0], dtype, gives)],
        [] if weights is None else [onnx.numpy_helper.from_array(weights, "weights")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


def labelled(path: Path, wrong: int = 0) -> ArraySplit:
    """Return images that the file gets right, all but the first so many."""
    labels = Classifier.load(path, interface=UNIT).probabilities(IMAGES).argmax(axis=1)
    labels[:wrong] = (labels[:wrong] + 1) % 3
    return ArraySplit(IMAGES, labels)


def record(test: Split) -> DatasetRecord:
    return DatasetRecord("noise", "/data/noise", "", test.sha256)


def bare(*paths: Path, interface: Interface | None = None) -> list[BareFile]:
    return [BareFile(path, opener_for(path.suffix[1:]), interface) for path in paths]


def run(
    lineup: Lineup, options: Options = OPTIONS, judged: bool = False, limits: Mapping[str, float | None] = MappingProxyType({})
) -> Report:
    budgets = load_budgets(None, limits, (), beside_reference=judged)
    return benchmark(lineup, options, budgets, Policy(("noise",)), "edgecnn bench", {})


def test_a_classifier_needs_its_preprocessing_where_there_are_images(tmp_path: Path) -> None:
    file, test = classifier(tmp_path / "a.onnx"), labelled(classifier(tmp_path / "a.onnx"))
    with pytest.raises(ConfigError, match=r"a\.onnx: no manifest\.json beside it, so how it takes pixels is not known: say it"):
        file_lineup(bare(file), OPTIONS, test, record(test))


def test_images_of_another_shape_are_refused_with_both_shapes(tmp_path: Path) -> None:
    test = ArraySplit(np.zeros((2, 9, 9, 3), np.uint8), np.array([0, 1]))
    with pytest.raises(
        ConfigError, match=r"a\.onnx takes images of \(6, 5, 3\), these are \(9, 9, 3\): name others with --data"
    ):
        file_lineup(bare(classifier(tmp_path / "a.onnx"), interface=UNIT), OPTIONS, test, record(test))


@pytest.mark.parametrize(("labels", "message"), [([0, 3], "a.onnx has 3 classes, the labels go to 3"), ([], "no test images")])
def test_labels_that_do_not_fit_are_refused_before_measuring(labels: list[int], message: str, tmp_path: Path) -> None:
    test = ArraySplit(IMAGES[: max(len(labels), 1)][: len(labels)], np.array(labels, np.int64))
    with pytest.raises(ConfigError, match=message):
        file_lineup(bare(classifier(tmp_path / "a.onnx"), interface=UNIT), OPTIONS, test, record(test))


def test_files_of_other_classes_than_the_reference_are_refused(tmp_path: Path) -> None:
    files = classifier(tmp_path / "a.onnx"), classifier(tmp_path / "b.onnx", classes=4)
    test = labelled(files[0])
    with pytest.raises(ArtifactError, match=r"a\.onnx has 3 classes, b\.onnx has 4: bench files of the same classes"):
        file_lineup(bare(*files, interface=UNIT), OPTIONS, test, record(test), reference=1)


def test_a_file_that_is_named_twice_is_refused(tmp_path: Path) -> None:
    file = classifier(tmp_path / "a.onnx")
    with pytest.raises(ConfigError, match=r"a\.onnx is named twice: name each file once"):
        file_lineup(bare(file, file), OPTIONS)


def test_a_file_that_does_not_run_on_random_inputs_is_an_error_that_names_it(tmp_path: Path) -> None:
    # Any int32 is no index into a table of ten.
    table = np.zeros((10, 4), np.float32)
    nodes = [helper.make_node("Cast", ["words"], ["places"], to=TensorProto.INT64)]
    nodes += [helper.make_node("Gather", ["weights", "places"], ["rows"]), helper.make_node("Cast", ["rows"], ["out"], to=6)]
    file = write(tmp_path / "words.onnx", nodes, [1, 5], [1, 5, 4], TensorProto.INT32, table)
    with pytest.raises(ArtifactError, match=r"words\.onnx: onnxruntime can't run it on random inputs \(.*Gather"):
        file_lineup(bare(file), OPTIONS)


@pytest.mark.parametrize("reference", [-1, 1])
def test_a_reference_that_is_none_of_the_files_is_our_mistake(reference: int, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="reference must be one of 1 files"):
        file_lineup(bare(classifier(tmp_path / "a.onnx")), OPTIONS, reference=reference)


def test_a_limit_of_accuracy_needs_labelled_images_and_another_file(tmp_path: Path) -> None:
    file = classifier(tmp_path / "a.onnx")
    for limit in ("max_drop_points", "min_agreement_percent"):
        with pytest.raises(ConfigError, match=f"{limit} is a limit of accuracy, which takes labelled images: add --data"):
            run(file_lineup(bare(file), OPTIONS), limits={limit: 1.0})
        test = labelled(file)
        lineup = file_lineup(bare(file, interface=UNIT), OPTIONS, test, record(test))
        with pytest.raises(ConfigError, match=rf"{limit} is a limit of files beside a reference, which a\.onnx itself is"):
            run(lineup, limits={limit: 1.0})


def test_without_images_a_benchmark_is_of_latency_alone_and_passes_nothing_unasked(tmp_path: Path) -> None:
    report = run(file_lineup(bare(classifier(tmp_path / "a.onnx")), OPTIONS))
    (file,) = report.files
    assert (file.accuracy, report.dataset, report.class_names, report.timed_region) == (None, None, (), RANDOM_REGION)
    assert (file.verdict.status, report.verdict.status, file.latency.runs >= 100) == (UNJUDGED, UNJUDGED, True)
    text = " ".join(to_text(report).split())
    assert "Inputs are random numbers of each model's own shape and type: a.onnx (1, 3, 6, 5)." in text
    assert text.endswith("UNJUDGED: nothing was judged: set a limit, such as --max-p90-ms.")
    assert PASS not in text


def test_a_limit_that_is_set_is_judged_without_images(tmp_path: Path) -> None:
    lineup = file_lineup(bare(classifier(tmp_path / "a.onnx")), OPTIONS)
    passed = run(lineup, limits={"max_size_kib": 100.0, "max_p90_ms": 1000.0})
    assert (passed.verdict.status, len(passed.verdict.checks)) == (PASS, 2)
    assert to_text(passed).endswith("PASS: every file is within its limits.")
    assert run(lineup, limits={"max_size_kib": 0.1}).verdict.status == FAIL


@pytest.mark.parametrize(
    ("takes", "dtype"),
    [
        ((1, 20, 13), TensorProto.FLOAT),
        (("n", 64), TensorProto.INT8),
        ((5,), TensorProto.DOUBLE),
        ((1, 2, 3, 4, 5), TensorProto.UINT8),
    ],
    ids=["audio", "free batch", "no batch", "five axes"],
)
def test_any_one_tensor_is_timed_whatever_it_means(takes: tuple[int | str, ...], dtype: int, tmp_path: Path) -> None:
    file = write(tmp_path / "copy.onnx", [helper.make_node("Identity", ["x"], ["y"])], takes, takes, dtype)
    report = run(file_lineup(bare(file), OPTIONS), replace(OPTIONS, batch=3))
    artifact, throughput = report.files[0].artifact, report.files[0].throughput
    assert artifact.input.shape == artifact.output.shape == tuple(None if size == "n" else size for size in takes)
    assert (artifact.format, artifact.precision, artifact.size_bytes) == ("onnx", "unknown", file.stat().st_size)
    assert throughput
    assert (throughput.batch, throughput.one_by_one) == (3, "n" not in takes)


def test_an_image_that_is_rebuilt_is_timed_though_it_is_no_class(tmp_path: Path) -> None:
    nodes = [helper.make_node("Sigmoid", ["x"], ["y"])]
    file = write(tmp_path / "autoencoder.onnx", nodes, [1, 6, 5, 3], [1, 6, 5, 3], TensorProto.FLOAT)
    assert run(file_lineup(bare(file), OPTIONS)).files[0].latency.runs >= 100


def test_the_first_file_is_the_reference_and_is_judged_by_nothing_but_what_was_asked(tmp_path: Path) -> None:
    good, bad = classifier(tmp_path / "good.onnx"), classifier(tmp_path / "bad.onnx", seed=1)
    test = labelled(good, wrong=30)
    report = run(file_lineup(bare(good, bad, interface=UNIT), OPTIONS, test, record(test)), judged=True)
    reference, other = report.files
    assert (report.reference, report.dataset, report.timed_region) == ("good.onnx", record(test), TIMED_REGION)
    assert report.class_names == ("0", "1", "2")
    assert reference.accuracy
    assert (reference.accuracy.correct, reference.accuracy.lost, reference.accuracy.gained) == (270, 0, 0)
    assert (reference.verdict.status, reference.verdict.checks) == (UNJUDGED, ())
    assert other.accuracy
    right = int(correct(Classifier.load(bad, interface=UNIT).probabilities(IMAGES), test.labels).sum())
    assert (other.accuracy.images, other.accuracy.correct, other.accuracy.reference_correct) == (300, right, 270)
    assert (other.verdict.status, report.verdict.status) == (FAIL, FAIL)
    assert "points below good.onnx, the drop lies in" in other.verdict.checks[0].text
    text = to_text(report)
    assert "Accuracy beside good.onnx" in text
    assert "Keras" not in text
    assert "Nothing vouches for good.onnx (no manifest.json beside it), bad.onnx (no manifest.json beside it)." in " ".join(
        text.split()
    )


def test_outputs_of_another_kind_than_was_said_are_refused_before_anything_is_measured(tmp_path: Path) -> None:
    path = classifier(tmp_path / "a.onnx")
    test = labelled(path)
    logits = Interface(SCHEMES["unit"], "logits")
    with pytest.raises(ArtifactError, match=r"a\.onnx: output classes is probabilities already, .*: leave --logits away"):
        file_lineup(bare(path, interface=logits), OPTIONS, test, record(test))


def test_what_was_said_of_the_files_is_in_the_result(tmp_path: Path) -> None:
    a, b, c = (classifier(tmp_path / f"{name}.onnx") for name in "abc")
    test = labelled(a)
    files = [*bare(a, c, interface=UNIT), *bare(b, interface=Interface(SCHEMES["torch"]))]
    notes = file_lineup(files, OPTIONS, test, record(test)).notes
    assert notes[:2] == (
        "As was said of a.onnx, c.onnx, and is not verified: inputs are 0.00392157 * pixel, outputs are probabilities.",
        "As was said of b.onnx, and is not verified: inputs are (0.00392157 * pixel - 0.485 0.456 0.406) / 0.229 0.224 0.225, "
        "outputs are probabilities.",
    )
    assert all("As was said" not in note for note in file_lineup(files, OPTIONS).notes)


def test_another_file_may_be_the_reference_whatever_the_number_of_threads(tmp_path: Path) -> None:
    bad, good = classifier(tmp_path / "bad.onnx", seed=1), classifier(tmp_path / "good.onnx")
    test = labelled(good)
    options = replace(OPTIONS, threads=(1, 2))
    lineup = file_lineup(bare(bad, good, interface=UNIT), options, test, record(test), reference=1)
    report = run(lineup, options, judged=True, limits={"max_size_kib": 100.0})
    assert [(file.name, file.threads) for file in report.files] == [
        ("bad.onnx x1", 1),
        ("bad.onnx x2", 2),
        ("good.onnx x1", 1),
        ("good.onnx x2", 2),
    ]
    assert [file.verdict.status for file in report.files] == [FAIL, FAIL, PASS, PASS]
    assert [len(file.verdict.checks) for file in report.files] == [2, 2, 1, 1]
    assert [file.accuracy and file.accuracy.reference_correct for file in report.files] == [300] * 4


def test_a_file_of_four_images_at_a_time_is_timed_so_and_says_so(tmp_path: Path) -> None:
    one, four = classifier(tmp_path / "one.onnx"), classifier(tmp_path / "four.onnx", batch=4)
    test = labelled(one)
    options = replace(OPTIONS, batch=6)
    report = run(file_lineup(bare(one, four, interface=UNIT), options, test, record(test)), options, judged=True)
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
    assert "four.onnx takes 4 images at a time: each of its runs is of 4 images." in " ".join(to_text(report).split())


def test_files_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    for folder in ("old", "new"):
        (tmp_path / folder).mkdir()
    files = [classifier(tmp_path / folder / "a.onnx") for folder in ("old", "new")]
    lineup = file_lineup(bare(*files), OPTIONS)
    assert [candidate.name for candidate in lineup.candidates] == [str(file) for file in files]
    assert lineup.folder == f"{tmp_path / 'new'}, {tmp_path / 'old'}"


def test_a_file_with_a_manifest_needs_nothing_said_and_keeps_its_entry(exported: Path, test_split: Split) -> None:
    lineup = file_lineup(bare(exported / "int8.tflite"), OPTIONS, test_split, record(test_split))
    assert lineup.candidates[0].artifact == Manifest.load(exported).artifact("int8.tflite")
    assert lineup.class_names == Manifest.load(exported).class_names
    assert lineup.notes == ()
    with pytest.raises(ConfigError, match="says how it takes pixels and what it gives: leave --preprocess"):
        file_lineup(bare(exported / "int8.tflite", interface=UNIT), OPTIONS, test_split, record(test_split))


def test_no_more_images_are_timed_than_their_size_allows(exported: Path, test_split: Split) -> None:
    (candidate,) = folder_lineup(exported, Options(("keras",)), {"keras": TFLITE}, test_split).candidates
    assert candidate.request.images is not None
    assert len(candidate.request.images) == 60
    large = ArraySplit(np.zeros((9, 1024, 512, 1), np.uint8), np.zeros(9, np.int64))
    (candidate,) = folder_lineup(exported, Options(("keras",)), {"keras": TFLITE}, large).candidates
    assert candidate.request.images is not None
    assert len(candidate.request.images) == 8
