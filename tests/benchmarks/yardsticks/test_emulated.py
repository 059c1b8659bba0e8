"""Instruction counts as ratios; `make test-pi` runs what counts them."""

import json
from pathlib import Path
from typing import Any

import pytest

from edgecnn.benchmarks.emulator.counting import Stretch
from edgecnn.benchmarks.emulator.userland import HOME, PROJECT
from edgecnn.benchmarks.yardsticks import emulated
from edgecnn.benchmarks.yardsticks.emulated import Emulated
from edgecnn.edge.errors import InvalidMeasurement


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """What the emulator answers; and the board that it was given."""
    answer: dict[str, Any] = {"stretches": [Stretch(2_000_000, 200), Stretch(1_000_000, 100)], "runs": set()}

    def count(board: Any, program: str, first: str, step: str, *runs: str) -> tuple[str, list[Stretch]]:
        home, project = board.folders[HOME], board.folders[PROJECT]
        answer["files"] = sorted(path.name for path in (home / "tuning").iterdir())
        answer["program"] = (home / program).read_text()
        answer["project"] = {path.name for path in (project / "edgecnn").iterdir()}
        answer["cpu"] = board.cpu
        answer["runs"].add(tuple(map(int, runs)))
        share = slice(int(first), None, int(step))
        return f"noise\n{json.dumps(['0.tflite', '1.tflite'][share])}\n", answer["stretches"][share]

    monkeypatch.setattr(emulated, "count", count)
    monkeypatch.setattr(emulated, "site_of", lambda system: tmp_path)
    return answer


def test_a_files_cost_is_its_instructions_divided_by_the_bases(counted: dict[str, Any], exported: Path) -> None:
    core = Emulated("cortex-a72", 60, lambda text: None)
    found = core.compare(exported, "0.tflite", thorough=True)
    assert found["1.tflite"].estimate == 0.5
    assert found["1.tflite"].low < 0.5 < found["1.tflite"].high < 0.501
    assert counted["cpu"] == "pi4"
    core.compare(exported, "0.tflite", thorough=False)
    thorough, brief = sorted(counted["runs"], reverse=True)
    # Both warm up, and count more than one run: else nothing would show that a count is steady.
    assert min(brief) > 1
    assert sum(brief) < sum(thorough)
    assert {"int8.tflite", "manifest.json"} <= set(counted["files"])
    assert "def main" in counted["program"]
    # The whole package, of which only links lead to three folders.
    assert {"edge", "benchmarks", "convert", "api", "__init__.py"} <= counted["project"]
    assert core.machine == "an emulated Cortex-A72"


def test_a_count_that_is_not_the_same_each_time_is_none(counted: dict[str, Any], exported: Path) -> None:
    counted["stretches"] = [Stretch(2_000_000, 200), Stretch(1_000_000, 50_000)]
    with pytest.raises(InvalidMeasurement, match=r"1\.tflite"):
        Emulated("cortex-a53", 60, lambda text: None).compare(exported, "0.tflite", thorough=False)
