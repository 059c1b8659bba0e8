"""A pipe in place of a file is refused: reading it would wait for ever."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def pipes(tmp_path: Path) -> Path:
    """The current folder, with a pipe of each suffix that nobody writes into."""
    for suffix in ("tflite", "onnx", "keras", "json", "png", "toml", "txt", "csv", "npz", "zip"):
        os.mkfifo(tmp_path / f"pipe.{suffix}")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["summary", "pipe.tflite"], 4),
        (["summary", "pipe.onnx"], 4),
        (["evaluate", "pipe.keras"], 4),
        (["predict", "{exported}/int8.tflite", "pipe.png"], 4),
        (["report", "pipe.json"], 4),
        (["compare", "pipe.json", "pipe.json"], 4),
        (["bench", "{exported}", "--budget", "pipe.toml"], 2),
        (["bench", "{exported}", "--groups", "pipe.csv"], 2),
        (["data", "{idx}", "--labels", "pipe.txt"], 4),
        (["data", "pipe.npz"], 2),
        (["verify", "pipe.zip"], 4),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
@pytest.mark.usefixtures("pipes")
def test_a_pipe_in_a_files_place_is_refused(
    arguments: list[str], code: int, exported: Path, idx_folder: Path, terminal: Any
) -> None:
    named = [argument.format(exported=exported, idx=idx_folder) for argument in arguments]
    assert "pipe." in terminal.fails(code, *named)


def test_pipes_among_images_and_beside_a_model_are_refused(
    pipes: Path, artifacts: Path, idx_folder: Path, terminal: Any
) -> None:
    shutil.copytree(idx_folder, pipes / "images")
    for path in (pipes / "images" / "t10k-images-idx3-ubyte.gz", artifacts / "manifest.json"):
        path.unlink()
        os.mkfifo(path)
    assert "t10k-images-idx3-ubyte.gz can't be read" in terminal.fails(4, "data", pipes / "images")
    assert "manifest.json can't be read" in terminal.fails(4, "summary", artifacts / "int8.tflite")
