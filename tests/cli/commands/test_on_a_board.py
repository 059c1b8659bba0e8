"""The commands for a board, each in processes without TensorFlow, Keras and edgecnn's convert."""

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
SHORT = ("--launches", "2", "--min-runs", "40", "--min-seconds", "0")
ANY_DROP = ("--max-drop", "100")
COMMANDS = {
    "data": ("data", "{images}"),
    "doctor": ("doctor", "{bundle}"),
    "summary": ("summary", "{bundle}"),
    "summary of a file": ("summary", "{folder}/int8.onnx"),
    "verify": ("verify", "{bundle}"),
    "verify a file of a bundle": ("verify", "{bundle}/float32.onnx"),
    "evaluate": ("evaluate", "{folder}/float32.tflite"),
    "evaluate a file of a bundle": ("evaluate", "{bundle}/float32.onnx"),
    "predict": ("predict", "{folder}/int8.onnx", "--index", "0"),
    "predict by a file of a bundle": ("predict", "{bundle}/int8.tflite", "--index", "0"),
    "bench a folder": ("bench", "{folder}", "--runtime", "onnx", *SHORT, *ANY_DROP),
    "bench a file": ("bench", "{folder}/int8.tflite", *SHORT),
    "report": ("report", "{result}"),
    "compare": ("compare", "{result}", "{again}"),
    "selftest": ("selftest", "{folder}/int8.tflite", "--trials", "4", *SHORT),
}


@pytest.fixture(scope="module")
def board(exported: Path, idx_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The board's files: a bundle, a folder, images, two results of a benchmark of the bundle; and a home."""
    home = tmp_path_factory.mktemp("board")
    (home / "sitecustomize.py").write_text(ABSENT)
    paths = {"home": home, "folder": exported, "images": idx_folder, "bundle": home / "bars.zip"}
    write_bundle(paths["bundle"], ModelFolder(exported), load_test(idx_folder), ("int8.tflite", "float32.onnx"), test_images=20)
    for name in ("result", "again"):
        paths[name] = home / f"{name}.json"
        done = run(paths, "bench", "{bundle}", *SHORT, *ANY_DROP, "--json", f"{{{name}}}")
        assert done.returncode == 0, done.stderr
    return paths


def run(paths: dict[str, Path], *arguments: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(map(str, [paths["home"], *filter(None, sys.path)]))
    command = [sys.executable, "-P", "-m", "edgecnn", *(argument.format(**paths) for argument in arguments)]
    return subprocess.run(
        command, cwd=paths["home"], env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False
    )


def test_what_the_guard_keeps_away_is_missed(board: dict[str, Path]) -> None:
    done = run(board, "evaluate", "{folder}/model.keras")
    assert done.returncode != 0
    assert run(board, "train", "--data", "{images}").returncode != 0


@pytest.mark.parametrize("arguments", COMMANDS.values(), ids=COMMANDS)
def test_a_board_needs_no_convert(arguments: tuple[str, ...], board: dict[str, Path]) -> None:
    done = run(board, *arguments)
    # Whether it is too noisy to judge is another matter.
    assert done.returncode in ((0, 7) if arguments[0] == "selftest" else (0,)), done.stderr
    assert done.stdout
