"""What is refused before anything is measured: wrong numbers of threads, references and files that do not fit."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from edgecnn.edge.data.splits import Split
from edgecnn.edge.errors import ArtifactError, ConfigError
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.manifest import Manifest
from tests.benchmarks.measure.benchmarking import change_manifest, change_reference, run


@pytest.mark.parametrize("threads", [2.5, "2", 65])
def test_a_number_of_threads_that_is_none_is_not_blamed_on_the_file(threads: Any, exported: Path) -> None:
    with pytest.raises(ConfigError, match=f"threads.*1 to 64, got {threads!r}"):
        Classifier.load(exported / "int8.onnx", threads=threads)
    assert Classifier.load(exported / "int8.onnx", threads=cast(int, np.int64(2)))


def test_a_format_without_files_is_refused(artifacts: Path, test_split: Split) -> None:
    change_manifest(artifacts, lambda old: replace(old, artifacts=tuple(a for a in old.artifacts if a.format != "onnx")))
    with pytest.raises(ConfigError, match=r"bars.*no onnx file.*edgecnn export.*model\.keras formats=onnx"):
        run(artifacts, test_split, "tflite", "onnx")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda old: replace(old, reference=None), "bars has no reference to judge by: run edgecnn export"),
        (change_reference(source_sha256="0" * 64), r"reference\.npy is stale: .*: run edgecnn export"),
        (change_reference(test_sha256="0" * 64), r"reference\.npy is stale: .*: run edgecnn export"),
        (change_reference(sha256="0" * 64), r"reference\.npy is not the file that the manifest lists: run edgecnn export"),
    ],
    ids=["none", "other-model", "other-images", "other-bytes"],
)
def test_a_reference_that_does_not_fit_is_refused(
    change: Callable[[Manifest], Manifest], message: str, artifacts: Path, test_split: Split
) -> None:
    change_manifest(artifacts, change)
    with pytest.raises(ArtifactError, match=message):
        run(artifacts, test_split, "tflite")


def test_a_missing_reference_is_refused(artifacts: Path, test_split: Split) -> None:
    (artifacts / "reference.npy").unlink()
    with pytest.raises(ArtifactError, match=r"reference\.npy does not exist"):
        run(artifacts, test_split, "tflite")


@pytest.mark.parametrize("name", ["reference.npy", "int8.tflite"])
def test_an_altered_file_is_refused(name: str, artifacts: Path, test_split: Split) -> None:
    data = bytearray((artifacts / name).read_bytes())
    data[-1] ^= 1
    (artifacts / name).write_bytes(data)
    with pytest.raises(ArtifactError, match=rf"{name} is not.*lists.*run edgecnn export"):
        run(artifacts, test_split, "tflite")


def test_a_folder_without_a_manifest_is_refused(tmp_path: Path, test_split: Split) -> None:
    with pytest.raises(ArtifactError, match=r"manifest\.json does not exist"):
        run(tmp_path, test_split, "tflite")
