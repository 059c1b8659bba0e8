"""Files in tests/kept, which most tests use as exports, equal present exports; otherwise run python -m tests.kept.make."""

import json
from pathlib import Path
from typing import Any

import pytest

from edgecnn.edge.manifest import Manifest
from tests.convert.export.conftest import operators
from tests.kept.make import KEPT, make_any_batch, make_bars


@pytest.fixture(scope="module")
def made(idx_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of `exported`, made now."""
    folder = tmp_path_factory.mktemp("made") / "bars"
    make_bars(idx_folder, folder)
    return folder


@pytest.fixture(scope="module")
def made_any_batch(made: Path, idx_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of `any_batch`, made now, with every file."""
    folder = tmp_path_factory.mktemp("any") / "bars"
    make_any_batch(idx_folder, made, folder)
    return folder


def names(value: Any) -> Any:
    """Return the names of a JSON value's fields, recursively."""
    if isinstance(value, dict):
        return {name: names(field) for name, field in value.items()}
    return [names(value[0])] if isinstance(value, list) and value else None


def test_the_manifest_has_the_same_fields(made: Path) -> None:
    kept, now = (json.loads((folder / "manifest.json").read_text()) for folder in (KEPT / "bars", made))
    # The kept files were exported before there was this file.
    assert [file["path"] for file in now.pop("for_programs")] == ["labels.txt"]
    assert kept.pop("for_programs") == []
    assert names(kept) == names(now)


def test_the_files_are_those_that_are_exported_and_need_the_same_runtimes(made: Path) -> None:
    kept, now = (
        [(item.path, item.precision, item.input.shape, item.input.dtype, item.output.dtype, item.oldest_runtime)
         for item in Manifest.load(folder).artifacts]
        for folder in (KEPT / "bars", made)
    )  # fmt: skip
    assert kept == now


@pytest.mark.parametrize("suffix", ["tflite", "onnx"])
@pytest.mark.parametrize("folder", ["made", "made_any_batch"])
def test_the_operators_are_the_same(folder: str, suffix: str, request: pytest.FixtureRequest) -> None:
    now: Path = request.getfixturevalue(folder)
    files = sorted((KEPT / ("bars" if folder == "made" else "any_batch")).glob(f"*.{suffix}"))
    assert files
    for file in files:
        assert operators(file) == operators(now / file.name), file.name
