"""A small benchmark of real files, run once."""

from dataclasses import replace
from pathlib import Path

import pytest

from edgecnn.benchmarks.gate.budget import load_budgets
from edgecnn.benchmarks.gate.gate import Policy
from edgecnn.benchmarks.machine.noise import Load
from edgecnn.benchmarks.measure.candidates import folder_candidates
from edgecnn.benchmarks.measure.options import BenchOptions, Plan
from edgecnn.benchmarks.measure.run import benchmark
from edgecnn.benchmarks.results.records import Report
from edgecnn.benchmarks.timing.times import Times
from edgecnn.edge.data.splits import Split
from edgecnn.edge.model_folder import ModelFolder
from tests.benchmarks.board import make_board
from tests.benchmarks.measure.benchmarking import openers


@pytest.fixture(scope="session")
def measured(three_files: Path, test_split: Split) -> Report:
    """A result of `three_files`, with everything measured except a sweep."""
    options = BenchOptions(
        plan=Plan(min_seconds=0.02, min_runs=400, launches=3, rounds=2),
        percents=(50.0, 90.0, 99.9),
        batch=4,
        rate=500.0,
        sustained_seconds=0.05,
        profile=True,
        paced_seconds=0.1,
    )
    return benchmark(
        folder_candidates(ModelFolder(three_files), options, openers("tflite", "onnx"), test_split),
        options,
        load_budgets(None, {"max_drop_points": 100.0, "max_size_kib": 10_000.0}, ()),
        Policy(("noise",)),
        command="edgecnn bench",
        versions={"edgecnn": "0", "numpy": "0"},
    )


@pytest.fixture
def quiet(measured: Report) -> Report:
    """`measured`, as if the machine had been quiet."""
    return replace(measured, noise=(), allowed=(), load=Load(1.0, 0.01, 0.0), empty_call=Times.pack([1]))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of a stand-in for a board: see `make_board`."""
    return make_board(tmp_path, monkeypatch)
