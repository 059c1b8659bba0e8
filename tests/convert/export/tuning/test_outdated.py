"""Which tuned files an export deletes: those that no longer hold."""

from dataclasses import replace
from typing import Any

import pytest

from edgecnn.convert.export.config import ExportConfig
from edgecnn.convert.export.export import _outdated
from edgecnn.convert.export.tuning.runner import Tuning
from edgecnn.edge.export_records import Interval, Tuned
from edgecnn.edge.files import sha256
from tests.convert.export.tuning.invented import Invented


def with_tuned(job: Any, content: bytes | None = b"tuned") -> Any:
    """Return the job of a folder that has a file tuned for a Cortex-A72, with this content."""
    path = job.folder / "tuned.tflite"
    path.unlink(missing_ok=True)
    if content is not None:
        path.write_bytes(content)
    record = Tuned("Cortex-A72", "time", "int8.tflite", Interval(0.8, 0.8, 0.8), 9, 1.0, 0, ())
    tuned = replace(job.manifest.artifact("int8.tflite"), path="tuned.tflite", sha256=sha256(b"tuned"), tuned=record)
    return replace(job, manifest=job.manifest.with_artifacts(tuned))


def tuning_for(job: Any, machine: str, runtime: str | None = None) -> Tuning:
    tuning: Tuning = replace(job.tuning, runner=Invented(lambda operators: 1.0, machine=machine, runtime=runtime))
    return tuning


@pytest.mark.parametrize(
    ("tunes", "formats", "plain", "stays"),
    [
        (True, ("tflite",), "same", False),
        (True, ("onnx",), "same", True),
        (False, ("tflite",), "same", True),
        (False, ("tflite",), "other", False),
        (False, ("tflite",), "missing", True),
    ],
    ids=["no gain", "another format is tuned", "the same plain file", "another plain file", "no plain file is written"],
)
def test_an_earlier_tuned_file_stays_only_as_long_as_it_belongs_to_the_plain_file_that_it_was_compared_with(
    tunes: bool, formats: tuple[str, ...], plain: str, stays: bool, export_so_far: tuple[Any, ...]
) -> None:
    job, said = with_tuned(export_so_far[0]), list[str]()
    int8 = job.manifest.artifact("int8.tflite")
    job = replace(
        job,
        tuning=tuning_for(job, "Cortex-A72") if tunes else None,
        config=ExportConfig(formats, ("int8",)),
        on_step=said.append,
    )
    made = {"same": [int8], "other": [replace(int8, sha256="0" * 64)], "missing": []}[plain]
    assert _outdated(job, made) == (() if stays else ("tuned.tflite",))
    # The user learns which machine the file was for.
    assert [line for line in said if "tuned on Cortex-A72, is deleted" in line] == said[: 0 if stays else 1]


@pytest.mark.parametrize(
    ("machine", "runtime", "stays"),
    [("Cortex-A72", None, False), ("Cortex-A53", None, True), ("Cortex-A72", "openvino", True)],
    ids=["the same", "another machine", "another runtime"],
)
def test_tuning_without_a_gain_deletes_the_file_of_the_same_machine_and_runtime(
    machine: str, runtime: str | None, stays: bool, export_so_far: tuple[Any, ...]
) -> None:
    job = with_tuned(export_so_far[0])
    job = replace(job, tuning=tuning_for(job, machine, runtime))
    assert _outdated(job, [job.manifest.artifact("int8.tflite")]) == (() if stays else ("tuned.tflite",))


@pytest.mark.parametrize("content", [b"altered", None])
def test_a_tuned_file_that_is_not_what_was_written_leaves_the_manifest(
    content: bytes | None, export_so_far: tuple[Any, ...]
) -> None:
    said: list[str] = []
    job = replace(with_tuned(export_so_far[0], content), tuning=None, on_step=said.append)
    assert _outdated(job, [job.manifest.artifact("int8.tflite")]) == ("tuned.tflite",)
    assert said[0].endswith("tune again")
