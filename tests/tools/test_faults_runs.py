"""What a run of the torture reaches, however short, and what it keeps when these tools fail."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgecnn.__main__ import main
from edgecnn.convert.export.program_files import program_file
from edgecnn.edge.manifest import Manifest
from tools.faults import __main__ as torture
from tools.faults.bases import MODELS, write_inputs
from tools.faults.files import Try, lay, planned, torture_files
from tools.faults.judge import OF_FILES, Column
from tools.faults.kills import SCENES, kills_of
from tools.faults.kinds import KINDS
from tools.faults.lay import Laid, mended_bundle
from tools.faults.mutators.arrays import NPY, NPZ, ZIP, members
from tools.faults.mutators.images import IDX, PNG
from tools.faults.mutators.models import KERAS, ONNX, TFLITE
from tools.faults.mutators.plain import BYTES, Random
from tools.faults.mutators.text import FIELDS, JSON, TEXT_LINES, hostile_number
from tools.faults.scarce import SHORTAGES, scene_of
from tools.faults.table import Log, Outcome


def test_ten_thousand_files_are_of_at_least_sixteen_kinds() -> None:
    tries = planned(10_000)
    assert len({kind.name for kind in KINDS}) >= 16
    assert abs(len(tries) - 10_000) <= len(KINDS)
    assert {item.kind.name for item in tries} == {kind.name for kind in KINDS}


@pytest.fixture(scope="module")
def bases(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Valid files as `make_bases` makes them, of a model that need not be trained."""
    folder = tmp_path_factory.mktemp("bases")
    write_inputs(folder)
    shutil.copytree(exported, folder / "m")
    (folder / "m" / "labels.txt").write_text("0\n1\n2\n")
    manifest = Manifest.load(folder / "m")
    labels = program_file(folder / "m" / "labels.txt", manifest.source().sha256)
    replace(manifest, for_programs=(labels,)).save(folder / "m")
    assert main(["bundle", str(folder / "m"), "--out", str(folder / "m.zip"), "--images", "20"]) == 0
    (folder / "bare").mkdir()
    for name in (*MODELS, "model.keras"):
        shutil.copy(exported / name, folder / "bare")
    for name in ("result.json", "newer.json"):
        shutil.copy(Path(__file__).parents[1] / "benchmarks/kept_results/schema-5.json", folder / name)
    return folder


def test_every_file_of_a_bundle_is_altered_in_some_try(bases: Path, tmp_path: Path) -> None:
    files = members((bases / "m.zip").read_bytes())
    assert "labels.txt" in files
    laid = set[str]()
    for number in range(150):
        (tmp_path / str(number)).mkdir()
        laid.add(mended_bundle(bases, tmp_path / str(number), np.random.default_rng(number), number).how.partition(",")[0])
    assert laid == {*files}


def test_the_short_run_of_ci_reaches_every_row_and_every_alteration(bases: Path, tmp_path: Path) -> None:
    rule = (Path(__file__).parents[2] / "Makefile").read_text().partition("\ntorture-ci:")[2].partition("-m tools.faults ")[2]
    chosen = torture.parsed(rule.splitlines()[0].split())
    assert not chosen.kind
    assert chosen.pairs  # Every hole is planted once, whatever their number.
    tries, how = planned(chosen.files), set[str]()
    for place, item in enumerate(tries):
        how.update(lay(item, bases, tmp_path / str(place), chosen.seed).how.replace(",", "").split(" then ")[0].split())
        shutil.rmtree(tmp_path / str(place))
    assert {item.kind.name for item in tries} == {kind.name for kind in KINDS}
    tables = (BYTES, JSON, FIELDS, TEXT_LINES, NPY, ZIP, NPZ, IDX, PNG, TFLITE, ONNX, KERAS, (hostile_number,))
    assert {mutator.__name__.split()[-1] for table in tables for mutator in table} <= how
    assert {Path(name).suffix for name in how} >= {".json", ".npy", ".onnx", ".tflite", ".txt"}
    assert all(kills_of(scene, chosen.kills) for scene in SCENES)
    short = {scene_of(place, number, chosen.scarce).name for place in range(len(SHORTAGES)) for number in range(chosen.scarce)}
    assert short == {scene.name for scene in SCENES} - {"sweep"}


def test_an_alteration_that_fails_is_a_finding_and_the_others_are_tried(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(bases: Path, folder: Path, rng: Random, turn: int) -> Laid:
        if turn == 1:
            raise KeyError(".txt")
        return Laid("digit.png", "none")

    kind = replace(KINDS[0], lay=broken, commands=("frobnicate",), seldom=())
    log = Log("altered files", OF_FILES, lambda line: None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tools.faults.files.KINDS", [kind])
        torture_files(tmp_path, tmp_path / "out", 1, [Try(kind, number) for number in range(3)], 2, log)
    (found,) = log.findings
    assert (found.column, found.what) == (Column.UNTRIED, "1")
    assert ".txt" in found.reason
    assert log.tried == 3
    assert "Traceback" in capsys.readouterr().err


def test_what_was_found_before_the_tools_failed_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def found(bases: Path, out: Path, pairs: int, log: Log) -> None:
        log.add(Outcome("a hole", Column.VERDICT, "injected", "bench m", "PASS"))
        raise IndexError("planted")

    monkeypatch.setenv("XDG_CACHE_HOME", "")
    for name in ("make_bases", "require_valid"):
        monkeypatch.setattr(torture, name, lambda *folders: None)
    monkeypatch.setattr(torture, "torture_verdicts", found)
    with pytest.raises(IndexError, match="planted"):
        torture.main(["--files", "0", "--kills", "0", "--deploys", "0", "--scarce", "0", "--out", str(tmp_path)])
    assert "WRONG VERDICT | a hole | injected | edgecnn bench m | PASS" in capsys.readouterr().out
