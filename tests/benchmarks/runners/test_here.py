"""This machine as a runner, with real files in real processes."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgecnn.benchmarks.measure.launches import measure
from edgecnn.benchmarks.measure.options import BenchOptions, Plan, PlanOptions
from edgecnn.benchmarks.results.read import read_report
from edgecnn.benchmarks.runners import timed
from edgecnn.benchmarks.runners.timed import BRIEF, Here, named_runtimes, pair_ratios
from edgecnn.edge.data.splits import Split
from edgecnn.edge.runtimes import opener_for
from edgecnn.edge.runtimes.base import Opener
from edgecnn.edge.runtimes.installed import is_installed
from tests.benchmarks.measure.benchmarking import keep_only

KEPT = Path(__file__).parents[1] / "kept_results/schema-3.json"


@pytest.mark.parametrize("thorough", [False, True])
def test_every_exported_file_is_compared_with_the_base(
    thorough: bool, artifacts: Path, test_split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    widths: list[float | None] = []

    def measured(candidates: Any, plan: Plan | PlanOptions, *others: Any) -> Any:
        widths.append(plan.until_width_percent)
        # Tiny files on a busy machine would take all 100 launches.
        return measure(candidates, plan if plan is BRIEF else PlanOptions(launches=5), *others)

    monkeypatch.setattr(timed, "measure", measured)
    keep_only(artifacts, "model.keras", "int8.tflite", "float32.tflite")
    machine = Here(test_split, 10)
    found = machine.compare(artifacts, "int8.tflite", thorough=thorough)
    assert set(found) == {"int8.tflite", "float32.tflite"}
    assert (found["int8.tflite"].estimate, found["int8.tflite"].high) == (1, 1)
    other = found["float32.tflite"]
    # One launch has no interval.
    assert (other.low < other.estimate < other.high) == thorough
    assert other.estimate > 0
    # Of a few launches on a busy machine, an interval would be too wide to show a gain.
    assert widths == [3 if thorough else None]
    assert machine.machine
    assert machine.unit == "time"


def test_files_are_compared_with_the_runtime_that_they_are_tuned_for(
    three_files: Path, test_split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def opened(name: str) -> Opener:
        asked.append(name)
        return opener_for(name)

    monkeypatch.setattr(timed, "opener_for", opened)
    found = Here(test_split, 10, "onnxruntime").compare(three_files, "int8.tflite", thorough=False)
    # The other format's files have their default one.
    assert dict(zip(found, asked, strict=True)) == {
        "float32.tflite": "tflite", "int8.tflite": "tflite", "float32.onnx": "onnxruntime",
    }  # fmt: skip


def test_the_one_file_is_measured_with_other_threads_and_runtimes(
    artifacts: Path, test_split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_only(artifacts, "model.keras", "float32.onnx")
    brief = Plan(min_seconds=0.01, min_runs=20, launches=2, rounds=2)
    monkeypatch.setattr(timed, "BenchOptions", partial(BenchOptions, plan=brief))
    monkeypatch.setattr(timed, "thread_counts", lambda cores: (1, 2))
    found = Here(test_split, 10).settings(artifacts, 100.0)
    runtimes = [None, *(name for name in named_runtimes("onnx") if is_installed(name))]
    assert [(one.runtime, one.threads) for one in found] == [(name, threads) for name in runtimes for threads in (1, 2)]
    assert found[0].ratio.estimate == 1
    assert all(one.ratio.low < one.ratio.estimate < one.ratio.high for one in found[1:])
    assert {one.verdict for one in found} == {"PASS"}


def test_a_ratio_of_one_launch_is_that_of_low_percentiles_and_of_several_that_of_the_report() -> None:
    files = {file.name: file for file in read_report(KEPT).files}
    base, *others = files
    found = pair_ratios({name: file.launches for name, file in files.items()}, base)
    briefly = pair_ratios({name: file.launches[:1] for name, file in files.items()}, base)
    for name in others:
        assert found[name].low <= found[name].estimate <= found[name].high
        assert briefly[name].low == briefly[name].estimate == briefly[name].high
        rounds = zip(files[name].launches[0].rounds, files[base].launches[0].rounds, strict=True)
        low = [np.percentile(own.measured.unpack(), 10) / np.percentile(of.measured.unpack(), 10) for own, of in rounds]
        assert briefly[name].estimate == pytest.approx(np.exp(np.log(low).mean()))
