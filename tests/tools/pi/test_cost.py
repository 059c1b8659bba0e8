"""How counts are compared with the baseline."""

import json
from dataclasses import replace
from typing import Any

import pytest

from edgecnn.benchmarks.emulator.counting import ProgramFailed, Stretch
from edgecnn.benchmarks.emulator.userland import SYSTEMS, Board
from tools.pi import cost
from tools.pi.cost import Cost, Costs, Uncounted, judge, to_markdown, together
from tools.pi.wheels import device_runtimes, files_of

COST = Cost("int8.tflite", "litert", "pi4", run=1_000_000, predict=1_100_000, run_spread=0, predict_spread=500)
BASELINE = Costs("trixie-arm64", {"numpy": "2.4.6"}, (COST, replace(COST, cpu="pi5")))


def counted(**changes: Any) -> Costs:
    return replace(BASELINE, costs=(replace(COST, **changes), BASELINE.costs[1]))


def test_more_than_a_hundredth_above_the_baseline_is_told_with_file_core_and_part() -> None:
    (problem,) = judge(counted(run=1_010_001), BASELINE)
    assert all(part in problem for part in ("int8.tflite in litert on cortex-a72:", "run takes 1,010,001", "+1.0%"))
    (problem,) = judge(counted(predict=1_200_000), BASELINE)
    assert "predict takes 1,200,000" in problem
    assert judge(counted(run=1_010_000, predict=1_111_000), BASELINE) == []
    assert judge(counted(run=500_000, predict=600_000), BASELINE) == []


def test_a_count_that_changes_from_call_to_call_is_no_count() -> None:
    (problem,) = judge(counted(predict_spread=12_000), BASELINE)
    assert "differ by more than 1%" in problem


def test_more_than_what_the_converter_alone_makes_is_told() -> None:
    plain = replace(COST, file="plain-int8.tflite", run=999_999)
    both = replace(BASELINE, costs=(*BASELINE.costs, plain))
    assert judge(both, both) == [
        "int8.tflite in litert on cortex-a72: run takes 1,000,000 instructions, plain-int8.tflite 999,999"
    ]
    same = replace(both, costs=(*BASELINE.costs, replace(plain, run=1_000_000)))
    assert judge(same, same) == []


def test_a_file_or_a_runtime_without_a_baseline_is_told_with_the_command_that_makes_one() -> None:
    (problem,) = judge(replace(BASELINE, costs=(*BASELINE.costs, replace(COST, file="new.onnx"))), BASELINE)
    assert all(part in problem for part in ("new.onnx in litert on cortex-a72", "no baseline", "make arm-cost-baseline"))
    other = replace(COST, runtime="tflite-runtime", run=3_000_000)
    (problem,) = judge(replace(BASELINE, costs=(*BASELINE.costs, other)), BASELINE)
    assert all(part in problem for part in ("int8.tflite in tflite-runtime on cortex-a72", "no baseline"))


def test_a_file_of_the_baseline_that_was_not_counted_is_told_with_its_reason() -> None:
    (problem,) = judge(replace(BASELINE, costs=BASELINE.costs[:1]), BASELINE)
    assert all(part in problem for part in ("int8.tflite in litert on cortex-a76", "not counted"))
    failed = Uncounted(("int8.tflite",), "litert", ("pi5",), "SIGILL")
    (problem,) = judge(replace(BASELINE, costs=BASELINE.costs[:1], uncounted=(failed,)), BASELINE)
    assert all(part in problem for part in ("int8.tflite in litert on cortex-a76", "not counted: SIGILL"))
    failed = Uncounted(("int8.onnx",), "openvino", ("pi5",), "SIGILL")
    assert judge(replace(BASELINE, uncounted=(failed,)), BASELINE) == []


