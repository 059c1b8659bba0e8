"""A small benchmark of real files, run once."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.budgets import load_budgets
from benchmarks.gate import Policy
from benchmarks.latency import Plan
from benchmarks.lineup import folder_lineup
from benchmarks.options import Options
from benchmarks.results import Report
from benchmarks.run import benchmark
from convert.dataset import load_test
from edge.manifest import Manifest
from edge.runtimes import opener_for
from edge.splits import Split

NAMES = ("float32.tflite", "int8.tflite", "float32.onnx")


@pytest.fixture(scope="session")
def three_files(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like `exported` whose manifest lists model.keras and `NAMES` alone. Read it only."""
    folder = tmp_path_factory.mktemp("three") / "bars"
    shutil.copytree(exported, folder)
    manifest = Manifest.load(folder)
    kept = tuple(artifact for artifact in manifest.artifacts if artifact.path in ("model.keras", *NAMES))
    replace(manifest, artifacts=kept).save(folder)
    return folder


@pytest.fixture(scope="session")
def test_split(idx_folder: Path) -> Split:
    """The 60 test images of `exported`."""
    return load_test(idx_folder)


@pytest.fixture(scope="session")
def measured(three_files: Path, test_split: Split) -> Report:
    """A result of `NAMES`, with everything but a sweep measured."""
    options = Options(
        formats=("tflite", "onnx"),
        plan=Plan(min_seconds=0.02, min_runs=400, launches=3, rounds=2),
        percents=(50.0, 90.0, 99.9),
        batch=4,
        rate=500.0,
        sustained_seconds=0.05,
        profile=True,
        paced_seconds=0.1,
    )
    return benchmark(
        folder_lineup(three_files, options, {name: opener_for(name) for name in ("tflite", "onnx")}, test_split),
        options,
        load_budgets(None, {"max_drop_points": 100.0, "max_size_kib": 10_000.0}, ()),
        Policy(("noise",)),
        "edgecnn bench",
        {"edgecnn": "0", "numpy": "0"},
    )
