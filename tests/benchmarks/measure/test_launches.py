"""Launches and rounds on fake processes: their order, and what is counted."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from edgecnn.benchmarks.measure.launches import measure
from edgecnn.benchmarks.measure.options import Plan
from edgecnn.benchmarks.results.records import Launch, Round
from edgecnn.benchmarks.timing.times import Times
from edgecnn.benchmarks.timing.worker import ModelProcess
from edgecnn.edge.errors import ArtifactError
from edgecnn.edge.result import SILENT
from tests.benchmarks.measure.fake_machine import PLAN, Machine
from tests.benchmarks.measure.launching import NAMES, Stepping, candidates, nothing


def test_every_answer_has_its_place_in_the_launches(machine: Machine, exported: Path) -> None:
    result, _ = measure(candidates(exported, *NAMES), PLAN, nothing, SILENT)
    assert [(opened.runtime, opened.images_per_run) for opened in result.opened] == [
        (f"fake {name}", number) for number, name in enumerate(NAMES, 4)
    ]
    assert [state.time for state in result.during] == ["1", "2", "3", "4", "5", "6"]
    assert result.empty_call == Times.pack([10_000, 2, 3])
    expected = tuple(
        tuple(
            Launch(
                import_ns=1000 + number,
                load_ns=2000 + number,
                warm_up=Times.pack([30, 20]),
                settled=number % 2 == 0,
                rounds=tuple(
                    Round(
                        Times.pack([9, 8, 7]),
                        Times.pack([100 * number + turn, 100 * number + turn + 50]),
                        4000 + turn,
                        1_000_000 + 100 * number + turn,
                        70 + turn,
                        turn,
                    )
                    for turn in (1, 2, 3)
                ),
                peak_memory_bytes=5000 + number,
                steady_memory_bytes=6000 + number,
            )
            for number in (file, file + 3)
        )
        for file in (1, 2, 3)
    )
    assert result.launches == expected


def test_all_files_are_opened_first_then_take_turns_and_are_closed_before_the_next_launch(
    machine: Machine, exported: Path
) -> None:
    measure(candidates(exported, *NAMES), PLAN, nothing, SILENT)
    kinds = [kind for kind, _ in machine.log]
    launch = ["open"] * 3 + (["TimeRound"] * 3 + ["state"]) * 3 + ["ReadMemory"] * 3
    assert kinds == launch + ["close"] * 3 + launch + ["TimeEmpty"] + ["ReadMemory"] * 3 + ["close"] * 3
    rounds = [number for kind, number in machine.log if kind == "TimeRound"]
    turns = [rounds[start : start + 3] for start in range(0, 18, 3)]
    assert [sorted(turn) for turn in turns] == [[1, 2, 3]] * 3 + [[4, 5, 6]] * 3
    assert len({turn[0] % 3 for turn in turns}) > 1


def test_over_many_rounds_each_file_is_first_about_equally_often(machine: Machine, exported: Path) -> None:
    plan = Plan(min_seconds=0.5 * 300, min_runs=600, launches=3, rounds=100)
    measure(candidates(exported, *NAMES), plan, nothing, SILENT)
    first = Counter(number % 3 for number in [number for kind, number in machine.log if kind == "TimeRound"][::3])
    assert all(70 < count < 130 for count in first.values())


def test_what_else_is_asked_comes_after_the_last_launchs_rounds(machine: Machine, exported: Path) -> None:
    def finish(processes: Sequence[ModelProcess], launches: object) -> str:
        assert [process.opened.import_ns for process in processes] == [1004, 1005, 1006]
        assert [kind for kind, _ in machine.log].count("TimeRound") == 18
        return "extras"

    _, extras = measure(candidates(exported, *NAMES), PLAN, finish, SILENT)
    assert extras == "extras"


def test_processes_end_when_what_else_is_asked_fails(machine: Machine, exported: Path) -> None:
    def finish(processes: Sequence[ModelProcess], launches: object) -> None:
        assert len(machine.open) == 3
        raise ArtifactError("broken")

    with pytest.raises(ArtifactError, match="broken"):
        measure(candidates(exported, *NAMES), PLAN, finish, SILENT)
    assert machine.open == []


def test_progress_counts_every_opening_and_every_turn(machine: Machine, exported: Path) -> None:
    steps: list[tuple[Any, ...]] = []
    progress = Stepping(lambda *step: steps.append(step))
    measure(candidates(exported, *NAMES), PLAN, nothing, progress)
    # One when all files are open; on a slow machine another, after the first file.
    assert 1 <= len(progress.lines) <= 2
    assert [done for done, *_ in steps] == list(range(24))
    assert {whole for _, whole, *_ in steps} == {24}
    assert steps[1][2:] == ("launch 1 of 2", "opening int8.tflite")
    assert steps[23][2] == "launch 2 of 2"
    assert steps[23][3].startswith("round 3 of 3, about ")
