"""Settings of the file of least cost, on a machine whose costs are invented."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Literal, cast

import pytest

import edgecnn as ec
from edgecnn.convert.export.config import ExportJob, Tuning
from edgecnn.convert.export.file_exporter import FileExporter
from edgecnn.convert.export.keep_accuracy import Judge
from edgecnn.convert.export.tune import Made, with_formats, with_settings
from edgecnn.edge.errors import EdgeCnnError
from edgecnn.edge.export_records import Beside, Interval, Setting, Settings, Tuned
from edgecnn.edge.manifest import REFERENCE_NAME, Manifest
from edgecnn.edge.model_folder import ModelFolder
from tests.convert.export.conftest import entry

ONE = Interval(1, 1, 1)
TRIED = (Setting(1, None, ONE, 1e6, 2e6, "PASS"), Setting(2, None, Interval(0.6, 0.5, 0.7), 6e5, 9e6, "PASS"))
TUNED = Tuned("a board", "time", "int8.tflite", Interval(0.5, 0.4, 0.6), 8, 1.0, 0, ())
COSTS = {"float32.tflite": 3.0, "float16.tflite": 2.0, "int8.tflite": 4.0}


@dataclass
class Board:
    """A machine on which the files of `COSTS` cost what it says, and settings are `TRIED`."""

    machine: str = "a board"
    unit: Literal["time"] = "time"
    most_files: int = 9
    runtime: str | None = None
    seconds: float = 1.0
    compared: list[list[str]] = field(default_factory=list)
    settled: list[str] = field(default_factory=list)

    def compare(self, folder: Path, base: str, *, thorough: bool) -> dict[str, Interval]:
        models = ModelFolder(folder)
        assert models.manifest
        self.compared.append([file.path for file in models.manifest.exported])
        return {name: Interval(COSTS[name], COSTS[name], COSTS[name]) for name in self.compared[-1]}

    def settings(self, folder: Path, max_drop_points: float) -> Sequence[Setting]:
        assert max_drop_points == 0.5
        models = ModelFolder(folder)
        assert models.manifest
        (file,) = models.manifest.exported
        assert models.model(file.path).unverified is None
        self.settled.append(file.path)
        return TRIED


def exporter_of(*inaccurate: str) -> FileExporter:
    """An exporter that finds all files accurate but these."""
    found = SimpleNamespace(is_accurate=lambda judge, artifact, data, runtime=None: artifact.path not in inaccurate)
    return cast(FileExporter, found)


def settled(exported: Path, names: Sequence[str], board: Board, tuned: str | None = None, *inaccurate: str) -> list[Made]:
    manifest = Manifest.load(exported)
    assert manifest.reference
    job = cast(ExportJob, SimpleNamespace(manifest=manifest, on_step=lambda text: None))
    tuning = Tuning(board, Judge(lambda *given: None, 0.5, lambda *files: 1.0), 0)
    files: list[Made] = []
    for name in names:
        artifact = entry(manifest, name)
        files.append((replace(artifact, tuned=TUNED if name == tuned else None), (exported / name).read_bytes()))
    reference = manifest.reference, (exported / REFERENCE_NAME).read_bytes()
    found = with_settings(job, exporter_of(*inaccurate), tuning, reference, files)
    assert [data for _, data in found] == [data for _, data in files]
    return found


def test_without_a_tuned_file_the_plain_one_of_least_cost_is_measured(exported: Path) -> None:
    board = Board()
    found = settled(exported, list(COSTS), board)
    assert board.compared == [list(COSTS)]
    assert board.settled == ["float16.tflite"]
    assert [artifact.settings for artifact, _ in found] == [None, Settings("a board", "time", TRIED), None]


def test_a_plain_file_that_is_not_accurate_enough_is_not_measured_unless_none_is(exported: Path) -> None:
    for inaccurate, best in ((["float16.tflite"], "float32.tflite"), (list(COSTS), "float16.tflite")):
        board = Board()
        settled(exported, list(COSTS), board, None, *inaccurate)
        assert board.settled == [best]


def test_a_tuned_file_is_the_one_and_tells_the_runtime_that_it_was_tuned_for(exported: Path) -> None:
    board = Board()
    found = settled(exported, list(COSTS), board, tuned="int8.tflite")
    assert (board.compared, board.settled) == ([], ["int8.tflite"])
    assert [artifact.path for artifact, _ in found if artifact.settings] == ["int8.tflite"]
    for runtime, told in (("litert-fp16", "litert-fp16"), ("onnxruntime", None), (None, None)):
        (artifact, _), *_ = settled(exported, ["int8.tflite"], Board(runtime=runtime), tuned="int8.tflite")
        assert artifact.tuned == replace(TUNED, runtime=told)


def test_of_several_formats_the_accurate_files_of_least_cost_are_compared_with_each_other(
    exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = Manifest.load(exported)
    assert manifest.reference
    settings, names = Settings("a board", "time", TRIED), ["int8.onnx", "int8.tflite", "float32.onnx", "float32.tflite"]
    best, files = names[:2], list[Made]()
    for name in names:
        files.append((replace(entry(manifest, name), settings=settings if name in best else None), b""))
    monkeypatch.setitem(COSTS, "int8.onnx", 0.5)
    config = SimpleNamespace(formats=("onnx", "tflite"))
    job = cast(ExportJob, SimpleNamespace(manifest=manifest, config=config, on_step=lambda text: None))
    reference = manifest.reference, (exported / REFERENCE_NAME).read_bytes()

    def beside(board: Board, *inaccurate: str) -> list[Beside | None]:
        tuning = Tuning(board, Judge(lambda *given: None, 0.5, lambda *files: 1.0), 0)
        found = with_formats(job, exporter_of(*inaccurate), tuning, reference, files)
        return [artifact.settings.beside if artifact.settings else None for artifact, _ in found]

    board = Board()
    half, four = Interval(0.5, 0.5, 0.5), Interval(4.0, 4.0, 4.0)  # `Board` divides by nothing.
    assert beside(board) == [Beside("int8.tflite", half), Beside("int8.tflite", four), None, None]
    assert board.compared == [best]
    assert beside(Board(runtime="openvino")) == [None] * 4
    assert beside(board, "int8.onnx") == [None] * 4
    assert board.compared == [best]


def test_a_later_export_forgets_what_a_file_cost_beside_one_that_may_be_another_now(artifacts: Path, idx_folder: Path) -> None:
    beside = Settings("a board", "time", TRIED, Beside("int8.tflite", ONE))
    manifest = Manifest.load(artifacts)
    manifest.with_artifacts(replace(entry(manifest, "int8.onnx"), settings=beside)).save(artifacts)
    folder = ec.export(artifacts / "model.keras", idx_folder, formats=["tflite"])
    assert folder.manifest
    assert entry(folder.manifest, "int8.onnx").settings == replace(beside, beside=None)


def test_a_machine_that_fails_is_an_error(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(self: Board, folder: Path, max_drop_points: float) -> Sequence[Setting]:
        raise EdgeCnnError("pi: it went away")

    monkeypatch.setattr(Board, "settings", gone)
    with pytest.raises(EdgeCnnError, match="pi: it went away"):
        settled(exported, ["int8.tflite"], Board())


@pytest.mark.parametrize(
    ("settings", "best"),
    [
        (TRIED, 1),
        ((TRIED[0], replace(TRIED[1], ratio=Interval(0.98, 0.96, 1.0))), None),
        ((TRIED[0], replace(TRIED[1], verdict="FAIL")), None),
        ((*TRIED, replace(TRIED[1], threads=4, ratio=Interval(0.5, 0.4, 0.9))), 2),
        (TRIED[:1], None),
    ],
    ids=["a gain", "no certain gain", "less accurate", "a larger gain", "nothing else"],
)
def test_the_best_setting_is_shown_to_gain_and_not_to_lose_accuracy(settings: tuple[Setting, ...], best: int | None) -> None:
    assert Settings("a board", "time", settings).best == (None if best is None else settings[best])
