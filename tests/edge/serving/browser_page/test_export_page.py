"""The folder of a page without a server: what is in it, what is refused, and where the runtime of browsers comes from."""

import base64
import io
import json
import re
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgecnn.__main__ import main
from edgecnn.edge.errors import ArtifactError, ConfigError, MissingDependency
from edgecnn.edge.files import sha256
from edgecnn.edge.manifest import Manifest
from edgecnn.edge.model_folder import ModelFolder
from edgecnn.edge.serving.export_page import PAGE, VERSION, WebRuntime, web_runtime, write_page
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
    scripts = {name: data.decode() for name, data in files.items() if name.endswith(".js")}
    named = {(where, name) for where, text in scripts.items() for name in re.findall(r'from "\./([\w.-]+)"', text)}
    assert len(named) > 20
    assert [(where, name) for where, name in sorted(named) if name not in files] == []
    # The policy stands before anything that it rules.
    html = files["index.html"].decode()
    policy = html.index("Content-Security-Policy")
    assert policy < min(html.index("<script"), html.index("<link"))
    assert "default-src 'none'; script-src 'self' 'wasm-unsafe-eval';" in html
    assert "In the server" not in html


def test_an_altered_or_unlisted_file_or_none_for_a_browser_makes_no_page(
    exported: Path, tmp_path: Path, remembering: Path, artifacts: Path
) -> None:
    (tmp_path / "mine.onnx").write_bytes((exported / "int8.onnx").read_bytes())
    with pytest.raises(ConfigError, match=r"no manifest\.json beside it: .*folder"):
        write_page(ModelFolder(tmp_path / "mine.onnx"), tmp_path / "page", RUNTIME)
    assert not (tmp_path / "page").exists()
    with (
        ModelFolder(remembering) as models,
        pytest.raises(ConfigError, match="files only: export formats=onnx"),
    ):
        write_page(models, tmp_path / "page", RUNTIME)
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


# With a stand-in for npm.

FILES = {
    "package.json": b'{"name": "onnxruntime-web", "version": "1.2.3"}',
    "dist/ort.wasm.bundle.min.mjs": b"// glue",
    "dist/ort-wasm-simd-threaded.wasm": b"\0asm and more",
    "dist/ort-wasm-simd-threaded.jsep.wasm": b"\0asm that no page needs",
}


def folder(place: Path, **changes: bytes) -> Path:
    (place / "dist").mkdir(parents=True)
    for name, data in {**FILES, **changes}.items():
        (place / name).write_bytes(data)
    return place


def archive(path: Path, files: dict[str, bytes] = FILES) -> Path:
    with tarfile.open(path, "w:gz") as packed:
        for name, data in files.items():
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(data)
            packed.addfile(member, io.BytesIO(data))
    return path


def stand_in(place: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a program called npm, and no other, where programs are looked for."""
    (place / "npm").write_text(f"#!/bin/sh\n{script}\n")
    (place / "npm").chmod(0o755)
    monkeypatch.setenv("PATH", f"{place}:/usr/bin:/bin")


def test_a_folder_and_an_archive_of_the_package_give_only_what_a_page_needs(tmp_path: Path) -> None:
    found = web_runtime(folder(tmp_path / "onnxruntime-web"))
    assert found.title == "onnxruntime-web 1.2.3"
    assert found.files == {
        "ort.wasm.bundle.min.mjs": b"// glue",
        "ort-wasm-simd-threaded.wasm": b"\0asm and more",
    }
    assert web_runtime(archive(tmp_path / "mine.tgz")) == found


def test_the_command_writes_a_page_and_says_how_to_try_it(
    exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    web, page = folder(tmp_path / "onnxruntime-web"), tmp_path / "page"
    assert main(["serve", str(exported), "--export-page", str(page), "--onnxruntime-web", str(web)]) == 0
    assert (page / "int8.onnx").read_bytes() == (exported / "int8.onnx").read_bytes()
    shown = " ".join(capsys.readouterr().out.split())
    assert "onnxruntime-web 1.2.3" in shown
    assert "http.server" in shown
    assert main(["serve", str(exported), str(exported), "--export-page", str(page)]) == 2


def test_npm_downloads_one_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = archive(tmp_path / "packed")
    stand_in(tmp_path, f'[ "$*" = "pack onnxruntime-web@{VERSION} --silent" ] && cp {packed} onnxruntime-web.tgz', monkeypatch)
    assert web_runtime().title == "onnxruntime-web 1.2.3"


def test_a_missing_npm_is_named_with_what_to_give_instead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingDependency, match=r"npm.*not installed.*apt-get install npm, .*folder"):
        web_runtime()


def test_a_download_that_fails_is_one_line_with_npms_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path, 'echo "npm error network no such host" >&2; echo "npm error a log" >&2; exit 1', monkeypatch)
    with pytest.raises(ConfigError, match=r"npm can't download.*no such host.*folder") as raised:
        web_runtime()
    assert "\n" not in str(raised.value)


def test_another_package_or_a_damaged_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is the package 'left-pad'"):
        web_runtime(folder(tmp_path / "other", **{"package.json": b'{"name": "left-pad"}'}))
    with pytest.raises(ArtifactError, match=r"no WebAssembly file.*npm pack onnxruntime-web@"):
        web_runtime(folder(tmp_path / "text", **{"dist/ort-wasm-simd-threaded.wasm": b"<html>"}))
    (tmp_path / "text" / "dist" / "ort-wasm-simd-threaded.wasm").unlink()
    with pytest.raises(ArtifactError, match=r"ort-wasm-simd-threaded\.wasm does not exist"):
        web_runtime(tmp_path / "text")
    for damaged in (
        archive(tmp_path / "less.tgz", {"package.json": FILES["package.json"]}),
        tmp_path / "text" / "package.json",
    ):
        with pytest.raises(ArtifactError, match="not a package of npm"):
            web_runtime(damaged)
