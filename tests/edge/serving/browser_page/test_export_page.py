"""The folder of a page without a server: what is in it, and what is refused."""

import base64
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgecnn.edge.errors import ArtifactError, ConfigError
from edgecnn.edge.files import sha256
from edgecnn.edge.manifest import Manifest
from edgecnn.edge.model_folder import ModelFolder
from edgecnn.edge.serving.browser_page.export_page import PAGE, write_page
from edgecnn.edge.serving.browser_page.onnxruntime_web import WebRuntime
from tests.edge.serving.stand_in import model

pytestmark = pytest.mark.workstation("needs a browser")

RUNTIME = WebRuntime("onnxruntime-web 1", {"ort.wasm.bundle.min.mjs": b"// glue", "ort-wasm-simd-threaded.wasm": b"\0asm"})


def test_the_folder_has_the_page_the_models_and_their_descriptions(exported: Path, tmp_path: Path) -> None:
    with ModelFolder(exported) as models:
        written = write_page(models, tmp_path / "page", RUNTIME)
    files = {path.name: path.read_bytes() for path in (tmp_path / "page").iterdir()}
    assert written.size_bytes == sum(map(len, files.values()))
    assert {*RUNTIME.files, *(path.name for path in PAGE.iterdir()), "float32.onnx", "int8.onnx", "model.json"} <= files.keys()
    assert files["classify.js"] != (PAGE / "classify.js").read_bytes()
    described = json.loads(files["model.json"])
    about = described["about"]
    assert about.keys() == model().keys()
    for file in about["files"]:
        assert file.keys() == model()["files"][0].keys()
        assert file["sha256"] == sha256(files[file["name"]])
    assert (about["name"], about["shape"], about["reference"], about["draws"]) == ("bars", [12, 12, 1], "float32.onnx", False)
    assert written.models == ("float32.onnx", "int8.onnx")
    assert about["skipped"] == {}
    assert "ONNX files only" in written.skipped["int8.tflite"]
    table = np.frombuffer(base64.b64decode(described["inputs"]["int8.onnx"]["input"]["table"]), "<f4")
    assert np.array_equal(table, np.arange(256, dtype=np.float32) * np.float32(1 / 255))


def test_every_import_of_the_page_is_in_the_folder(exported: Path, tmp_path: Path) -> None:
    with ModelFolder(exported) as models:
        write_page(models, tmp_path, RUNTIME)
    named = {
        (path.name, name) for path in tmp_path.glob("*.js") for name in re.findall(r'from "\./([\w.-]+)"', path.read_text())
    }
    assert len(named) > 20
    assert [(where, name) for where, name in sorted(named) if not (tmp_path / name).is_file()] == []


def test_the_policy_is_in_the_page_before_anything_that_it_rules(exported: Path, tmp_path: Path) -> None:
    with ModelFolder(exported) as models:
        write_page(models, tmp_path, RUNTIME)
    html = (tmp_path / "index.html").read_text()
    policy = html.index("Content-Security-Policy")
    assert policy < html.index("<script") and policy < html.index("<link")  # noqa: PT018 - One place, compared twice.
    assert "default-src 'none'; script-src 'self' 'wasm-unsafe-eval';" in html
    assert "In the server" not in html


def test_a_file_that_no_manifest_lists_is_refused(exported: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.onnx").write_bytes((exported / "int8.onnx").read_bytes())
    with pytest.raises(ConfigError, match=r"no manifest\.json beside it: .*folder"):
        write_page(ModelFolder(tmp_path / "mine.onnx"), tmp_path / "page", RUNTIME)
    assert not (tmp_path / "page").exists()


def test_a_folder_without_a_file_for_a_browser_is_refused(remembering: Path, tmp_path: Path) -> None:
    with (
        ModelFolder(remembering) as models,
        pytest.raises(ConfigError, match="files only: export formats=onnx"),
    ):
        write_page(models, tmp_path / "page", RUNTIME)


def test_an_altered_file_is_not_copied(artifacts: Path, tmp_path: Path) -> None:
    data = (artifacts / "int8.onnx").read_bytes()
    (artifacts / "int8.onnx").write_bytes(data[:-1] + b"\0")
    with ModelFolder(artifacts) as models, pytest.raises(ArtifactError, match=r"int8\.onnx .*not the file.*manifest"):
        write_page(models, tmp_path / "page", RUNTIME)
    assert not (tmp_path / "page").exists()


def test_files_that_a_browser_does_not_run_are_skipped_with_their_reason(artifacts: Path, tmp_path: Path) -> None:
    manifest = Manifest.load(artifacts)
    int8 = manifest.artifact("int8.onnx")
    assert int8 is not None
    manifest.with_artifacts(replace(int8, input=replace(int8.input, shape=(4, 12, 12, 1)))).save(artifacts)
    with ModelFolder(artifacts) as models:
        written = write_page(models, tmp_path / "page", RUNTIME)
    assert written.models == ("float32.onnx",)
    assert "takes 4 images" in written.skipped["int8.onnx"]
    about = json.loads((tmp_path / "page" / "model.json").read_text())["about"]
    assert (about["reference"], about["skipped"]) == (None, {"int8.onnx": written.skipped["int8.onnx"]})
