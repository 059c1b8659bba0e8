"""Tuned files of a real export; only the costs are invented, so that the cheapest placement is known."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from PIL import Image

from edgecnn.benchmarks.bundle.write_bundle import write_bundle
from edgecnn.convert.export import file_exporter
from edgecnn.convert.export.config import ExportConfig, Tuning
from edgecnn.convert.export.export import _outdated
from edgecnn.convert.export.file_exporter import FileExporter
from edgecnn.convert.export.keep_accuracy import Judge
from edgecnn.convert.export.tune import tuned_file
from edgecnn.convert.tflite.fold import _Kernel
from edgecnn.convert.tflite.quantize import tflite_scales
from edgecnn.edge.compatibility.requirements import read_needs
from edgecnn.edge.data.dataset import load_dataset
from edgecnn.edge.data.splits import Labels
from edgecnn.edge.errors import ConversionError, EdgeCnnError
from edgecnn.edge.export_records import Interval, Mended, Tuned
from edgecnn.edge.files import sha256
from edgecnn.edge.formats import IoName
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.manifest import Manifest
from edgecnn.edge.model.preprocess import Floats
from edgecnn.edge.model_file import ModelFile
from edgecnn.edge.model_folder import ModelFolder
from edgecnn.edge.runtimes import installed, opener_for
from tests.convert.conftest import unchanged
from tests.convert.export.conftest import Invented, Objection, content, entry, few_floats, tuned


def test_the_cheapest_file_is_written_beside_the_plain_ones_with_its_evidence_and_deleted_when_it_gains_no_more(
    artifacts: Path, idx_folder: Path, tmp_path: Path
) -> None:
    machine = Invented(few_floats)
    manifest, _ = tuned(artifacts, idx_folder, machine)
    plain = (artifacts / "int8.tflite").read_bytes()
    artifact = entry(manifest, "tuned.tflite")
    assert artifact.precision == "int8"
    assert artifact.parity
    assert len(tflite_scales((artifacts / "tuned.tflite").read_bytes())) == 5
    record = Manifest.load(artifacts).artifact("tuned.tflite")
    assert record == artifact
    assert (artifact.tuned.machine, artifact.tuned.unit) == ("an invented machine", "time")
    assert artifact.tuned.compared_with == "int8.tflite"
    own = few_floats(frozenset(tflite_scales(plain)))
    assert artifact.tuned.ratio.estimate == pytest.approx(5 / own)
    assert artifact.tuned.ratio.low < artifact.tuned.ratio.estimate < artifact.tuned.ratio.high
    assert [(one.threads, one.ratio.estimate) for one in artifact.settings.tried] == [(1, 1), (2, 1.5)]
    assert artifact.mended.layers
    assert artifact.tuned.candidates >= 8
    costs = [one.cost for one in artifact.tuned.tried]
    assert costs == sorted(costs)
    assert any(one.in_float == 0 for one in artifact.tuned.tried)
    # The plain file is as plain as before; its bytes differ in the last bit between CPUs.
    assert tflite_scales((artifacts / "int8.tflite").read_bytes()).keys() == tflite_scales(plain).keys()
    # Only the last comparison, of a file that is already chosen, is a thorough one.
    assert machine.thorough == [False] * (len(machine.thorough) - 1) + [True]
    with Image.open(artifacts / "tuned.tflite.png") as picture:
        assert picture.size == (900, 552)
    models = ModelFolder(artifacts)
    assert "tuned.tflite: 0." in models.to_text()
    # Like any other file, it goes to other machines.
    bundle = tmp_path / "bars.zip"
    write_bundle(bundle, models, load_dataset(idx_folder).test)
    with ModelFolder(bundle) as there:
        assert "tuned.tflite" in there.names
    # Without time to search it finds no gain.
    tuned(artifacts, idx_folder, Invented(lambda operators: 10.0 - len(operators) / 2, seconds=0.0))
    assert Manifest.load(artifacts).artifact("tuned.tflite") is None
    assert not list(artifacts.glob("tuned*"))


def test_a_file_is_tuned_by_folds_alone_and_answers_as_the_plain_one(artifacts: Path, idx_folder: Path) -> None:
    manifest, _ = tuned(artifacts, idx_folder, Invented(lambda operators: 10.0 - len(operators) / 2, fold_cost=-1))
    artifact, plain = (entry(manifest, name) for name in ("tuned.tflite", "int8.tflite"))
    assert artifact.mended is None
    folded = [(one.operator.split("/")[1], one.columns) for one in artifact.tuned.folded]
    assert folded == [("re_lu_1", 2), ("re_lu_1_2", 2)]
    assert artifact.tuned.tried[0].cost == pytest.approx(artifact.tuned.ratio.estimate)
    assert artifact.parity == plain.parity
    assert Manifest.load(artifacts).artifact("tuned.tflite") == artifact
    assert (
        f"tensorflow-lite>={read_needs((artifacts / 'tuned.tflite').read_bytes(), 'tflite').written}" == artifact.oldest_runtime
    )
    text = ModelFolder(artifacts).to_text()
    assert all(part in " ".join(text.split()) for part in ("2 columns at a time", "in re_lu_1/Relu, re_lu_1_2/Relu"))
    assert "float layers" not in text
    test = load_dataset(idx_folder).test
    names = ("tuned.tflite", "int8.tflite")
    ours, expected = (Classifier.load(artifacts / name).split_probabilities(test) for name in names)
    np.testing.assert_array_equal(ours, expected)


def refusing_int8(arguments: tuple[Any, ...]) -> tuple[Floats, Objection]:
    """Return the probabilities of the plain int8 file, and what refuses them alone."""
    data = next(data for artifact, data in arguments[5] if artifact.precision == "int8")
    lossy: Floats = arguments[1].probabilities("int8.tflite", "tflite", data)

    def objection(candidate: Floats, of: Floats, labels: Labels) -> str | None:
        return "it loses too much" if len(candidate) == len(lossy) and np.array_equal(candidate, lossy) else None

    return lossy, objection


def test_no_fold_takes_back_the_layers_that_keep_the_accuracy(export_so_far: tuple[Any, ...]) -> None:
    job, exporter, tuning, images, reference, plain = export_so_far
    lossy, objection = refusing_int8(export_so_far)
    mended = Mended(("sequential_1/re_lu_1/Relu",), "float32", 0.5, 2, 1000, 1.1)
    kept = [(replace(artifact, mended=mended) if artifact.precision == "int8" else artifact, data) for artifact, data in plain]
    every, half = np.ones(len(lossy), np.bool_), np.arange(len(lossy)) % 2 == 0
    # The images that choose do not show that the file without floats loses too much.
    machine = Invented(lambda operators: 10.0 - len(operators) / 2, fold_cost=-1)
    images = replace(images, every=every, choosing=half, held_out=None)
    made, said = tuned_again((job, exporter, tuning, images, reference, kept), machine, objection)
    assert made is None
    assert "not written" in said[-1]


def test_no_more_is_measured_when_the_time_is_up(export_so_far: tuple[Any, ...]) -> None:
    machine = Invented(few_floats, fold_cost=-1, seconds=0.0)
    made, _ = tuned_again(export_so_far, machine)
    assert made is None
    assert machine.thorough == [False]  # The plain files, which need no search.


def test_folds_stay_where_layers_are_in_float_too(export_so_far: tuple[Any, ...]) -> None:
    made, _ = tuned_again(export_so_far, Invented(few_floats, fold_cost=-1))
    assert made
    artifact, data = made
    in_float = set(artifact.mended.layers)
    assert in_float
    folded = {one.operator for one in artifact.tuned.folded}
    assert folded
    assert not folded & in_float
    assert {name for name in tflite_scales(data) if name.endswith("_folded")} == {f"{name}_folded" for name in folded}


def test_a_fold_that_changes_an_answer_is_an_error(export_so_far: tuple[Any, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    original = _Kernel.fold
    monkeypatch.setattr(_Kernel, "fold", lambda self, weights: original(self, weights) // 2)
    with pytest.raises(ConversionError, match=r"tuned\.tflite computes something else.*folded columns"):
        tuned_again(export_so_far, Invented(lambda operators: 10.0 - len(operators) / 2, fold_cost=-1))


def tuned_again(arguments: tuple[Any, ...], machine: Invented, objection: Objection = content) -> tuple[Any, list[str]]:
    job, exporter, _, images, reference, plain = arguments
    said: list[str] = []
    tuning = Tuning(machine, Judge(objection, 0.5, lambda *files: 1.0), 0)
    return tuned_file(replace(job, on_step=said.append), exporter, tuning, images, reference, plain), said


@pytest.mark.parametrize(
    ("cost", "width"),
    [
        (lambda operators: 10.0 - len(operators) / 2, 0.01),
        (few_floats, 0.6),
        (lambda operators: few_floats(operators) + 6, 0.01),
    ],
    ids=["integers cost least", "the interval shows no gain", "float32 costs less"],
)
def test_without_a_gain_there_is_no_file_and_that_is_said(
    cost: Callable[[frozenset[str]], float], width: float, export_so_far: tuple[Any, ...]
) -> None:
    made, said = tuned_again(export_so_far, Invented(cost, width))
    assert made is None
    assert said[-1].startswith("tuned.tflite: not written: ")


@pytest.mark.parametrize("fold_cost", [0.1, -1], ids=["no folds", "folds that save"])
def test_a_file_that_loses_too_much_is_not_the_cheapest(export_so_far: tuple[Any, ...], fold_cost: float) -> None:
    sizes: list[int] = []

    def objection(candidate: Floats, reference: Floats, labels: Labels) -> str | None:
        sizes.append(len(labels))
        return "it loses too much" if (candidate != reference).any() else None

    made, said = tuned_again(export_so_far, Invented(few_floats, fold_cost=fold_cost), objection)
    assert made is None
    assert "not written" in said[-1]
    assert sizes


def test_a_machine_that_fails_leaves_the_earlier_files_as_they_were(artifacts: Path, idx_folder: Path) -> None:
    class Broken(Invented):
        def compare(self, folder: Path, base: str, *, thorough: bool) -> dict[str, Interval]:
            if self.thorough:
                raise EdgeCnnError("pi: it went away")
            return super().compare(folder, base, thorough=thorough)

    with unchanged(artifacts), pytest.raises(EdgeCnnError, match="pi: it went away"):
        tuned(artifacts, idx_folder, Broken(few_floats))


def test_a_plain_file_that_loses_too_much_need_not_be_beaten(export_so_far: tuple[Any, ...]) -> None:
    lossy, objection = refusing_int8(export_so_far)
    assert not np.array_equal(lossy, export_so_far[3].reference)
    # The choices cost more than int8, and less than float32.
    every = np.ones(len(lossy), np.bool_)
    images = replace(export_so_far[3], every=every, choosing=every, held_out=None)
    arguments = (*export_so_far[:3], images, *export_so_far[4:])
    made, said = tuned_again(arguments, Invented(lambda operators: 9.0 - len(operators) / 4), objection)
    assert made
    assert made[0].tuned.compared_with == "float32.tflite"
    assert made[0].tuned.ratio.estimate < 0.9
    assert made[0].mended.slowdown >= 1
    assert "of float32.tflite's time" in said[-1]


def test_files_are_judged_by_the_runtime_that_they_are_tuned_for(
    export_so_far: tuple[Any, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str | None] = []
    original = FileExporter.probabilities

    def probabilities(self: FileExporter, name: str, model_format: str, data: bytes, runtime: str | None = None) -> Floats:
        asked.append(runtime)
        return original(self, name, model_format, data, runtime)

    monkeypatch.setattr(FileExporter, "probabilities", probabilities)
    tuned_again(export_so_far, Invented(few_floats, runtime="litert"))
    assert set(asked) == {"litert"}
    asked.clear()
    # No machine without this CPU's instructions has it.
    monkeypatch.setattr(installed, "CPUINFO", tmp_path / "none")
    tuned_again(export_so_far, Invented(few_floats, runtime="litert-fp16"))
    assert set(asked) == {None}


def test_probabilities_of_a_named_runtime_are_its_own_and_tried_in_a_child_first(
    export_so_far: tuple[Any, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    exporter, plain = export_so_far[1], export_so_far[5]
    opened: list[tuple[str, bool]] = []

    class Noted:
        def __init__(self, name: str) -> None:
            self.name = name

        def open_file(self, model: ModelFile, threads: int, trusted: bool) -> Any:
            opened.append((self.name, trusted))
            return opener_for(self.name).open_file(model, threads, trusted=trusted)

    monkeypatch.setattr(file_exporter, "opener_for", Noted)
    artifact, data = plain[0]
    by_default = exporter.probabilities(artifact.path, artifact.format, data)
    np.testing.assert_array_equal(exporter.probabilities(artifact.path, artifact.format, data, "litert"), by_default)
    # What was made here may crash another runtime than its own.
    assert opened == [("tflite", True), ("litert", False)]


# A softmax is float before a float32 output in any case.
@pytest.mark.parametrize(("io", "last"), [("uint8", "StatefulPartitionedCall"), ("float32", "sequential_1/dense_1/MatMul")])
def test_a_tuned_file_whose_last_layer_is_float_has_the_ends_of_the_plain_one(
    io: IoName, last: str, artifacts: Path, idx_folder: Path
) -> None:
    machine = Invented(lambda operators: 5.0 + 3 * any(name.startswith(last) for name in operators))
    manifest, _ = tuned(artifacts, idx_folder, machine, io=io)
    artifact, plain = (entry(manifest, name) for name in ("tuned.tflite", "int8.tflite"))
    assert artifact.mended.layers[-1].startswith(last)
    assert artifact.input.dtype == artifact.output.dtype == io
    ours, theirs = (ends(artifacts / name) for name in ("tuned.tflite", "int8.tflite"))
    assert ours == theirs
    assert [dtype for dtype, _ in ours] == [np.dtype(io)] * 2
    test = load_dataset(idx_folder).test
    models = [Classifier.load(artifacts / name) for name in ("tuned.tflite", "model.keras")]
    answers, reference = (model.split_probabilities(test) for model in models)
    assert np.array_equal(answers.argmax(axis=1), reference.argmax(axis=1))
    assert np.abs(answers - reference).max() < 0.05
    for file in (artifact, plain):
        needs = read_needs((artifacts / file.path).read_bytes(), "tflite")
        assert file.oldest_runtime == f"tensorflow-lite>={needs.written}"


def ends(path: Path) -> list[tuple[Any, tuple[float, int]]]:
    """Return the type, and the scale and zero point, of a file's input and output, as LiteRT reads them."""
    interpreter = Interpreter(path)
    details = (*interpreter.get_input_details(), *interpreter.get_output_details())
    return [(np.dtype(one["dtype"]), one["quantization"]) for one in details]


