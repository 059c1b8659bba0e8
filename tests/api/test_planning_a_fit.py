"""What a search within limits looks at, keeps and measures where, without training."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import edgecnn as ec
from edgecnn.benchmarks.emulator.counting import Stretch
from edgecnn.benchmarks.gate.gate import FAIL, INVALID, PASS, UNDECIDED, Policy, Verdict
from edgecnn.benchmarks.results.fit import NetworkCost
from edgecnn.benchmarks.results.read import read_report
from edgecnn.benchmarks.results.sweep import RungNetwork
from edgecnn.convert.training.config import TrainConfig
from edgecnn.edge.data.splits import ArraySplit
from edgecnn.edge.result import SILENT
from edgecnn.workflows import fit as fit_work
from edgecnn.workflows import fit_costs, prune
from edgecnn.workflows.fit import _goes_on
from edgecnn.workflows.fit_costs import FitJob
from edgecnn.workflows.networks import PlannedNetwork


def search(work: Any = None, device: str | None = None, **limits: float | None) -> FitJob:
    budget = ec.Budget(max_drop_points=None, **limits)
    return FitJob(work, TrainConfig(), (), (), budget, None, 30, device, None, Policy(()), "edgecnn fit", None)


def test_smaller_pictures_are_tried_where_larger_ones_are_too_slow_and_where_the_file_becomes_smaller_too() -> None:
    job = search(SimpleNamespace(name_of=lambda config: config.network), max_p90_ms=1.0, max_size_kib=10)
    slow = NetworkCost("slow", 1, 1, 10_000, 2e6, 2e6, "int8")
    costs = {"slow": slow, "large": replace(slow, size_bytes=11_000, p90_ns=1.0), "fine": replace(slow, p90_ns=1e6)}

    def gains(network: Any, cost: str) -> bool:
        work: Any = SimpleNamespace(size="size=64x64")
        return fit_work._may_gain(job, PlannedNetwork(work, TrainConfig(network=network)), {network: costs[cost]})

    assert [gains("residual", cost) for cost in ("slow", "large", "fine")] == [True, False, False]
    assert [gains("cnn", cost) for cost in ("slow", "large", "fine")] == [True, True, False]


@pytest.mark.parametrize(("side", "is_tried"), [(32, True), (24, False)])
def test_a_learnt_network_is_left_out_where_smaller_pictures_are_too_small_for_it(side: int, is_tried: bool) -> None:
    train: Any = ArraySplit(np.zeros((40, side, side, 3), np.uint8), np.arange(40) % 2)
    work: Any = SimpleNamespace(dataset=SimpleNamespace(train=train), size=f"size={side}x{side}")
    job: Any = SimpleNamespace(work=work, base=TrainConfig(), transfers=(TrainConfig(transfer="mobilenet-0.25"),))
    assert any(network.config.transfer for network in fit_work._candidates(job)) == is_tried


def test_of_two_precisions_the_faster_counts_that_is_small_enough() -> None:
    int8 = NetworkCost("cnn", 1, 1, 10_240, 3e6, 2e6, "int8")
    float32 = replace(int8, size_bytes=30_720, p90_ns=1e6, precision="float32")
    for limit, best in ((None, float32), (30, float32), (29, int8), (9, int8)):
        assert search(max_size_kib=limit).best_of([int8, float32]) == best


def test_costs_that_were_kept_are_judged_by_the_limits_of_each_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    int8 = NetworkCost("cnn", 1, 1, 10_240, 3e6, 2e6, "int8")
    float32 = replace(int8, size_bytes=30_720, p90_ns=1e6, precision="float32")
    measured = list[Any]()

    def costs(*given: Any) -> Any:
        measured.append(given)
        return int8, float32

    monkeypatch.setattr(fit_costs, "costs", costs)
    monkeypatch.setattr(fit_costs.FitJob, "machine", "a board")
    train = SimpleNamespace(shape=(8, 8, 1))
    work: Any = SimpleNamespace(
        dataset=SimpleNamespace(train=train, class_names=("a", "b")),
        file_of=lambda precision: precision,
        progress=SILENT,
        tuning=True,
    )
    for limit, best in ((None, float32), (20, int8), (None, float32)):
        job = replace(search(max_size_kib=limit), work=work)
        assert fit_costs.kept_costs(job, {"cnn": lambda: None}, tmp_path / "costs.json") == (best,)
    assert len(measured) == 1


def test_a_board_measures_a_folder_once_for_all_of_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = list[Path]()

    def bench(folder: Path, arguments: Any) -> Any:
        folders.append(folder)
        names = ("float32.tflite", "int8.tflite", "tuned.tflite")
        return SimpleNamespace(
            files=[SimpleNamespace(artifact=SimpleNamespace(path=name), folder=folder.name) for name in names]
        )

    monkeypatch.setattr(fit_costs, "OverSsh", lambda *given: SimpleNamespace(bench=bench))
    monkeypatch.setattr(
        fit_costs, "_judged", lambda job, report, name: next(f for f in report.files if f.artifact.path == name)
    )
    monkeypatch.setattr(fit_costs, "_timed", lambda result, brief: result)
    work = SimpleNamespace(exporting=SimpleNamespace(formats=("tflite",)), progress=SILENT)
    test: Any = None
    found: Any = fit_costs.measured(
        search(work, "pi4", max_p90_ms=2), tmp_path, ["a/tuned.tflite", "b/int8.tflite", "a/int8.tflite"], test
    )
    assert [(one.folder, one.artifact.path) for one in found] == [
        ("a", "tuned.tflite"),
        ("b", "int8.tflite"),
        ("a", "int8.tflite"),
    ]
    assert folders == [tmp_path / "a", tmp_path / "b"]


def test_the_largest_network_of_each_size_is_trained_before_the_second_of_any() -> None:
    work: dict[str, Any] = {size: SimpleNamespace(size=size, progress=SILENT) for size in ("", "size=64x64")}
    macs = {("a", ""): 9, ("b", ""): 8, ("c", ""): 7, ("a", "size=64x64"): 5}
    networks = {f"{name} {size}": PlannedNetwork(work[size], TrainConfig(network="strided")) for name, size in macs}
    costs: Any = {f"{name} {size}": SimpleNamespace(macs=value) for (name, size), value in macs.items()}
    job: Any = SimpleNamespace(is_within=lambda cost, times=1.0: cost.macs < 9, work=work[""])
    assert fit_work._to_train(job, networks, costs) == ["b ", "a size=64x64", "c "]


@pytest.mark.parametrize(
    ("right", "beyond", "count", "goes_on"),
    [
        ([90, 95, 80, 70], (), 2, [1, 0]),
        # One beyond the limits goes on only if it beats all that are within them, and never alone.
        ([90, 95, 80, 99], (3,), 2, [1, 3]),
        ([90, 95, 80, 94], (3,), 2, [1, 0]),
        ([90, 99, 80, 98], (1, 3), 3, [0, 2, 1]),
        ([90, 99], (1,), 1, [0]),
    ],
)
def test_the_most_accurate_go_on(right: Sequence[int], beyond: Sequence[int], count: int, goes_on: Sequence[int]) -> None:
    networks = [RungNetwork(str(place), 100, correct, 10, place, 1.0) for place, correct in enumerate(right)]
    assert _goes_on(networks, count, {str(place) for place in beyond}) == list(goes_on)


def test_a_board_s_files_are_judged_by_the_limits_alone_and_by_the_noise_that_this_search_allows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    report = read_report(Path("tests/benchmarks/kept_results/schema-3.json"))
    file = report.files[1]
    poor = replace(report, files=tuple(replace(item, verdict=Verdict(UNDECIDED, ())) for item in report.files))
    kib = file.artifact.size_bytes / 1024
    for limit, status in ((kib, PASS), (kib / 2, FAIL)):
        judged = fit_costs._judged(search(device="pi4", max_size_kib=limit), poor, file.artifact.path)
        assert judged.verdict.status == status
    given = list[Any]()

    def judge(*arguments: Any) -> Verdict:
        given.extend(arguments)
        return Verdict(PASS, ())

    monkeypatch.setattr(fit_costs, "judge", judge)
    job = replace(search(device="pi4", max_p90_ms=2), policy=Policy(("load",)))
    fit_costs._judged(job, poor, file.artifact.path)
    figures, budget, noise, policy = given
    assert (figures.accuracy, figures.name, budget, noise, policy) == (None, file.name, job.budget, report.noise, job.policy)


@pytest.mark.parametrize(("spread", "brief", "status"), [(10, False, PASS), (9_000, False, INVALID), (9_000, True, PASS)])
def test_a_count_that_is_not_steady_is_a_cost_and_no_verdict(exported: Path, spread: int, brief: bool, status: str) -> None:
    core: Any = SimpleNamespace(counts=lambda folder, thorough: {"0.tflite": Stretch(100_000, spread)})
    job = search(device="cortex-a72", max_size_kib=1000)
    (found,) = fit_costs._counted(job, core, exported.parent, [f"{exported.name}/int8.tflite"], brief)
    assert (found.status, found.instructions, found.p90_ns) == (status, 100_000, None)


def test_a_cut_goes_no_further_than_the_limits_ask_and_leaves_what_processes_differ_by() -> None:
    cost = NetworkCost("cnn", 1, 1, 30 * 1024, 3e6, 2e6, "int8")
    job = search(max_size_kib=50, max_p90_ms=1.5)
    assert prune._goal(job, cost, 4) == (0.95 * 1.5e6, 50 * 1024)
    time, size = prune._goal(job, cost, 1)
    assert 1.5e6 < time < 3e6
    assert size == 50 * 1024
    work: Any = SimpleNamespace(progress=SILENT, exporting=SimpleNamespace(formats=("tflite",)))
    core = replace(search(work, device="cortex-a72"), max_instructions=900_000)
    assert prune._goal(core, replace(cost, instructions=1_200_000), 4) == (900_000, float("inf"))
