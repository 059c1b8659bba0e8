"""Tuned files of a real export; only the costs are invented, so that the cheapest placement is known."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from PIL import Image

from edgecnn.benchmarks.proof.write_bundle import write_bundle
from edgecnn.convert.export.config import ExportConfig
from edgecnn.convert.export.export import _outdated, export
from edgecnn.convert.export.keep_accuracy import Judge, JudgedImages
from edgecnn.convert.export.tuning.tune import tuned_file
from edgecnn.convert.export.tuning.yardstick import Tuning
from edgecnn.convert.tflite.quantize import tflite_scales
from edgecnn.edge.data.dataset import load_dataset
from edgecnn.edge.data.splits import Labels
from edgecnn.edge.errors import EdgeCnnError
from edgecnn.edge.export_records import Interval, Setting, Tuned
from edgecnn.edge.folder.model_folder import ModelFolder
from edgecnn.edge.manifest import Manifest
from edgecnn.edge.model.preprocess import Floats

FLOAT32 = 10.0
Objection = Callable[[Floats, Floats, Labels], str | None]


def content(candidate: Floats, reference: Floats, labels: Labels) -> str | None:
    return None


@dataclass
class Invented:
    """A machine on which a file costs what a function of its integer activations says."""

    cost: Callable[[frozenset[str]], float]
    width: float = 0.01
    machine: str = "an invented machine"
    unit: Literal["time"] = "time"
    runtime: str | None = None
    seconds: float = 1000.0
    most_files: int = 9
    thorough: list[bool] = field(default_factory=list)

    def compare(self, folder: Path, base: str, *, thorough: bool) -> dict[str, Interval]:
        self.thorough.append(thorough)
        models = ModelFolder(folder)
        assert models.manifest
        assert models.manifest.reference
        costs = {file.path: self._of(models, file.path, file.precision) for file in models.manifest.exported}
        ratios = {name: cost / costs[base] for name, cost in costs.items()}
        return {name: Interval(ratio, ratio * (1 - self.width), ratio * (1 + self.width)) for name, ratio in ratios.items()}

    def settings(self, folder: Path, max_drop_points: float) -> tuple[Setting, ...]:
        ratio = Interval(1.5, 1.4, 1.6)
        return (Setting(1, None, Interval(1, 1, 1), 1e6, None, "PASS"), Setting(2, None, ratio, 1.5e6, None, "PASS"))

    def _of(self, models: ModelFolder, name: str, precision: str) -> float:
        return FLOAT32 if precision == "float32" else self.cost(frozenset(tflite_scales(models.model(name).data)))


def few_floats(operators: frozenset[str]) -> float:
    """The more integers the dearer, but only down to half of all: the cheapest file has some of both."""
    return 5.0 + abs(len(operators) - 5)


def tuned(
    artifacts: Path,
    images: Path,
    machine: Invented,
    objection: Objection = content,
) -> tuple[Manifest, list[str]]:
    said: list[str] = []
    tuning = Tuning(machine, Judge(objection, 0.5, lambda *files: 1.0), 0)
    config = ExportConfig(("tflite",), ("int8",))
    manifest = export(artifacts / "model.keras", load_dataset(images), config, tuning=tuning, on_step=said.append)
    return manifest, said


def test_the_cheapest_file_is_written_beside_the_plain_ones_with_its_evidence(
    artifacts: Path, idx_folder: Path, tmp_path: Path
) -> None:
    machine = Invented(few_floats)
    manifest, _ = tuned(artifacts, idx_folder, machine)
    plain = (artifacts / "int8.tflite").read_bytes()
    artifact = manifest.artifact("tuned.tflite")
    assert artifact
    assert artifact.precision == "int8"
    assert artifact.parity
    assert len(tflite_scales((artifacts / "tuned.tflite").read_bytes())) == 5
    record = Manifest.load(artifacts).artifact("tuned.tflite")
    assert record == artifact
    assert artifact.tuned
    assert artifact.mended
    assert (artifact.tuned.machine, artifact.tuned.unit) == ("an invented machine", "time")
    assert artifact.tuned.compared_with == "int8.tflite"
    own = few_floats(frozenset(tflite_scales(plain)))
    assert artifact.tuned.ratio.estimate == pytest.approx(5 / own)
    assert artifact.tuned.ratio.low < artifact.tuned.ratio.estimate < artifact.tuned.ratio.high
    assert artifact.settings
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


@pytest.fixture(scope="module")
def export_so_far(exported: Path, idx_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, ...]:
    """What an export has made when it tunes: the arguments of `tuned_file`."""
    asked: list[tuple[Any, ...]] = []
    folder = tmp_path_factory.mktemp("so far") / "bars"
    shutil.copytree(exported, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edgecnn.convert.export.export.tuned_file", lambda *arguments: asked.append(arguments))
        tuned(folder, idx_folder, Invented(few_floats))
    return asked[0]


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


def test_a_file_that_loses_too_much_is_not_the_cheapest(export_so_far: tuple[Any, ...]) -> None:
    sizes: list[int] = []

    def objection(candidate: Floats, reference: Floats, labels: Labels) -> str | None:
        sizes.append(len(labels))
        return "it loses too much" if (candidate != reference).any() else None

    made, said = tuned_again(export_so_far, Invented(few_floats), objection)
    assert made is None
    assert "not written" in said[-1]
    assert sizes


def test_tuning_again_without_a_gain_deletes_the_earlier_tuned_file(artifacts: Path, idx_folder: Path) -> None:
    manifest = Manifest.load(artifacts)
    int8 = manifest.artifact("int8.tflite")
    assert int8
    record = Tuned("Cortex-A72", "time", "int8.tflite", Interval(0.8, 0.8, 0.8), 9, 1.0, 0, ())
    manifest.with_artifacts(replace(int8, path="tuned.tflite", tuned=record)).save(artifacts)
    for name in ("tuned.tflite", "tuned.tflite.png"):
        (artifacts / name).write_bytes((artifacts / "int8.tflite").read_bytes())
    tuned(artifacts, idx_folder, Invented(lambda operators: 10.0 - len(operators) / 2))
    assert Manifest.load(artifacts).artifact("tuned.tflite") is None
    assert not list(artifacts.glob("tuned*"))


def test_a_machine_that_fails_leaves_the_earlier_files_as_they_were(artifacts: Path, idx_folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in artifacts.iterdir() if path.is_file()}

    class Broken(Invented):
        def compare(self, folder: Path, base: str, *, thorough: bool) -> dict[str, Interval]:
            if self.thorough:
                raise EdgeCnnError("pi: it went away")
            return super().compare(folder, base, thorough=thorough)

    with pytest.raises(EdgeCnnError, match="pi: it went away"):
        tuned(artifacts, idx_folder, Broken(few_floats))
    assert {path.name: path.read_bytes() for path in artifacts.iterdir() if path.is_file()} == before


def test_a_plain_file_that_loses_too_much_need_not_be_beaten(export_so_far: tuple[Any, ...]) -> None:
    reference = export_so_far[4][2]
    int8_loses = next(data for artifact, data in export_so_far[5] if artifact.precision == "int8")
    lossy = export_so_far[1].probabilities("int8.tflite", "tflite", int8_loses)

    def objection(candidate: Floats, of: Floats, labels: Labels) -> str | None:
        return "it loses too much" if len(candidate) == len(lossy) and np.array_equal(candidate, lossy) else None

    assert not np.array_equal(lossy, reference)
    # The choices cost more than int8, and less than float32.
    every = np.ones(len(lossy), np.bool_)
    images = JudgedImages(every, every, None)
    arguments = (*export_so_far[:3], images, *export_so_far[4:])
    made, said = tuned_again(arguments, Invented(lambda operators: 9.0 - len(operators) / 4), objection)
    assert made
    assert made[0].tuned.compared_with == "float32.tflite"
    assert made[0].tuned.ratio.estimate < 0.9
    assert made[0].mended.slowdown >= 1
    assert "of float32.tflite's time" in said[-1]


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
    job = export_so_far[0]
    int8 = job.manifest.artifact("int8.tflite")
    record = Tuned("Cortex-A72", "time", "int8.tflite", Interval(0.8, 0.8, 0.8), 9, 1.0, 0, ())
    said: list[str] = []
    job = replace(
        job,
        manifest=job.manifest.with_artifacts(replace(int8, path="tuned.tflite", tuned=record)),
        tuning=job.tuning if tunes else None,
        config=ExportConfig(formats, ("int8",)),
        on_step=said.append,
    )
    made = {"same": [int8], "other": [replace(int8, sha256="0" * 64)], "missing": []}[plain]
    assert _outdated(job, made) == (() if stays else ("tuned.tflite",))
    # The user learns which machine the file was for.
    assert [line for line in said if "tuned on Cortex-A72, is deleted" in line] == said[: 0 if stays else 1]