def test_other_versions_are_told_with_the_problems_that_they_may_explain() -> None:
    assert judge(replace(BASELINE, versions={"numpy": "3.0"}), BASELINE) == []
    *_, last = judge(replace(counted(run=2_000_000), versions={"numpy": "3.0"}), BASELINE)
    assert all(part in last for part in ("now numpy 3.0", "baseline numpy 2.4.6"))


def test_the_table_has_a_row_for_each_file_and_runtime_and_for_what_was_not_counted() -> None:
    other = replace(COST, file="int8.onnx", runtime="openvino", run=400_000)
    assert to_markdown(replace(BASELINE, costs=(*BASELINE.costs, other))).splitlines()[-4:] == [
        "| file | runtime | A72 (Pi 4): run | predict | A76 (Pi 5): run | predict |",
        "|---|---|--:|--:|--:|--:|",
        "| int8.tflite | litert | 1,000 | 1,100 | **1,000** | 1,100 |",
        "| int8.onnx | openvino | **400** | 1,100 |  |  |",
    ]
    failed = Uncounted(("float32.onnx", "int8.onnx"), "openvino", ("pi4", "pi5"), "SIGILL")
    assert to_markdown(replace(BASELINE, uncounted=(failed,))).splitlines()[-3:] == [
        "| not counted | runtime | core | reason |",
        "|---|---|---|---|",
        "| float32.onnx, int8.onnx | openvino | cortex-a72, cortex-a76 | SIGILL |",
    ]


def test_files_that_lack_a_count_for_one_reason_are_one_row() -> None:
    rows = [
        Uncounted((file,), "litert-fp16", (cpu,), "no asimdhp") for cpu in ("pi3", "pi4") for file in ("a.tflite", "b.tflite")
    ]
    assert together(rows) == (Uncounted(("a.tflite", "b.tflite"), "litert-fp16", ("pi3", "pi4"), "no asimdhp"),)
    assert together([*rows, Uncounted(("c.tflite",), "litert-fp16", ("pi4",), "no asimdhp")]) == (
        Uncounted(("a.tflite", "b.tflite"), "litert-fp16", ("pi3",), "no asimdhp"),
        Uncounted(("a.tflite", "b.tflite", "c.tflite"), "litert-fp16", ("pi4",), "no asimdhp"),
    )
    other = Uncounted(("a.tflite",), "litert-fp16", ("pi5",), "SIGILL")
    assert together([rows[0], other]) == (rows[0], other)


def test_the_baseline_has_every_file_in_every_runtime_of_a_board() -> None:
    baseline = json.loads(cost.BASELINE.read_text())
    found = {(row["file"], row["runtime"], row["cpu"]) for row in baseline["costs"]}
    found |= {(file, row["runtime"], cpu) for row in baseline["uncounted"] for file in row["files"] for cpu in row["cpus"]}
    system = SYSTEMS[baseline["system"]]
    wanted = {
        (file, row.name, cpu)
        for row in device_runtimes()
        for file in files_of(row, cost.FILES_AND_PLAIN)
        for cpu in system.cpus
    }
    assert wanted == found, "run make arm-cost-baseline"


def test_a_file_that_crashes_a_runtime_does_not_take_its_other_files_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def crashing(board: Any, program: str, runtime: str, *files: str) -> tuple[str, list[Stretch]]:
        if "int8.onnx" in files:
            raise ProgramFailed("counted.py failed", "SIGSEGV")
        return '{"openvino": "2026.4.1"}\n', [Stretch(1000, 0), Stretch(1100, 5)] * len(files)

    monkeypatch.setattr(cost, "count", crashing)
    board = Board(SYSTEMS["trixie-arm64"], "pi4", {})
    counted = cost.count_in(board, "openvino", ["float32.onnx", "int8.onnx"])
    assert counted.versions == {"openvino": "2026.4.1"}
    assert counted.costs == (Cost("float32.onnx", "openvino", "pi4", 1000, 1100, 0, 5),)
    assert counted.uncounted == (Uncounted(("int8.onnx",), "openvino", ("pi4",), "SIGSEGV"),)
