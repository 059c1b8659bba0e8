"""A model file is the one in its manifest, or it is refused, or it is called unverified."""

import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgecnn.edge import model_file
from edgecnn.edge.errors import ArtifactError
from edgecnn.edge.files import read_bytes, sha256
from edgecnn.edge.formats import suffixes
from edgecnn.edge.manifest import Manifest
from edgecnn.edge.model_file import read_model
from edgecnn.edge.transaction import locked, replaced_together

FILES = ["model.keras", "float32.tflite", "float16.tflite", "dynamic.tflite", "int8.tflite", "int16x8.tflite"]
FILES += ["float32.onnx", "int8.onnx"]


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n", "Git LFS"),
        (b"\n<!DOCTYPE html>\n<title>model</title>", "web page"),
        (b"<html>", "web page"),
    ],
)
@pytest.mark.parametrize("suffix", [".keras", ".h5", ".tflite", ".onnx"])
def test_what_stands_in_the_place_of_a_file_is_named(data: bytes, what: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"theirs{suffix}"
    path.write_bytes(data)
    with pytest.raises(ArtifactError, match=rf"theirs\{suffix} is a .*{what}"):
        read_model(path)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("cut", [False, True])
def test_an_altered_file_is_refused_by_its_hash_or_size(cut: bool, name: str, artifacts: Path) -> None:
    path = artifacts / name
    data = bytearray(path.read_bytes())
    before = len(data)
    data[before // 2] ^= 1
    path.write_bytes(path.read_bytes()[:-1] if cut else data)
    mend = "train$" if name == "model.keras" else "export .*model.keras$"
    message = (
        rf"{name} is not the file that manifest\.json lists \({path.stat().st_size} bytes with sha256 [0-9a-f]{{12}}, "
        rf"expected {before} with [0-9a-f]{{12}}\): copy it again or run edgecnn {mend}"
    )
    with pytest.raises(ArtifactError, match=message):
        read_model(path)


def test_an_export_that_ends_between_the_reads_of_file_and_manifest_is_no_damage(
    artifacts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new, manifest = (artifacts / "float16.tflite").read_bytes(), Manifest.load(artifacts)
    listed = manifest.artifact("int8.tflite")
    assert listed

    def read_then_replace(path: Path, *arguments: Any, **options: Any) -> bytes:
        data = read_bytes(path, *arguments, **options)
        monkeypatch.undo()
        with locked(artifacts), replaced_together(artifacts) as staging:
            (staging / "int8.tflite").write_bytes(new)
            manifest.with_artifacts(replace(listed, size_bytes=len(new), sha256=sha256(new))).save(staging)
        return data

    monkeypatch.setattr(model_file, "read_bytes", read_then_replace)
    assert read_model(artifacts / "int8.tflite").data == new


@pytest.mark.parametrize("name", ["absent.tflite", "absent.onnx", "absent.keras"])
def test_a_missing_file_is_named(name: str, artifacts: Path) -> None:
    with pytest.raises(ArtifactError, match=rf"{name} does not exist"):
        read_model(artifacts / name)


@pytest.mark.parametrize("name", ["manifest.json", "reference.npy", "model", "folder", "folder.tflite"])
def test_a_folder_or_another_suffix_is_refused_with_those_that_work(name: str, artifacts: Path) -> None:
    if name.startswith("folder"):
        (artifacts / name).mkdir()
    with pytest.raises(ArtifactError, match=re.escape(f"{name} is not a {suffixes()}")):
        read_model(artifacts / name)


@pytest.mark.parametrize("manifest", ["beside", "absent"])
@pytest.mark.parametrize(
    ("real", "renamed", "message"),
    [
        ("float32.onnx", "renamed.tflite", r"no TFL3 mark\): copy it again"),
        ("model.keras", "renamed.tflite", r"no TFL3 mark\): copy it again"),
        ("int8.tflite", "renamed.keras", r"not a zip archive\): save it with model\.save\('name\.keras'\)"),
        ("int8.onnx", "renamed.keras", r"not a zip archive\): save it with model\.save\('name\.keras'\)"),
    ],
)
def test_a_renamed_file_is_refused_by_its_content(
    real: str, renamed: str, message: str, manifest: str, artifacts: Path, tmp_path: Path
) -> None:
    path = (artifacts if manifest == "beside" else tmp_path) / renamed
    shutil.copy(artifacts / real, path)
    with pytest.raises(ArtifactError, match=rf"{renamed} is not a .+\({message}"):
        read_model(path)


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("int8.tflite", "formats=tflite and precisions=int8"),
        ("float16.tflite", "formats=tflite and precisions=float16"),
        ("int8.onnx", "formats=onnx and precisions=int8"),
    ],
)
def test_a_file_exported_from_an_earlier_model_is_stale(name: str, command: str, artifacts: Path) -> None:
    manifest = Manifest.load(artifacts)
    manifest.with_artifacts(replace(manifest.source(), sha256="0" * 64)).save(artifacts)
    with pytest.raises(ArtifactError, match=rf"{name} is stale.*edgecnn export .*bars/model\.keras.*{command}$"):
        read_model(artifacts / name)


@pytest.mark.parametrize("name", FILES)
def test_a_file_without_a_manifest_is_unverified(name: str, exported: Path, tmp_path: Path) -> None:
    shutil.copy(exported / name, tmp_path / name)
    model = read_model(tmp_path / name)
    assert (model.manifest, model.artifact, model.unverified) == (None, None, "no manifest.json beside it")


def test_a_manifest_of_something_else_vouches_for_nothing_and_a_damaged_one_of_ours_is_an_error(artifacts: Path) -> None:
    path = artifacts / "manifest.json"
    for text in ('{"name": "app", "icons": []}', "{}"):
        path.write_text(text)
        model = read_model(artifacts / "int8.tflite")
        assert (model.manifest, model.unverified) == (None, "a manifest.json beside it that is not edgecnn's")
    for text in ('{"schema": 2}', '{"artifacts": []}', "[]", "{", ""):
        path.write_text(text)
        with pytest.raises(ArtifactError, match=r"manifest\.json"):
            read_model(artifacts / "int8.tflite")


@pytest.mark.parametrize("suffix", ["tflite", "TFLITE", "onnx"])
def test_a_file_that_the_manifest_does_not_list_is_unverified(suffix: str, artifacts: Path) -> None:
    path = artifacts / f"copied.{suffix}"
    shutil.copy(artifacts / f"float32.{suffix.lower()}", path)
    model = read_model(path)
    assert (model.manifest, model.artifact) == (None, None)
    assert model.unverified == "not listed in the manifest.json beside it"
    assert model.format == suffix.lower()


@pytest.mark.parametrize("name", FILES)
def test_a_listed_file_comes_with_its_entry_and_its_bytes(name: str, exported: Path) -> None:
    model = read_model(exported / name)
    assert model.unverified is None
    assert model.manifest == Manifest.load(exported)
    assert model.artifact == model.manifest.artifact(name)
    assert model.data == (exported / name).read_bytes()
    assert model.format == name.split(".")[1]
