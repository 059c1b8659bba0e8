"""A machine whose costs are invented, and exports that are tuned for it."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

import onnx
import pytest

from edgecnn.convert.export.config import ExportConfig, Tuning
from edgecnn.convert.export.export import export
from edgecnn.convert.export.keep_accuracy import Judge
from edgecnn.convert.tflite.quantize import tflite_scales
from edgecnn.edge.data.dataset import load_dataset
from edgecnn.edge.data.splits import Labels
from edgecnn.edge.export_records import Interval, Setting
from edgecnn.edge.formats import IoName
from edgecnn.edge.manifest import Manifest
from edgecnn.edge.model.preprocess import Floats
from edgecnn.edge.model_folder import ModelFolder
from tests.convert.tflite.conftest import kinds

FILES = ["float32.tflite", "float16.tflite", "dynamic.tflite", "int8.tflite", "int16x8.tflite", "float32.onnx", "int8.onnx"]
"""The exported files of `exported` and `any_batch`."""
FLOAT32 = 10.0
Objection = Callable[[Floats, Floats, Labels], str | None]


def content(candidate: Floats, reference: Floats, labels: Labels) -> str | None:
    return None


def entry(manifest: Manifest, name: str) -> Any:
    """Return what a manifest says of a file that it must list; untyped, since a test knows which of its parts are there."""
    found = manifest.artifact(name)
    assert found, name
    return found


def operators(path: Path) -> list[str]:
    """Return the kinds of a file's operators in the order in which they run."""
    if path.suffix == ".onnx":
        return [node.op_type for node in onnx.load(path).graph.node]
    return kinds(path.read_bytes())


@dataclass
class Invented:
    """A machine on which a file costs what a function of its integer activations says, and more or less for each fold."""

    cost: Callable[[frozenset[str]], float]
    width: float = 0.01
    machine: str = "an invented machine"
    unit: Literal["time"] = "time"
    runtime: str | None = None
    seconds: float = 1000.0
    most_files: int = 9
    fold_cost: float = 0.1
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
        if precision == "float32":
            return FLOAT32
        integers = frozenset(tflite_scales(models.model(name).data))
        folds = {one for one in integers if one.endswith("_folded")}
        added = folds | {one for one in integers if one.endswith("_columns")}
        return self.cost(integers - added) + self.fold_cost * len(folds)


def few_floats(operators: frozenset[str]) -> float:
    """The more integers the dearer, but only down to half of all: the cheapest file has some of both."""
    return 5.0 + abs(len(operators) - 5)


def tuned(artifacts: Path, images: Path, machine: Invented, io: IoName | None = None) -> tuple[Manifest, list[str]]:
    said: list[str] = []
    tuning = Tuning(machine, Judge(content, 0.5, lambda *files: 1.0), 0)
    config = ExportConfig(("tflite",), ("int8",), io=io)
    manifest = export(artifacts / "model.keras", load_dataset(images), config, tuning=tuning, on_step=said.append)
    return manifest, said


@pytest.fixture(scope="module")
def export_so_far(exported: Path, idx_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, ...]:
    """What an export has made when it tunes: the arguments of `tuned_file`."""
    asked: list[tuple[Any, ...]] = []
    folder = tmp_path_factory.mktemp("so far") / "bars"
    shutil.copytree(exported, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edgecnn.convert.export.export.tuned_file", lambda *arguments: asked.append(arguments))
        tuned(folder, idx_folder, Invented(few_floats))
    # The same operators in float are the same file: each is made once for all tests.
    exporter = asked[0][1]
    operators, quantize = exporter.quantizer("tflite")
    made = cache(lambda keep: quantize(keep))
    exporter.quantizer = lambda model_format: (operators, lambda keep: made(tuple(keep)))
    return asked[0]
