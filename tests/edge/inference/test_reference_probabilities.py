"""A reference with matching hashes is still not trusted: its content is checked when it is loaded."""

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgecnn.benchmarks.bundle.verify import verify
from edgecnn.edge.data.splits import Split
from edgecnn.edge.errors import ArtifactError
from edgecnn.edge.files import sha256
from edgecnn.edge.inference.model_test_images import load_reference
from edgecnn.edge.manifest import Manifest
from edgecnn.edge.model.preprocess import correct

pytestmark = pytest.mark.workstation("many checks of whole files take minutes under emulation")

Rows = NDArray[np.float32]


def saved(array: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


def put(folder: Path, data: bytes, right: int | None = None, images: int | None = None) -> None:
    """Replace the reference, and its hash in the manifest."""
    manifest = Manifest.load(folder)
    assert manifest.reference
    (folder / manifest.reference.path).write_bytes(data)
    record = replace(
        manifest.reference,
        sha256=sha256(data),
        correct=manifest.reference.correct if right is None else right,
        images=manifest.reference.images if images is None else images,
    )
    replace(manifest, reference=record).save(folder)


def with_header(old: bytes, new: bytes) -> Callable[[Rows], bytes]:
    def damage(rows: Rows) -> bytes:
        data = saved(rows)
        header = data[10:128].replace(old, new)
        assert old in data[10:128]
        return data[:10] + header.rstrip().ljust(117) + b"\n" + data[128:]

    return damage


DAMAGES: dict[str, Callable[[Rows], Any]] = {
    "columns rolled": lambda rows: np.roll(rows, 1, axis=1),
    "rows in another order": lambda rows: rows[::-1].copy(),
    "rows times 3": lambda rows: rows * np.float32(3),
    "NaN": lambda rows: np.where(np.arange(len(rows))[:, np.newaxis] == 7, np.float32(np.nan), rows),
    "infinite": lambda rows: np.where(rows > 0.9, np.float32(np.inf), rows),
    "negative": lambda rows: np.concatenate([rows[:, :1] + rows[:, 1:2] + 1, -np.ones_like(rows[:, :1]), rows[:, 2:]], axis=1),
    "all equal": np.zeros_like,
    "one image less": lambda rows: rows[:-1],
    "one class more": lambda rows: np.concatenate([rows, np.zeros_like(rows[:, :1])], axis=1),
    "transposed": lambda rows: np.ascontiguousarray(rows.T),
    "a row of its own": lambda rows: rows.reshape(-1),
    "float64": lambda rows: rows.astype(np.float64),
    "objects": lambda rows: np.array([rows.tolist(), None], object),
    "big-endian": lambda rows: rows.astype(">f4"),
    "truncated": lambda rows: saved(rows)[:-5],
    "without an end": lambda rows: saved(rows) + b"\0\0\0\0",
    "a header alone": lambda rows: saved(rows)[:100],
    "no array": lambda rows: b"what is this",
    "a shape of 4e18": with_header(b"(60, 3)", b"(2000000000, 2000000000)"),
    "a header that is no Python": with_header(b"'fortran_order': False", b"'fortran_order': ((((((("),
    "an unfinished string": with_header(b"'shape': (60, 3)", b"'shape': '''60, 3)"),
    "another version": lambda rows: saved(rows).replace(b"NUMPY\x01", b"NUMPY\x07"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_reference_that_nobody_computed_is_refused_though_its_hash_agrees(
    damage: str, artifacts: Path, test_split: Split
) -> None:
    manifest = Manifest.load(artifacts)
    changed = DAMAGES[damage](load_reference(artifacts, manifest, test_split.labels))
    put(artifacts, changed if isinstance(changed, bytes) else saved(changed))
    with pytest.raises(ArtifactError, match=r"reference\.npy .*edgecnn export"):
        load_reference(artifacts, Manifest.load(artifacts), test_split.labels)


@pytest.mark.parametrize(("right", "images"), [(0, None), (None, 6), (None, 61)])
def test_a_count_that_is_not_the_references_is_refused(
    right: int | None, images: int | None, artifacts: Path, test_split: Split
) -> None:
    put(artifacts, (artifacts / "reference.npy").read_bytes(), right, images)
    with pytest.raises(ArtifactError, match=r"reference\.npy is right on"):
        load_reference(artifacts, Manifest.load(artifacts), test_split.labels)


def test_the_reference_of_an_export_is_what_keras_gave(artifacts: Path, test_split: Split) -> None:
    manifest = Manifest.load(artifacts)
    rows = load_reference(artifacts, manifest, test_split.labels)
    assert np.array_equal(rows, np.load(artifacts / "reference.npy"))
    assert manifest.reference
    assert int(correct(rows, test_split.labels).sum()) == manifest.reference.correct


@pytest.mark.parametrize("command", ["bench", "verify", "bundle"])
def test_no_command_takes_a_reference_that_nobody_computed(
    command: str, artifacts: Path, terminal: Any, tmp_path: Path
) -> None:
    put(artifacts, saved(DAMAGES["columns rolled"](np.load(artifacts / "reference.npy"))))
    target = artifacts / "int8.tflite" if command == "verify" else artifacts
    more = ["--out", tmp_path / "bars.zip"] if command == "bundle" else []
    assert "reference.npy" in terminal.fails(4, command, target, *more)


@pytest.mark.parametrize("which", ["candidate", "reference"])
def test_nan_passes_no_verification(which: str) -> None:
    rows = np.full((4, 2), 0.5, np.float32)
    broken = rows.copy()
    broken[2, 1] = np.nan
    ours, theirs = (broken, rows) if which == "candidate" else (rows, broken)
    with pytest.raises(ArtifactError, match="NaN"):
        verify("a.onnx", [ours], "b.onnx", [theirs], 1.0)
