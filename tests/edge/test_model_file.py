"""A model file is the one that its manifest lists, or it is refused, or it is called unverified."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edge.errors import ArtifactError
from edge.manifest import Manifest
from edge.model_file import read_model

FILES = ["model.keras", "float32.tflite", "float16.tflite", "dynamic.tflite", "int8.tflite", "int16x8.tflite"]
FILES += ["float32.onnx", "int8.onnx"]


def flip_one_bit(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def truncate(data: bytes) -> bytes:
    return data[:-1]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", [flip_one_bit, truncate])
def test_an_altered_file_is_refused_by_its_hash_or_size(damage: Callable[[bytes], bytes], name: str, artifacts: Path) -> None:
    path = artifacts / name
    before = path.stat().st_size
    path.write_bytes(damage(path.read_bytes()))
    mend = "train$" if name == "model.keras" else "export .*model.keras$"
    message = (
        rf"{name} is not the file that manifest\.json lists \({path.stat().st_size} bytes with sha256 [0-9a-f]{{12}}, "
        rf"expected {before} with [0-9a-f]{{12}}\): copy it again or run edgecnn {mend}"
    )
    with pytest.raises(ArtifactError, match=message):
        read_model(path)


@pytest.mark.parametrize("name", ["absent.tflite", "absent.onnx", "absent.keras"])
def test_a_missing_file_is_named(name: str, artifacts: Path) -> None:
    with pytest.raises(ArtifactError, match=rf"{name} does not exist: check the path"):
        read_model(artifacts / name)


def test_an_empty_file_is_named(artifacts: Path) -> None:
    (artifacts / "int8.tflite").write_bytes(b"")
    with pytest.raises(ArtifactError, match=r"int8\.tflite is empty: export or copy it again"):
        read_model(artifacts / "int8.tflite")


@pytest.mark.parametrize("name", ["manifest.json", "reference.npy", "model", "folder", "folder.tflite"])
def test_a_folder_or_another_suffix_is_refused_with_those_that_work(name: str, artifacts: Path) -> None:
    if name.startswith("folder"):
        (artifacts / name).mkdir()
    with pytest.raises(ArtifactError, match=rf"{name} is not a \.keras, \.tflite or \.onnx file: name one"):
        read_model(artifacts / name)


@pytest.mark.parametrize("manifest", ["beside", "absent"])
@pytest.mark.parametrize(
    ("real", "renamed", "message"),
    [
        ("float32.onnx", "renamed.tflite", r"no TFL3 mark\): export or copy it again"),
        ("model.keras", "renamed.tflite", r"no TFL3 mark\): export or copy it again"),
        ("int8.tflite", "renamed.keras", r"not a zip archive\): save it with model\.save\('name\.keras'\)"),
        ("int8.onnx", "renamed.keras", r"not a zip archive\): save it with model\.save\('name\.keras'\)"),
    ],
)
def test_a_renamed_file_is_refused_by_its_content(
    real: str, renamed: str, message: str, manifest: str, artifacts: Path, tmp_path: Path
) -> None:
    path = (artifacts if manifest == "beside" else tmp_path) / renamed
    shutil.copy(artifacts / real, path)
    with pytest.raises(ArtifactError, match=rf"{renamed} is not a .+ file \({message}"):
        read_model(path)


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("int8.tflite", "--format tflite --quantize int8"),
        ("float16.tflite", "--format tflite --quantize float16"),
        ("int8.onnx", "--format onnx --quantize int8"),
    ],
)
def test_a_file_exported_from_an_earlier_model_is_stale(name: str, command: str, artifacts: Path) -> None:
    manifest = Manifest.load(artifacts)
    manifest.with_artifacts(replace(manifest.keras_model(), sha256="0" * 64)).save(artifacts)
    with pytest.raises(
        ArtifactError, match=rf"{name} is stale, .* from an earlier model: run edgecnn export .*bars/model.keras {command}$"
    ):
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
