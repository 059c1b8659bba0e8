"""Launches of real files in real processes: which works when, and files that change meanwhile."""

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from edgecnn.benchmarks.machine.host import read_cpu_times
from edgecnn.benchmarks.measure import launches
from edgecnn.benchmarks.measure.launches import measure
from edgecnn.benchmarks.measure.options import Plan
from edgecnn.benchmarks.timing.requests import Classify, Open
from edgecnn.benchmarks.timing.worker import ModelProcess
from edgecnn.edge.errors import ArtifactError
from edgecnn.edge.files import sha256
from edgecnn.edge.manifest import Manifest
from edgecnn.edge.model.interface import SCHEMES, Interface
from edgecnn.edge.result import SILENT
from tests.benchmarks.measure.launching import IMAGES, NAMES, Stepping, candidates, nothing


@dataclass(frozen=True)
class Seen:
    """One thing that a real process did, with the processes that were alive then."""

    kind: str
    pid: int
    alive: frozenset[int]


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[Seen]:
    """Record all requests to processes from here on; fail if one is asked while another works."""
    log: list[Seen] = []
    alive: dict[int, int] = {}
    working: list[int] = []

    class Watched(ModelProcess):
        def __init__(self, request: Open) -> None:
            super().__init__(request)
            alive[id(self)] = self._child.pid

        def _ask(self, request: Any) -> Any:
            assert not working
            working.append(self._child.pid)
            log.append(Seen(type(request).__name__, self._child.pid, frozenset(alive.values())))
            try:
                return super()._ask(request)
            finally:
                working.remove(self._child.pid)

        def close(self) -> None:
            super().close()
            assert not Path(f"/proc/{self._child.pid}").exists()
            alive.pop(id(self), None)

    monkeypatch.setattr(launches, "ModelProcess", Watched)
    return log


def test_real_files_run_in_a_fresh_process_each_and_one_at_a_time(seen: list[Seen], exported: Path) -> None:
    files = candidates(exported, *NAMES)
    plan = Plan(min_seconds=0, min_runs=600, launches=2, rounds=3)  # Before rounds of 100 runs come 10, also on a slow machine.
    result, answers = measure(files, plan, lambda processes, launches: [p.ask(Classify(IMAGES)) for p in processes], SILENT)
    opened = [entry.pid for entry in seen if entry.kind == "Open"]
    assert len(set(opened)) == len(opened) == 6
    rounds = [entry for entry in seen if entry.kind == "TimeRound"]
    assert Counter(entry.pid for entry in rounds) == dict.fromkeys(opened, 3)
    assert all(entry.alive == frozenset(opened[:3]) for entry in rounds[:9])
    assert all(entry.alive == frozenset(opened[3:]) for entry in rounds[9:])
    assert [answer.shape for answer, _ in answers] == [(4, 3)] * 3
    assert [opened.runtime.split()[0] for opened in result.opened] == ["ai-edge-litert"] * 2 + ["onnxruntime"]
    assert result.empty_call.count == 10_000
    for file in result.launches:
        assert [len(launch.rounds) for launch in file] == [3, 3]
        for launch in file:
            assert [(item.warm_up.count, item.measured.count) for item in launch.rounds] == [(10, 100)] * 3
            assert all(item.cpu_ns > 0 for item in launch.rounds)
            assert launch.warm_up.count >= 6  # Two runs, three blocks and a turn; on a slow machine, of an image each.
            assert launch.peak_memory_bytes >= launch.steady_memory_bytes > 2**20
    if read_cpu_times():
        assert result.load
        assert result.load.seconds > 0


def replace_at(moment: str, path: Path, data: bytes) -> Any:
    def step(done: int, total: int, text: str, detail: str = "") -> None:
        if f"{text}: {detail}".startswith(moment):
            path.write_bytes(data)

    return Stepping(step)


TINY = Plan(min_seconds=0, min_runs=2, launches=2, rounds=1)


def test_a_file_that_is_replaced_while_it_is_measured_is_an_error_that_names_it(artifacts: Path) -> None:
    path = artifacts / "int8.tflite"
    progress = replace_at("launch 1 of 2: round 1", path, (artifacts / "float32.tflite").read_bytes())
    with pytest.raises(ArtifactError, match=r"int8\.tflite is not.*manifest\.json.*edgecnn export"):
        measure(candidates(artifacts, "float32.tflite", "int8.tflite"), TINY, nothing, progress)


def test_a_file_that_is_exported_again_while_it_is_measured_is_an_error_that_names_it(artifacts: Path) -> None:
    (file,) = candidates(artifacts, "int8.tflite")
    files = [replace(file, request=replace(file.request, interface=Interface(SCHEMES["unit"])))]
    (artifacts / "manifest.json").unlink()
    progress = replace_at("launch 2 of 2: opening", artifacts / "int8.tflite", (artifacts / "float32.tflite").read_bytes())
    with pytest.raises(ArtifactError, match=r"int8\.tflite changed while.*run edgecnn bench"):
        measure(files, TINY, nothing, progress)


def test_a_stale_file_is_an_error_that_names_it(artifacts: Path) -> None:
    manifest = Manifest.load(artifacts)
    manifest.with_artifacts(replace(manifest.source(), sha256=sha256(b"a newer model"))).save(artifacts)
    with pytest.raises(ArtifactError, match=r"int8\.tflite is stale:.*Run edgecnn export"):
        measure(candidates(artifacts, "int8.tflite"), TINY, nothing, SILENT)
