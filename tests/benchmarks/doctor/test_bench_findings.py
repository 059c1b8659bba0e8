"""The doctor's findings from the last benchmark of a folder."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edgecnn.benchmarks.doctor.examine import examine
from edgecnn.benchmarks.doctor.findings import Finding, bench_findings
from edgecnn.benchmarks.doctor.known_problems import WARNING
from edgecnn.benchmarks.results.records import Report
from edgecnn.edge.export_records import Interval, Tuned
from edgecnn.edge.manifest import Artifact, Manifest
from edgecnn.edge.model_folder import ModelFolder
from tests.benchmarks.doctor.examined import findings
from tests.benchmarks.slowed import slowed


@pytest.fixture
def slower(measured: Report, artifacts: Path) -> Report:
    """A result, kept in `artifacts`, in which int8.tflite takes a quarter longer than float32.tflite."""
    report = slowed(measured, "int8.tflite", "float32.tflite", 1.25)
    return kept(report, artifacts)


def kept(report: Report, folder: Path) -> Report:
    (folder / "bench.json").write_text(report.to_json())
    return report


def found(folder: Path, report: Report) -> list[Finding]:
    return bench_findings(ModelFolder(folder), report.machine)


def test_an_int8_file_that_was_slower_here_is_a_warning_of_doctor(
    slower: Report, artifacts: Path, only: Callable[..., None]
) -> None:
    only()
    warnings = [finding for finding in findings(examine(artifacts), "int8.tflite") if finding.status == WARNING]
    (text,) = [warning.text for warning in warnings]
    assert all(said in text for said in ("the last bench", "slower here than float32.tflite", ", 1.25 (1.25-1.25) of"))
    assert warnings[0].fix
    assert found(artifacts, slower) == warnings


def test_a_faster_file_is_none(measured: Report, artifacts: Path) -> None:
    faster = kept(slowed(measured, "int8.tflite", "float32.tflite", 0.5), artifacts)
    assert found(artifacts, faster) == []


def test_times_of_another_machine_are_not_this_one_s(slower: Report, artifacts: Path) -> None:
    other = replace(slower.machine, cpu="Cortex-A72")
    assert bench_findings(ModelFolder(artifacts), other) == []


def test_times_of_files_before_another_export_are_not_theirs(slower: Report, artifacts: Path) -> None:
    changed(artifacts, "int8.tflite", lambda artifact: replace(artifact, sha256="0" * 64))
    assert found(artifacts, slower) == []


def test_the_advice_is_not_given_where_it_was_taken(slower: Report, artifacts: Path) -> None:
    tuned = Tuned("here", "time", "float32.tflite", Interval(0.9, 0.8, 0.95), 3, 1.0, 0, ())
    changed(artifacts, "float16.tflite", lambda artifact: replace(artifact, tuned=tuned))
    assert found(artifacts, slower) == []


def changed(folder: Path, name: str, change: Callable[[Artifact], Artifact]) -> None:
    manifest = Manifest.load(folder)
    artifact = manifest.artifact(name)
    assert artifact
    manifest.with_artifacts(change(artifact)).save(folder)
