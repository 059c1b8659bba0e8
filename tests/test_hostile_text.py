"""Names from outside in every command that shows them: none controls the terminal, adds a line or becomes a formula."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from PIL import Image

from edgecnn.edge.manifest import Manifest
from tests.onnx_text import onnx_bytes

EVIL = "\x1b[31mcat\r\x9b2J\u202edog\nPASS: every file is within 0.50 points"
SHORT = ("--launches", "2", "--min-runs", "4", "--min-seconds", "0")


def harmless(text: str) -> None:
    assert text.replace("\n", "").isprintable(), [letter for letter in text if not letter.isprintable()]
    assert not re.search(r"\nPASS: [^.\n]* 0\.50", text)
    assert "\\u001b[31mcat" in text


def photos(folder: Path, names: tuple[str, ...], file: str = "") -> Path:
    rng = np.random.default_rng(0)
    for part in ("train", "test"):
        for name in names:
            place = folder / part / name
            place.mkdir(parents=True)
            for number in range(2):
                Image.fromarray(rng.integers(0, 256, (9, 9, 3)).astype(np.uint8)).save(place / f"{file}{number}.png")
    return folder


@pytest.fixture
def evil_folder(artifacts: Path) -> Path:
    """An exported folder whose manifest has hostile class names, as another program may write it."""
    manifest = Manifest.load(artifacts)
    replace(manifest, class_names=(EVIL, "=1+1", "c")).save(artifacts)
    return artifacts


@pytest.fixture
def evil_onnx(exported: Path, tmp_path: Path) -> Path:
    """A model whose operators and tensors have hostile names, except its input and output."""
    model = onnx.load(exported / "int8.onnx")
    kept = {value.name for value in (*model.graph.input, *model.graph.output)}
    for node in model.graph.node:
        node.name = f"{EVIL}{node.name}"
        for names in (node.input, node.output):
            names[:] = [name if name in kept or not name else f"{EVIL}{name}" for name in names]
    for value in (*model.graph.initializer, *model.graph.value_info):
        value.name = f"{EVIL}{value.name}"
    onnx.save(model, tmp_path / "evil.onnx")
    return tmp_path / "evil.onnx"


@pytest.mark.parametrize("command", [("evaluate",), ("predict", "--index", "0"), ("verify",), ("summary",), ("doctor",)])
def test_a_typed_name_with_control_characters_is_refused_and_shown(command: tuple[str, ...], terminal: Any) -> None:
    line = terminal.fails(2, command[0], f"{EVIL}.tflite", *command[1:])
    harmless(terminal.err)
    assert "control characters" in line


def test_names_of_files_and_folders_that_data_lists_are_harmless(tmp_path: Path, terminal: Any) -> None:
    folder = photos(tmp_path / "pets", ("cat", "dog"), EVIL.replace("/", ""))
    shutil.copy(next((folder / "train" / "cat").iterdir()), folder / "test" / "dog" / "same.png")
    (folder / "train" / "cat" / f"{EVIL}.png").write_text("no image")
    terminal.run("data", folder, "--json", tmp_path / "found.json")
    harmless(terminal.out)
    harmless((tmp_path / "found.json").read_text())
    terminal.run("data", folder, "--json", "-")
    assert json.loads(terminal.out) == json.loads((tmp_path / "found.json").read_text())


def test_a_class_folder_with_control_characters_is_refused(tmp_path: Path, terminal: Any) -> None:
    line = terminal.fails(2, "data", photos(tmp_path / "pets", (EVIL, "dog")))
    harmless(line)
    assert "rename its folder" in line


def test_a_labels_file_with_control_characters_is_refused(tmp_path: Path, exported: Path, terminal: Any) -> None:
    (tmp_path / "labels.txt").write_bytes(EVIL.replace("\n", "").replace("\r", "").encode())
    source = Manifest.load(exported).dataset.source
    harmless(terminal.fails(4, "data", source, "--labels", tmp_path / "labels.txt"))


@pytest.mark.parametrize("name", ["int8.tflite", "int8.onnx"])
def test_class_names_of_a_manifest_are_harmless(name: str, evil_folder: Path, tmp_path: Path, terminal: Any) -> None:
    for command in (("predict", "--index", "0", "--index", "1", "--index", "2"), ("evaluate",), ("summary",)):
        terminal.run(command[0], evil_folder / name, *command[1:], "--json", tmp_path / "it.json")
        shown = terminal.out + (tmp_path / "it.json").read_text()
        assert shown.replace("\n", "").isprintable()
        assert "\nPASS" not in shown
    terminal.run("predict", evil_folder / name, "--index", "0")
    harmless(terminal.out)


def test_names_inside_a_model_are_harmless(evil_onnx: Path, exported: Path, terminal: Any) -> None:
    harmless(terminal.passes("summary", evil_onnx))
    terminal.run("bench", evil_onnx, "--profile", *SHORT)
    for text in (terminal.out, terminal.err):
        assert text.replace("\n", "").isprintable()
        assert "\nPASS" not in text


@pytest.fixture
def evil_result(tmp_path: Path) -> Path:
    """A result of an earlier schema in which every free text is hostile."""
    found = json.loads((Path(__file__).parent / "benchmarks" / "kept_results" / "schema-4.json").read_text())
    found["class_names"] = [f"{EVIL}{index}" for index, _ in enumerate(found["class_names"])]
    found["notes"] = [EVIL]
    found["machine"]["cpu"] = EVIL
    found["timed_region"] = EVIL
    if found["dataset"]:
        found["dataset"]["name"] = EVIL
    first = found["files"][0]
    if found["baseline"] == first["name"]:
        found["baseline"] = EVIL
    first["name"] = first["artifact"]["path"] = EVIL
    first["runtime"] = EVIL
    path = tmp_path / "evil.json"
    path.write_text(json.dumps(found))
    return path


def test_a_result_is_harmless_as_text_markdown_table_and_page(evil_result: Path, tmp_path: Path, terminal: Any) -> None:
    harmless(terminal.passes("report", evil_result))
    outputs = [tmp_path / name for name in ("page.html", "tables.md", "rows.csv")]
    terminal.passes("report", evil_result, "--html", outputs[0], "--markdown", outputs[1], "--csv", outputs[2])
    for path in outputs:
        text = path.read_text()
        assert text.replace("\n", "").isprintable(), path
        assert not re.search(r"^\W*PASS: [^.\n]* 0\.50", text, re.M), path
    again = tmp_path / "again.json"
    again.write_text(re.sub(r'("import_ns": )(\d)', r"\g<1>1\2", evil_result.read_text()))
    terminal.passes("compare", evil_result, again, "--allow", "noise")
    harmless(terminal.out)


@pytest.mark.parametrize("name", ["image", "classes", "operator"])
def test_a_name_in_an_onnx_file_that_is_not_utf_8_is_no_traceback(name: str, tmp_path: Path, terminal: Any) -> None:
    data = onnx_bytes("(float[1, 28, 28, 1] image) => (float[1, 28, 28, 1] classes) {[operator] classes = Softmax (image)}")
    path = tmp_path / "named.onnx"
    path.write_bytes(data.replace(name.encode(), b"\xff\xfe" + name.encode()[2:]))
    assert "UTF-8" in terminal.fails(4, "summary", path)
    command = ("bench", path, "--profile", *SHORT)
    if name == "operator":
        terminal.passes(*command)
    else:
        assert "UTF-8" in terminal.fails(4, *command)
