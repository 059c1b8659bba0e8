"""A board as a runner, whose answer is a kept result."""

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
from tests.benchmarks.measure.benchmarking import keep_only

KEPT = Path(__file__).parents[1] / "kept_results/schema-3.json"


class Answers:
    """What boards were asked for, all of which answer with a kept result."""

    def __init__(self) -> None:
        self.report = read_report(KEPT)
        self.names = [file.name for file in self.report.files]
        self.members = list[set[str]]()
        self.arguments = list[tuple[str, ...]]()

    def bench(self, hosts: list[str], job: Any, command: str) -> DeviceResults:
        with zipfile.ZipFile(job.bundle) as bundle:
            self.members.append({*bundle.namelist()})
        self.arguments.append(job.arguments)
        return DeviceResults(DEVICES_SCHEMA, command, (DeviceResult(hosts[0], None, self.report),))


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Answers:
    made = Answers()
    monkeypatch.setattr(timed, "bench_devices", made.bench)
    return made


def test_a_board_gets_a_bundle_of_the_files_and_its_times_are_compared(
    exported: Path, test_split: Split, answers: Answers
) -> None:
    board = OverSsh("pi4", test_split, 60)
    assert board.machine == "pi4"
    assert replace(board, board=answers.report.machine).machine == answers.report.machine.cpu
    base, other, *_ = answers.names
    found = board.compare(exported, base, thorough=False)
    assert found[base].estimate == 1
    assert found[other].estimate > 0
    assert {"int8.tflite", "int8.onnx", "manifest.json"} <= answers.members[0]
    board.compare(exported, base, thorough=True)
    briefly, thoroughly = answers.arguments
    assert set(thoroughly) - set(briefly) == {"--until-width=3"}
    assert "--launches=1" in set(briefly) - set(thoroughly)


def test_a_folder_of_a_search_is_a_bundle_without_the_files_for_other_programs(
    exported: Path, test_split: Split, answers: Answers
) -> None:
    labels = ProgramFile("labels.txt", 1, "0" * 64, "0" * 64)
    manifest = replace(Manifest.load(exported), for_programs=(labels,))
    assert manifest.reference
    base = answers.names[0]
    (artifact,) = (artifact for artifact in manifest.exported if artifact.path == "int8.tflite")
    made = [(replace(artifact, path=base), (exported / "int8.tflite").read_bytes())]
    with folder_of(manifest, manifest.reference, (exported / manifest.reference.path).read_bytes(), made) as folder:
        assert OverSsh("pi4", test_split, 60).compare(folder, base, thorough=False)[base].estimate == 1
    assert "labels.txt" not in answers.members[0]


def test_a_board_measures_the_one_file_with_threads_up_to_its_cores_and_the_runtimes_that_need_a_name(
    artifacts: Path, test_split: Split, answers: Answers
) -> None:
    keep_only(artifacts, "model.keras", "int8.tflite")
    board = OverSsh("pi4", test_split, 60, board=replace(answers.report.machine, cores=4))
    board.compare(artifacts, answers.names[0], thorough=False)
    found = board.settings(artifacts, 0.5)
    assert len(found) == len(answers.names)
    assert found[0].ratio.estimate == 1
    first, asked = answers.arguments
    assert {"--threads=1,2,4", "--runtime=tflite", "--runtime=litert-fp16", "--max-drop=0.5"} <= set(asked)
    assert asked.index("--runtime=tflite") < asked.index("--runtime=litert-fp16")
    assert not any(argument.startswith("--runtime") for argument in first)
    OverSsh("pi4", test_split, 60, "litert-fp16").compare(artifacts, answers.names[0], thorough=False)
    assert "--runtime=litert-fp16" in answers.arguments[-1]


def test_a_board_without_a_result_is_one_line(exported: Path, test_split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = DeviceResults(DEVICES_SCHEMA, "", (DeviceResult("pi4", "it refuses your key", None),))
    monkeypatch.setattr(timed, "bench_devices", lambda *given: gone)
    with pytest.raises(EdgeCnnError, match=r"^pi4: it refuses your key"):
        OverSsh("pi4", test_split, 60).compare(exported, "int8.tflite", thorough=False)
