"""What boards are compared with."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgecnn.benchmarks.emulator.userland import HOME, SYSTEMS, Board
from edgecnn.edge.formats import RUNTIMES
from tools.pi import prove


def test_a_runtime_for_another_cpu_must_run_there_what_the_default_one_runs_here(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[str] = []

    def here(home: Path, *runtime: str) -> dict[str, Any]:
        asked.extend(runtime)
        return dict.fromkeys(["int8.tflite"] if runtime else ["float32.tflite", "int8.tflite", "int8.onnx"], np.zeros(1))

    monkeypatch.setattr(prove, "_run_here", here)
    monkeypatch.setattr(prove, "_fill", lambda home, bundle: None)
    named = [row for row in RUNTIMES.values() if row.by_name]
    found, runs = prove._on_workstation(tmp_path, tmp_path / "mnist.zip", named)
    assert set(found) == {"float32.tflite", "int8.tflite", "int8.onnx"}
    assert runs == {"litert-fp16": {"float32.tflite", "int8.tflite"}, "openvino": {"int8.tflite"}}
    assert asked == ["openvino"]


def test_a_named_runtime_that_runs_no_file_here_is_a_problem_since_nothing_is_compared(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = {"int8.tflite": np.zeros((1, 2), np.float32)}
    monkeypatch.setattr(prove, "_run_there", lambda board, bundle, *runtime: (found, ""))
    board = Board(SYSTEMS["trixie-arm64"], "pi5", {HOME: tmp_path / "home"})
    row = RUNTIMES["openvino"]
    (problem,) = prove._named(board, tmp_path / "mnist.zip", found, row, ())
    assert "openvino" in problem
    assert prove._named(board, tmp_path / "mnist.zip", found, row, ("int8.tflite",)) == []


def test_a_runtime_runs_on_the_boards_that_have_its_instructions() -> None:
    half, other = RUNTIMES["litert-fp16"], RUNTIMES["openvino"]
    boards = ("pi2", "pi3", "pi4", "pi5")
    assert [prove.has_instructions(cpu, half) for cpu in boards] == [False, False, False, True]
    assert all(prove.has_instructions(cpu, other) for cpu in boards)
    for row in RUNTIMES.values():
        assert prove.has_instructions("pi5", row), f"{row.name} runs on no board"


def test_float16_s_rounding_is_accepted_of_the_runtime_that_computes_in_it() -> None:
    assert (
        prove.allowed_of(RUNTIMES["openvino"])["float32.tflite"] < prove.allowed_of(RUNTIMES["litert-fp16"])["float32.tflite"]
    )
