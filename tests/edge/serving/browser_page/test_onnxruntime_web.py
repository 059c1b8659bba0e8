"""Where the runtime of browsers comes from, with a stand-in for npm."""

import io
import tarfile
from pathlib import Path

import pytest

from edgecnn.edge.errors import ArtifactError, ConfigError, MissingDependency
from edgecnn.edge.serving.browser_page.onnxruntime_web import VERSION, web_runtime

pytestmark = pytest.mark.workstation("needs a browser")

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
