"""Which file goes to boards."""

from dataclasses import replace
from pathlib import Path

import pytest

from edgecnn.benchmarks.deploy.order import files_to_deploy
from edgecnn.benchmarks.results.records import Report
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