def with_tuned(job: Any, content: bytes | None = b"tuned") -> Any:
    """Return the job of a folder that has a file tuned for a Cortex-A72, with this content."""
    path = job.folder / "tuned.tflite"
    path.unlink(missing_ok=True)
    if content is not None:
        path.write_bytes(content)
    record = Tuned("Cortex-A72", "time", "int8.tflite", Interval(0.8, 0.8, 0.8), 9, 1.0, 0, ())
    tuned = replace(job.manifest.artifact("int8.tflite"), path="tuned.tflite", sha256=sha256(b"tuned"), tuned=record)
    return replace(job, manifest=job.manifest.with_artifacts(tuned))


def tuning_for(job: Any, machine: str, runtime: str | None = None) -> Tuning:
    tuning: Tuning = replace(job.tuning, runner=Invented(lambda operators: 1.0, machine=machine, runtime=runtime))
    return tuning


@pytest.mark.parametrize(
    ("tunes", "formats", "plain", "stays"),
    [
        (True, ("tflite",), "same", False),
        (True, ("onnx",), "same", True),
        (False, ("tflite",), "same", True),
        (False, ("tflite",), "other", False),
        (False, ("tflite",), "missing", True),
    ],
    ids=["no gain", "another format is tuned", "the same plain file", "another plain file", "no plain file is written"],
)
def test_an_earlier_tuned_file_stays_only_as_long_as_it_belongs_to_the_plain_file_that_it_was_compared_with(
    tunes: bool, formats: tuple[str, ...], plain: str, stays: bool, export_so_far: tuple[Any, ...]
) -> None:
    job, said = with_tuned(export_so_far[0]), list[str]()
    int8 = job.manifest.artifact("int8.tflite")
    job = replace(
        job,
        tuning=tuning_for(job, "Cortex-A72") if tunes else None,
        config=ExportConfig(formats, ("int8",)),
        on_step=said.append,
    )
    made = {"same": [int8], "other": [replace(int8, sha256="0" * 64)], "missing": []}[plain]
    assert _outdated(job, made) == (() if stays else ("tuned.tflite",))
    # The user learns which machine the file was for.
    assert [line for line in said if "tuned on Cortex-A72, is deleted" in line] == said[: 0 if stays else 1]


