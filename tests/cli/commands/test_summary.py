"""`edgecnn summary` on the command line."""

import builtins
import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from edgecnn.edge.packages import install_command

# Counts of the network in `exported`, for 12x12 images of 3 classes.
MACS = 12 * 12 * 9 * 32 + 6 * 6 * 9 * 32 * 32 + 3 * 3 * 9 * 32 * 32 + 3 * 3 * 32 * 3


def without(monkeypatch: pytest.MonkeyPatch, *missing: str) -> None:
    """Make packages look as if they were not installed."""
    find, load = importlib.util.find_spec, builtins.__import__

    def found(name: str, package: str | None = None) -> Any:
        return None if name in missing else find(name, package)

    def loaded(name: str, *rest: Any, **named: Any) -> Any:
        if name.partition(".")[0] in missing:
            raise ModuleNotFoundError(name, name=name)
        return load(name, *rest, **named)

    monkeypatch.setattr("edgecnn.edge.formats.find_spec", found)
    monkeypatch.setattr(builtins, "__import__", loaded)


def test_a_file_of_no_known_format_is_refused(terminal: Any) -> None:
    Path("model.bin").write_bytes(b"no")
    assert "model.bin is not a .keras" in terminal.fails(4, "summary", "model.bin")


def test_without_what_reads_a_file_it_says_what_to_install(
    exported: Path, monkeypatch: pytest.MonkeyPatch, terminal: Any
) -> None:
    without(monkeypatch, "onnx", "ai_edge_litert")
    line = terminal.fails(6, "summary", exported / "int8.onnx")
    assert all(part in line for part in ("onnx is not installed", f"On the workstation: {install_command('train')}"))
    line = terminal.fails(6, "summary", exported / "int8.tflite")
    assert line.endswith(f"ai-edge-litert is not installed: {install_command('tflite')}")


def test_files_of_a_folder_that_can_not_be_read_here_are_named(
    exported: Path, monkeypatch: pytest.MonkeyPatch, terminal: Any
) -> None:
    without(monkeypatch, "onnx")
    text = terminal.passes("summary", exported)
    assert all(part in text for part in ("int8.onnx was not read: ", "onnx is not installed"))
    assert "int8.tflite " in text


def test_a_file_that_nothing_vouches_for_says_so(exported: Path, tmp_path: Path, terminal: Any) -> None:
    shutil.copy(exported / "int8.tflite", tmp_path)
    assert "unverified: no manifest.json beside it" in terminal.passes("summary", tmp_path / "int8.tflite")
    assert "unverified" not in terminal.passes("summary", exported / "int8.tflite")


def test_the_rows_of_a_file_add_up_to_its_totals(exported: Path, tmp_path: Path, terminal: Any) -> None:
    text = terminal.passes("summary", exported / "int8.tflite", "--json", tmp_path / "summary.json")
    found = json.loads((tmp_path / "summary.json").read_text())["files"][0]
    assert found["macs"] == sum(layer["macs"] for layer in found["layers"]) == MACS
    for name in ("parameters", "weight_bytes"):
        assert found[name] == sum(layer[name] for layer in found["layers"])
    assert f"{MACS:,}" in text
    assert [layer["kind"] for layer in found["layers"]].count("CONV_2D") == 3
    assert found["layers"][0]["shape"] == [1, 12, 12, 32]
    assert found["peak_activation_bytes"] == 12 * 12 * 32 + 6 * 6 * 32


def test_every_precision_and_format_of_a_network_has_the_same_products_and_parameters(exported: Path, terminal: Any) -> None:
    found = json.loads(terminal.passes("summary", exported, "--json", "-"))["files"]
    files = {Path(file["file"]).name: file for file in found}
    assert len(files) == 8
    assert {file["macs"] for file in found} == {MACS}
    keras = files.pop("model.keras")["parameters"]
    assert {file["parameters"] for file in files.values()} == {keras - 3 * 4 * 32}
    floats, halves = files["float32.tflite"]["weight_bytes"], files["float16.tflite"]["weight_bytes"]
    assert files["float32.onnx"]["weight_bytes"] == floats == 2 * halves
    assert files["int8.onnx"]["weight_bytes"] == files["int8.tflite"]["weight_bytes"] < halves
    peaks = {name: files[name]["peak_activation_bytes"] for name in files}
    assert peaks["float32.tflite"] == 2 * peaks["int16x8.tflite"] == 4 * peaks["int8.tflite"]
    assert peaks["int8.onnx"] == peaks["int8.tflite"]


def test_weights_that_are_unpacked_belong_to_the_operator_that_uses_them(exported: Path, terminal: Any) -> None:
    found = json.loads(terminal.passes("summary", exported / "float16.tflite", "--json", "-"))["files"][0]
    weights = {layer["kind"]: layer["parameters"] for layer in found["layers"] if layer["parameters"]}
    assert set(weights) == {"CONV_2D", "FULLY_CONNECTED"}
    assert found["notes"] == ["Operators that only unpack constants, counted with their readers: 8."]


def test_a_folder_is_one_table_with_a_row_for_each_file(exported: Path, terminal: Any) -> None:
    lines = terminal.passes("summary", exported).splitlines()
    assert max(map(len, lines[1:])) <= 100
    assert sum(f"{MACS:,}" in line for line in lines) == 8
    assert any("batch normalisation" in line for line in lines)


def test_a_bundle_and_a_file_of_one_are_read_too(exported: Path, tmp_path: Path, terminal: Any) -> None:
    path = tmp_path / "bars.zip"
    terminal.passes("bundle", exported, "--out", path, "--file", "int8.tflite", "--file", "int8.onnx", "--images", 30)
    text = terminal.passes("summary", path)
    assert sum(f"{MACS:,}" in line for line in text.splitlines()) == 2
    first = " ".join(terminal.passes("summary", path / "int8.tflite").split())
    assert first.startswith(f"{path}/int8.tflite: tflite")
