"""A board as a runner, whose answer is a kept result."""

import shutil
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgecnn.benchmarks.results.read import read_report
from edgecnn.benchmarks.results.records import DEVICES_SCHEMA, DeviceResult, DeviceResults
from edgecnn.benchmarks.runners import timed
from edgecnn.benchmarks.runners.timed import OverSsh
from edgecnn.convert.export.tune import folder_of
from edgecnn.edge.data.splits import Split
from edgecnn.edge.errors import EdgeCnnError
from edgecnn.edge.export_records import ProgramFile
from edgecnn.edge.manifest import Manifest

KEPT = Path(__file__).parents[1] / "kept_results/schema-3.json"


def test_a_board_gets_a_bundle_of_the_files_and_its_times_are_compared(
    exported: Path, test_split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    report, members, arguments = read_report(KEPT), set[str](), list[tuple[str, ...]]()

    def answer(hosts: list[str], job: Any, command: str) -> DeviceResults:
        with zipfile.ZipFile(job.bundle) as bundle:
            members.update(bundle.namelist())
        arguments.append(job.arguments)
        return DeviceResults(DEVICES_SCHEMA, command, (DeviceResult(hosts[0], None, report),))

    monkeypatch.setattr(timed, "bench_devices", answer)
    board = OverSsh("pi4", test_split, 60)
    assert board.machine == "pi4"
    base, other = (file.name for file in report.files[:2])
    found = board.compare(exported, base, thorough=False)
    assert found[base].estimate == 1
    assert found[other].estimate > 0
    assert {"int8.tflite", "int8.onnx", "manifest.json"} <= members
    assert board.machine == (report.machine.cpu or report.machine.machine)
    board.compare(exported, base, thorough=True)
    briefly, thoroughly = arguments
    assert set(thoroughly) - set(briefly) == {"--until-width=3"}
    assert "--launches=1" in set(briefly) - set(thoroughly)


def test_a_folder_of_a_search_is_a_bundle_without_the_files_for_other_programs(
    exported: Path, test_split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    report, labels = read_report(KEPT), ProgramFile("labels.txt", 1, "0" * 64, "0" * 64)
    manifest = replace(Manifest.load(exported), for_programs=(labels,))
    assert manifest.reference

    def answer(hosts: list[str], job: Any, command: str) -> DeviceResults:
        with zipfile.ZipFile(job.bundle) as bundle:
            assert "labels.txt" not in bundle.namelist()
        return DeviceResults(DEVICES_SCHEMA, command, (DeviceResult(hosts[0], None, report),))

    monkeypatch.setattr(timed, "bench_devices", answer)
    base = report.files[0].name
    (artifact,) = (artifact for artifact in manifest.exported if artifact.path == "int8.tflite")
    made = [(replace(artifact, path=base), (exported / "int8.tflite").read_bytes())]
    with folder_of(manifest, manifest.reference, (exported / manifest.reference.path).read_bytes(), made) as folder:
        assert OverSsh("pi4", test_split, 60).compare(folder, base, thorough=False)[base].estimate == 1


def test_a_board_measures_the_one_file_with_threads_up_to_its_cores_and_the_runtimes_that_need_a_name(
    exported: Path, test_split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, arguments = read_report(KEPT), list[tuple[str, ...]]()
    report = replace(kept, machine=replace(kept.machine, cores=4))

    def answer(hosts: list[str], job: Any, command: str) -> DeviceResults:
        arguments.append(job.arguments)
        return DeviceResults(DEVICES_SCHEMA, command, (DeviceResult(hosts[0], None, report),))

    monkeypatch.setattr(timed, "bench_devices", answer)
    folder = tmp_path / "one"
    shutil.copytree(exported, folder)
    manifest = Manifest.load(folder)
    one = tuple(artifact for artifact in manifest.artifacts if artifact.path in ("model.keras", "int8.tflite"))
    replace(manifest, artifacts=one).save(folder)
    board = OverSsh("pi4", test_split, 60)
    board.compare(folder, report.files[0].name, thorough=False)
    found = board.settings(folder, 0.5)
    assert len(found) == len(report.files)
    assert found[0].ratio.estimate == 1
    asked = arguments[-1]
    assert {"--threads=1,2,4", "--runtime=tflite", "--runtime=litert-fp16", "--max-drop=0.5"} <= set(asked)
    OverSsh("pi4", test_split, 60, "litert-fp16").compare(folder, report.files[0].name, thorough=False)
    assert "--runtime=litert-fp16" in arguments[-1]
    assert not any(argument.startswith("--runtime") for argument in arguments[0])
    assert asked.index("--runtime=tflite") < asked.index("--runtime=litert-fp16")


def test_a_board_without_a_result_is_one_line(exported: Path, test_split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = DeviceResults(DEVICES_SCHEMA, "", (DeviceResult("pi4", "it refuses your key", None),))
    monkeypatch.setattr(timed, "bench_devices", lambda *given: gone)
    with pytest.raises(EdgeCnnError, match=r"^pi4: it refuses your key"):
        OverSsh("pi4", test_split, 60).compare(exported, "int8.tflite", thorough=False)
