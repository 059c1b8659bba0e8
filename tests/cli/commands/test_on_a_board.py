"""The commands for a board, in a process without TensorFlow, Keras and edgecnn's convert."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgecnn.benchmarks.bundle.write_bundle import write_bundle
from edgecnn.edge.data.dataset import load_test
from edgecnn.edge.model_folder import ModelFolder

# Python imports this at the start of each process, even children; a module set to None can't be imported.
ABSENT = 'import sys\nfor name in ("tensorflow", "keras", "edgecnn.convert"):\n    sys.modules[name] = None\n'
# Prints how each of several commands ended, and what it printed.
RUN = """
import contextlib, io, json, sys
from edgecnn.__main__ import main

def ended(arguments):
    with contextlib.redirect_stdout(io.StringIO()) as out:
        try:
            code = main(arguments)
        except ImportError as error:
            code = str(error)
    return code, out.getvalue()

print(json.dumps([ended(arguments) for arguments in json.loads(sys.argv[1])]))
"""
FILES = ("int8.tflite", "float32.onnx")
SHORT = ("--launches", "2", "--min-runs", "40", "--min-seconds", "0")
BENCH = ("bench", "{bundle}", *SHORT, "--max-drop", "100", "--json")
COMMANDS = (
    ("data", "{images}"),
    ("doctor", "{bundle}"),
    ("summary", "{bundle}"),
    ("summary", "{folder}/int8.onnx"),
    ("verify", "{bundle}"),
    ("verify", "{bundle}/float32.onnx"),
    ("evaluate", "{folder}/float32.tflite"),
    ("evaluate", "{bundle}/float32.onnx"),
    ("predict", "{folder}/int8.onnx", "--index", "0"),
    ("predict", "{bundle}/int8.tflite", "--index", "0"),
    (*BENCH, "result.json"),
    (*BENCH, "again.json"),
    ("bench", "{folder}", "--runtime", "onnx", *SHORT, "--max-drop", "100"),
    ("bench", "{folder}/int8.tflite", *SHORT),
    ("report", "result.json"),
    ("compare", "result.json", "again.json"),
    ("selftest", "{folder}/int8.tflite", "--trials", "4", *SHORT),
)
WORKSTATION = (("evaluate", "{folder}/model.keras"), ("train", "--data", "{images}"))


Ended = dict[tuple[str, ...], tuple[object, str]]
"""Command -> its exit code, and what it printed."""


@pytest.fixture(scope="module")
def ended(exported: Path, idx_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """How each command ends on a board with a bundle and a folder."""
    home = tmp_path_factory.mktemp("board")
    (home / "sitecustomize.py").write_text(ABSENT)
    paths = {"folder": exported, "images": idx_folder, "bundle": home / "bars.zip"}
    write_bundle(paths["bundle"], ModelFolder(exported), load_test(idx_folder), FILES, test_images=20)
    commands = (*WORKSTATION, *COMMANDS)
    typed = json.dumps([[argument.format(**paths) for argument in command] for command in commands])
    path = os.pathsep.join(map(str, [home, *filter(None, sys.path)]))
    done = subprocess.run(
        [sys.executable, "-P", "-c", RUN, typed],
        cwd=home, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = dict(zip(commands, map(tuple, json.loads(done.stdout)), strict=True))
    print(done.stderr)  # pytest shows it if a test fails.
    return found


def test_what_the_guard_keeps_away_is_missed(ended: Ended) -> None:
    codes = [ended[command][0] for command in WORKSTATION]
    assert codes[0] == 6
    assert "edgecnn.convert" in str(codes[1])


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_board_needs_no_convert(command: tuple[str, ...], ended: Ended) -> None:
    code, printed = ended[command]
    # Whether it is too noisy to judge is another matter.
    assert code in ((0, 7) if command[0] == "selftest" else (0,))
    assert printed


def test_the_doctor_runs_the_files_of_a_bundle(ended: Ended) -> None:
    lines = ended["doctor", "{bundle}"][1].splitlines()
    assert {name for line in lines if "ran it once" in line for name in FILES if f" {name} " in line} == {*FILES}
