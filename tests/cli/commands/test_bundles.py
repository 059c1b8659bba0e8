"""A bundle on the command line: made, and accepted in place of a folder."""

import io
import json
import re
import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgecnn.__main__ import main
from edgecnn.edge.data.dataset import load_test
from edgecnn.edge.files import sha256
from edgecnn.edge.manifest import Manifest
from tests.cli.always_right import SHORT


@pytest.fixture(scope="module")
def bundle(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of int8 files and 30 images. Do not write to it."""

    path = tmp_path_factory.mktemp("bundles") / "bars.zip"
    command = ["bundle", exported, "--out", path, "--file", "int8.tflite", "--file", "int8.onnx", "--images", 30]
    assert main([str(part) for part in command]) == 0
    return path


def test_an_altered_bundle_and_a_file_that_it_has_not_are_refused_by_every_command(
    bundle: Path, tmp_path: Path, terminal: Any
) -> None:
    path = tmp_path / "altered.zip"
    with zipfile.ZipFile(bundle) as source, zipfile.ZipFile(path, "w") as target:
        for info in source.infolist():
            data = source.read(info)
            target.writestr(info, data.replace(b"probabilities", b"logits") if info.filename == "manifest.json" else data)
    for command in (["verify"], ["evaluate"], ["doctor"], ["bench"], ["predict", "--index", "0"]):
        line = terminal.fails(4, command[0], path, *command[1:])
        assert re.search(r"manifest\.json is not.*bundle\.json lists", line)
        assert not terminal.out
    for command in (["verify"], ["evaluate"], ["doctor"], ["predict", "--index", "0"]):
        line = terminal.fails(2, command[0], bundle / "float32.onnx", *command[1:])
        assert re.search(r"bars\.zip has no float32\.onnx.*int8\.tflite, int8\.onnx", line)


@pytest.mark.parametrize(
    ("typed", "code", "said"),
    [
        ("bundle {tmp_path}", 4, "manifest.json does not exist"),
        ("bundle {exported} --out {tmp_path}/bars.tar", 2, "is not a .zip name"),
        ("bundle {exported}/int8.tflite", 2, "int8.tflite is one file"),
        ("predict {bundle} --index 0", 2, "several files.*{bundle}/int8.onnx"),
        ("predict {bundle}/int8.onnx --index 30", 2, "images are 0 to 29"),
        ("bench {bundle} --runtime keras", 2, "holds no Keras model"),
        ("bench {bundle}/int8.onnx", 2, "whole bundle.*bench {bundle} --runtime onnx"),
        ("diagnose {bundle}/int8.tflite", 4, "edgecnn: {bundle}/float32.tflite does not exist: .*--float$"),
        ("verify {bundle} --tolerance 2", 2, "--tolerance.* 0 to 1, got 2"),
    ],
)
def test_what_is_or_makes_no_bundle_is_refused_with_what_to_do(
    typed: str, code: int, said: str, bundle: Path, exported: Path, tmp_path: Path, terminal: Any
) -> None:
    paths = {"bundle": bundle, "exported": exported, "tmp_path": tmp_path}
    assert re.search(said.format(**paths), terminal.fails(code, *typed.format(**paths).split()))


def test_other_golden_outputs_exit_with_4_and_name_file_vector_and_difference(
    bundle: Path, tmp_path: Path, terminal: Any
) -> None:
    path, name = tmp_path / "other.zip", "golden.int8.onnx.npy"
    with zipfile.ZipFile(bundle) as source, zipfile.ZipFile(path, "w") as target:
        members = {member: source.read(member) for member in source.namelist()}
        outputs = np.load(io.BytesIO(members[name]))
        outputs[5] = np.roll(outputs[5], 1)
        buffer = io.BytesIO()
        np.save(buffer, outputs)
        index = json.loads(members["bundle.json"])
        index["members"][name]["sha256"] = sha256(buffer.getvalue())
        members |= {name: buffer.getvalue(), "bundle.json": json.dumps(index).encode()}
        for member, data in members.items():
            target.writestr(member, data)
    line = terminal.fails(4, "verify", path)
    assert re.search(r"int8\.onnx .*by 0\.\d+.*vector 5,.*0\.05: update", line)
    assert "int8.tflite" not in line
    assert "FAIL: int8.onnx differs by" in terminal.out


def test_verify_runs_the_golden_vectors_and_with_data_compares_with_the_bundles_reference(bundle: Path, terminal: Any) -> None:
    out = terminal.passes("verify", bundle)
    assert [line.split()[:4] for line in out.splitlines() if line.startswith(" int8")] == [
        ["int8.tflite", "32", "of", "32"],
        ["int8.onnx", "32", "of", "32"],
    ]
    (checked,) = json.loads(terminal.passes("verify", bundle / "int8.onnx", "--json", "-"))["files"]
    assert (checked["file"], checked["bit_exact"], checked["passed"]) == ("int8.onnx", 32, True)
    out = terminal.passes("verify", bundle / "int8.tflite", "--data", bundle)
    assert "of 30 test images" in out
    for option in ("--size", "9x9"), ("--preprocess", "raw"):  # Its own pictures take neither.
        assert option[0] in terminal.fails(2, "verify", bundle, *option)
    for option in ("--size", "9x9"), ("--data", "mnist"):
        assert option[0] in terminal.fails(2, "deploy", bundle, "--device", "pi", *option)


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is a part of OpenSSH")
def test_a_signed_bundle_has_the_same_bytes_and_verify_says_who_signed_it(
    bundle: Path, exported: Path, tmp_path: Path, terminal: Any
) -> None:
    key, allowed, signed = tmp_path / "key", tmp_path / "allowed", tmp_path / "bars.zip"
    subprocess.run([str(shutil.which("ssh-keygen")), "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    allowed.write_text(f"alice@example.org {key.with_suffix('.pub').read_text()}")
    files = ["--file", "int8.tflite", "--file", "int8.onnx", "--images", 30]
    out = terminal.passes("bundle", exported, "--out", signed, *files, "--sign", key)
    assert "with its signature, bars.zip.sig, and run" in out
    assert signed.read_bytes() == bundle.read_bytes()
    assert "The bundle is signed by alice@example.org." in terminal.passes("verify", signed, "--allowed-signers", allowed)
    found = json.loads(terminal.passes("verify", signed / "int8.tflite", "--allowed-signers", allowed, "--json", "-"))
    assert found["signer"] == "alice@example.org"
    out = terminal.passes("verify", signed / "int8.tflite", "--data", bundle, "--allowed-signers", allowed)
    assert "The bundle is signed by alice@example.org." in out
    with signed.open("ab") as stream:
        stream.write(b"\0")
    assert "incorrect signature" in terminal.fails(4, "verify", signed, "--allowed-signers", allowed)
    assert "is not signed, as" in terminal.fails(4, "verify", bundle, "--allowed-signers", allowed)
    assert "is for a bundle" in terminal.fails(2, "verify", exported / "int8.tflite", "--allowed-signers", allowed)
    assert "missing.zip does not exist" in terminal.fails(4, "verify", "missing.zip", "--allowed-signers", allowed)
    assert "missing can't be read" in terminal.fails(2, "verify", signed, "--allowed-signers", tmp_path / "missing")
    assert "missing is not a key" in terminal.fails(
        2, "bundle", exported, "--out", signed, *files, "--sign", tmp_path / "missing"
    )
    assert "missing is not a key" in terminal.fails(2, "deploy", exported, "--device", "pi", "--sign", tmp_path / "missing")
    terminal.passes("bundle", exported, "--out", signed, *files)
    assert not Path(f"{signed}.sig").exists()  # It was of another bundle.


def test_evaluate_says_of_each_file_what_it_says_of_the_folders(
    bundle: Path, exported: Path, tmp_path: Path, terminal: Any
) -> None:
    found = json.loads(terminal.passes("evaluate", bundle, "--json", "-"))
    assert [Path(item["file"]).name for item in found["files"]] == ["int8.tflite", "int8.onnx"]
    for item in found["files"]:
        name = Path(item["file"]).name
        alone = json.loads(terminal.passes("evaluate", exported / name, "--data", bundle, "--json", "-"))["files"][0]
        assert (item["images"], item["correct"], item["loss"]) == (30, alone["correct"], alone["loss"])
        assert item["dataset"]["name"] == Manifest.load(exported).dataset.name


def test_a_folder_is_evaluated_file_by_file(exported: Path, terminal: Any) -> None:
    lines = terminal.passes("evaluate", exported).splitlines()
    assert [line.split()[0] for line in lines[2:]] == [artifact.path for artifact in Manifest.load(exported).artifacts]
    assert all("of 60" in line for line in lines[2:])


def test_predict_shows_the_bundles_own_image(bundle: Path, exported: Path, terminal: Any) -> None:
    label = load_test(bundle).labels[3]
    out = terminal.passes("predict", bundle / "int8.tflite", "--index", "3")
    assert f"test image 3: label {Manifest.load(exported).class_names[label]}" in out
    assert f"{bundle}/int8.tflite" in out


def test_bench_judges_the_bundles_files_beside_its_reference(bundle: Path, tmp_path: Path, terminal: Any) -> None:
    out = terminal.passes("bench", bundle, *SHORT, "--max-drop", "100", "--json", tmp_path / "result.json")
    report = json.loads((tmp_path / "result.json").read_text())
    assert [item["artifact"]["path"] for item in report["files"]] == ["int8.tflite", "int8.onnx"]
    assert report["folder"] == str(bundle)
    assert report["files"][0]["accuracy"]["images"] == 30
    assert "keras" not in out.replace("Keras model", "")


def test_a_bundle_works_where_the_models_images_are_not(exported: Path, tmp_path: Path, terminal: Any) -> None:
    folder, data = tmp_path / "bars", tmp_path / "images"
    shutil.copytree(exported, folder, ignore=shutil.ignore_patterns("logs", "checkpoint"))
    shutil.copytree(Manifest.load(exported).dataset.source, data)
    path = tmp_path / "bars.zip"
    terminal.passes("bundle", folder, "--data", data)
    shutil.rmtree(data)
    shutil.rmtree(folder)
    assert "60 test images" in terminal.passes("evaluate", path / "int8.onnx")
