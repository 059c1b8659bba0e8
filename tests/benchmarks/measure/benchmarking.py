"""A quick benchmark of a folder."""

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from edgecnn.benchmarks.gate.budget import load_budgets
from edgecnn.benchmarks.gate.gate import Policy
from edgecnn.benchmarks.measure.candidates import folder_candidates
from edgecnn.benchmarks.measure.options import BenchOptions, Plan
from edgecnn.benchmarks.measure.run import benchmark
from edgecnn.benchmarks.results.records import Report
from edgecnn.edge.data.splits import Split
from edgecnn.edge.files import sha256
from edgecnn.edge.manifest import Manifest
from edgecnn.edge.model.preprocess import Floats
from edgecnn.edge.model_folder import ModelFolder
from edgecnn.edge.runtimes import opener_for
from edgecnn.edge.runtimes.base import Opener

PLAN = Plan(min_seconds=0, min_runs=4, launches=1, rounds=2)


def openers(*formats: str) -> dict[str, tuple[Opener, ...]]:
    return {name: (opener_for(name),) for name in formats}


def run(
    folder: Path,
    test: Split,
    *formats: str,
    threads: tuple[int, ...] = (1,),
    policy: Policy = Policy(),  # noqa: B008  # Frozen.
    runs: int = PLAN.min_runs,
    profile: bool = False,
    **limits: float,
) -> Report:
    options = BenchOptions(threads, replace(PLAN, min_runs=runs), profile=profile)
    return benchmark(
        folder_candidates(ModelFolder(folder), options, openers(*formats), test),
        options,
        load_budgets(None, {"max_drop_points": 100.0, **limits}, ()),
        policy,
        command="edgecnn bench",
        versions={},
    )


def change_manifest(folder: Path, change: Callable[[Manifest], Manifest]) -> None:
    change(Manifest.load(folder)).save(folder)


def keep_only(folder: Path, *names: str) -> None:
    """Let a manifest list these files alone."""
    change_manifest(folder, lambda old: replace(old, artifacts=tuple(item for item in old.artifacts if item.path in names)))


def change_reference(**fields: Any) -> Callable[[Manifest], Manifest]:
    def change(manifest: Manifest) -> Manifest:
        assert manifest.reference
        return replace(manifest, reference=replace(manifest.reference, **fields))

    return change


def write_reference(folder: Path, probabilities: Floats) -> None:
    buffer = io.BytesIO()
    np.save(buffer, probabilities)
    (folder / "reference.npy").write_bytes(buffer.getvalue())
    change_manifest(folder, change_reference(sha256=sha256(buffer.getvalue())))