@pytest.mark.parametrize(
    ("machine", "runtime", "stays"),
    [("Cortex-A72", None, False), ("Cortex-A53", None, True), ("Cortex-A72", "openvino", True)],
    ids=["the same", "another machine", "another runtime"],
)
def test_tuning_without_a_gain_deletes_the_file_of_the_same_machine_and_runtime(
    machine: str, runtime: str | None, stays: bool, export_so_far: tuple[Any, ...]
) -> None:
    job = with_tuned(export_so_far[0])
    job = replace(job, tuning=tuning_for(job, machine, runtime))
    assert _outdated(job, [job.manifest.artifact("int8.tflite")]) == (() if stays else ("tuned.tflite",))


@pytest.mark.parametrize("content", [b"altered", None])
def test_a_tuned_file_that_is_not_what_was_written_leaves_the_manifest(
    content: bytes | None, export_so_far: tuple[Any, ...]
) -> None:
    said: list[str] = []
    job = replace(with_tuned(export_so_far[0], content), tuning=None, on_step=said.append)
    assert _outdated(job, [job.manifest.artifact("int8.tflite")]) == ("tuned.tflite",)
    assert said[0].endswith("tune again")


def test_progress_counts_every_choice_and_says_the_best_so_far(export_so_far: tuple[Any, ...]) -> None:
    _, said = tuned_again(export_so_far, Invented(few_floats, fold_cost=-1))
    steps = [re.search(r"(\d+) choices? measured, the best so far at ([\d.]+) of all-int8", line) for line in said]
    figures = [(int(step[1]), float(step[2])) for step in steps if step]
    assert len(figures) > 2
    assert [count for count, _ in figures] == sorted({count for count, _ in figures})
    best = [cost for _, cost in figures]
    assert best == sorted(best, reverse=True)
    assert best[0] <= 1
