"""What `edgecnn predict` imports, in a fresh interpreter: an application on a board waits for all of it."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

# Of our own, the packages included. Each module takes a fifth of a millisecond or more.
MOST_MODULES = 69
# What a prediction of an image file does without.
NEVER = (
    "edgecnn.benchmarks.gate",
    "edgecnn.convert",
    "edgecnn.edge.compatibility.tflite",
    "edgecnn.edge.data.dataset",
    "edgecnn.edge.data.splits",
    "edgecnn.edge.archive",
    "edgecnn.edge.show.pictures",
    "PIL.ImageOps",
    "email",
    "gzip",
    "importlib.metadata",
    "matplotlib",
    "pydantic",
    "rich",
    "zipfile",
)


def imported(*arguments: str) -> list[str]:
    code = "import json, sys\nfrom edgecnn.__main__ import main\ncode = main(sys.argv[1:])\n"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"{code}print(json.dumps([code, *sys.modules]))", *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    ended, *modules = json.loads(done.stdout.splitlines()[-1])
    assert ended == 0, done.stderr
    return list(map(str, modules))


def unwanted(modules: list[str]) -> list[str]:
    return [name for name in modules if any(name == never or name.startswith(f"{never}.") for never in NEVER)]


@pytest.fixture
def picture(tmp_path: Path) -> str:
    path = tmp_path / "bar.png"
    Image.fromarray(np.eye(12, dtype=np.uint8) * 255).save(path)
    return str(path)


def test_a_command_that_imports_more_is_seen(exported: Path) -> None:
    modules = imported("verify", str(exported / "int8.tflite"))
    assert unwanted(modules)
    assert len([name for name in modules if name.startswith("edgecnn")]) > MOST_MODULES


def test_a_prediction_of_an_image_file_imports_little(exported: Path, picture: str) -> None:
    modules = imported("predict", str(exported / "int8.tflite"), picture)
    assert unwanted(modules) == []
    own = sorted(name for name in modules if name.startswith("edgecnn"))
    assert len(own) <= MOST_MODULES, own


def test_a_prediction_of_a_test_image_imports_no_converter_and_no_picture_reader(exported: Path) -> None:
    modules = imported("predict", str(exported / "int8.tflite"), "--index", "3")
    assert [name for name in modules if name.startswith(("PIL", "edgecnn.convert", "matplotlib", "pydantic", "rich"))] == []
