"""Which file goes to boards."""

from dataclasses import replace
from pathlib import Path

import pytest

from edgecnn.benchmarks.deploy.order import files_to_deploy
from edgecnn.benchmarks.gate.gate import FAIL
from edgecnn.benchmarks.results.records import Report
from edgecnn.edge.errors import ConfigError
from edgecnn.edge.model_folder import ModelFolder


@pytest.mark.parametrize(("threads", "said"), [(1, None), (3, "with 3 threads, which the service does not use")])
def test_a_file_that_is_shipped_for_how_it_was_measured_says_what_the_service_does_otherwise(
    threads: int, said: str | None, measured: Report, artifacts: Path
) -> None:
    report = replace(measured, files=tuple(replace(file, threads=threads) for file in measured.files))
    (artifacts / "bench.json").write_text(report.to_json())
    ship = report.choice().file
    (name,), why = files_to_deploy(ModelFolder(artifacts), ())
    assert name == ship
    assert why is not None
    assert why.startswith(f"{name} goes there")
    assert why.endswith(said) if said else "service" not in why


def test_a_folder_whose_files_all_failed_is_not_deployed_unless_a_file_is_named(measured: Report, artifacts: Path) -> None:
    failing = [replace(file, verdict=replace(file.verdict, status=FAIL)) for file in measured.files]
    for file in failing:
        checks = tuple(replace(check, status=FAIL) for check in file.verdict.checks)
        object.__setattr__(file.verdict, "checks", checks)
    report = replace(measured, files=tuple(failing))
    (artifacts / "bench.json").write_text(report.to_json())
    models = ModelFolder(artifacts)
    closest = report.choice().closest
    assert closest
    with pytest.raises(ConfigError, match=f"fails each file that it measured .{closest}: .*files"):
        files_to_deploy(models, ())
    assert files_to_deploy(models, (closest,)) == ((closest,), None)
