"""A board as a yardstick, whose answer is a kept result."""

import zipfile
from pathlib import Path
from typing import Any

import pytest

from edgecnn.benchmarks.results.devices import SCHEMA, DeviceResult, DeviceResults
from edgecnn.benchmarks.results.read import read_report
from edgecnn.benchmarks.yardsticks import over_ssh
from edgecnn.benchmarks.yardsticks.over_ssh import OverSsh
from edgecnn.edge.data.splits import Split
from edgecnn.edge.errors import EdgeCnnError

KEPT = Path(__file__).parents[1] / "kept_results/schema-3.json"


def test_a_board_gets_a_bundle_of_the_files_and_its_times_are_compared(
    exported: Path, test_split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    report, members, arguments = read_report(KEPT), set[str](), list[tuple[str, ...]]()

    def answer(hosts: list[str], job: Any, command: str) -> DeviceResults:
        with zipfile.ZipFile(job.bundle) as bundle:
            members.update(bundle.namelist())
        arguments.append(job.arguments)
        return DeviceResults(SCHEMA, command, (DeviceResult(hosts[0], None, report),))

    monkeypatch.setattr(over_ssh, "bench_devices", answer)
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
    # A benchmark chooses its own length.
    assert set(thoroughly) < set(briefly)


def test_a_board_without_a_result_is_one_line(exported: Path, test_split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = DeviceResults(SCHEMA, "", (DeviceResult("pi4", "it refuses your key", None),))
    monkeypatch.setattr(over_ssh, "bench_devices", lambda *given: gone)
    with pytest.raises(EdgeCnnError, match=r"^pi4: it refuses your key"):
        OverSsh("pi4", test_split, 60).compare(exported, "int8.tflite", thorough=False)
