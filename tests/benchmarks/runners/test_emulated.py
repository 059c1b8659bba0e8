"""Instruction counts as ratios; `make test-pi` runs what counts them."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from edgecnn.benchmarks.emulator import packages
from edgecnn.benchmarks.emulator.counting import Stretch
from edgecnn.benchmarks.emulator.userland import HOME, PROJECT, SYSTEMS
from edgecnn.benchmarks.runners import emulated
from edgecnn.benchmarks.runners.emulated import Emulated
from edgecnn.benchmarks.runners.timed import named_runtimes
from edgecnn.edge.errors import InvalidMeasurement, MissingDependency
from tests.benchmarks.measure.benchmarking import keep_only


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """What the emulator answers; and the board that it was given."""
    answer: dict[str, Any] = {
        "counted": [("0.tflite", None), ("1.tflite", None)],
        "stretches": [Stretch(2_000_000, 200), Stretch(1_000_000, 100)],
        "runs": set(),
    }

    def count(board: Any, program: str, first: str, step: str, *runs: str) -> tuple[str, list[Stretch]]:
        home, project = board.folders[HOME], board.folders[PROJECT]
        answer["files"] = sorted(path.name for path in (home / "tuning").iterdir())
        answer["program"] = (home / program).read_text()
        answer["project"] = {path.name for path in (project / "edgecnn").iterdir()}
        answer["cpu"] = board.cpu
        answer["runs"].add(tuple(map(int, runs)))
        answer["runtimes"] = json.loads((home / "runtimes.json").read_text())
        share = slice(int(first), None, int(step))
        return f"noise\n{json.dumps(answer['counted'][share])}\n", answer["stretches"][share]

    monkeypatch.setattr(emulated, "count", count)
    monkeypatch.setattr(emulated, "site_of", lambda system, formats: answer.update(formats=formats) or tmp_path)
    return answer


def test_a_files_cost_is_its_instructions_divided_by_the_bases(counted: dict[str, Any], exported: Path) -> None:
    core = Emulated("cortex-a72", 60, lambda text: None, ("tflite",))
    found = core.compare(exported, "0.tflite", thorough=True)
    assert found["1.tflite"].estimate == 0.5
    assert found["1.tflite"].low < 0.5 < found["1.tflite"].high < 0.501
    assert counted["cpu"] == "pi4"
    assert counted["formats"] == ("tflite",)
    assert counted["runtimes"] == [None]
    core.compare(exported, "0.tflite", thorough=False)
    thorough, brief = sorted(counted["runs"], reverse=True)
    # Both warm up, and count more than one run: else nothing would show that a count is steady.
    assert min(brief) > 1
    assert sum(brief) < sum(thorough)
    assert {"int8.tflite", "manifest.json"} <= set(counted["files"])
    assert "def main" in counted["program"]
    # The whole package, of which only links lead to three folders.
    assert {"edge", "benchmarks", "convert", "workflows", "__init__.py"} <= counted["project"]
    assert core.machine == "an emulated Cortex-A72"


def test_the_one_file_is_counted_with_each_runtime_that_is_there_and_one_thread(
    counted: dict[str, Any], artifacts: Path
) -> None:
    keep_only(artifacts, "model.keras", "float32.tflite")
    counted["counted"] = [("float32.tflite", None), ("float32.tflite", "litert-fp16")]
    default, other = Emulated("cortex-a76", 60, lambda text: None, ("tflite",)).settings(artifacts, 0.5)
    assert counted["runtimes"] == [None, *named_runtimes("tflite")]
    assert (default.runtime, default.ratio.estimate) == (None, 1)
    assert (other.runtime, other.threads, other.ratio.estimate, other.verdict) == ("litert-fp16", 1, 0.5, "UNJUDGED")
    assert (other.p50_ns, other.p99_ns) == (None, None)


def test_files_are_counted_with_the_runtime_that_they_are_tuned_for(counted: dict[str, Any], three_files: Path) -> None:
    counted["counted"] = [(name, "litert-fp16") for name, _ in counted["counted"]]
    core = Emulated("cortex-a76", 60, lambda text: None, ("tflite",), "litert-fp16")
    assert core.compare(three_files, "0.tflite", thorough=True)["1.tflite"].estimate == 0.5
    assert counted["runtimes"] == ["litert-fp16"]
    counted["counted"], counted["stretches"] = [], []
    with pytest.raises(MissingDependency, match=r"emulated Cortex-A76.*not run litert-fp16.*omit tune_runtime"):
        core.compare(three_files, "0.tflite", thorough=True)


def test_a_count_that_is_not_the_same_each_time_is_none(counted: dict[str, Any], exported: Path) -> None:
    counted["stretches"] = [Stretch(2_000_000, 200), Stretch(1_000_000, 50_000)]
    with pytest.raises(InvalidMeasurement, match=r"1\.tflite"):
        Emulated("cortex-a53", 60, lambda text: None, ("tflite",)).compare(exported, "0.tflite", thorough=False)


@pytest.mark.parametrize(
    ("formats", "runtimes"), [(("tflite",), {"ai-edge-litert"}), (("onnx", "ncnn"), {"onnxruntime", "ncnn"})]
)
def test_a_board_gets_the_packages_of_its_files_formats_and_no_others(
    formats: tuple[str, ...], runtimes: set[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    installed: list[str] = []
    monkeypatch.setenv("EDGECNN_PI_CACHE", str(tmp_path))
    monkeypatch.setattr(packages, "install", lambda system, folder, *wanted: installed.extend(wanted))
    packages.site_of(SYSTEMS["trixie-arm64"], formats)
    assert {re.split("[<>=]", package)[0] for package in installed} == {"numpy", "typer", "rich"} | runtimes
