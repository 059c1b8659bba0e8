"""CONTRIBUTING's table of edits, counted on a toy option and a toy command in a copy of the tree."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOY = '''"""Say how large a toy is.

Example: edgecnn toy --size 3
"""

from typing import Annotated

from edgecnn.edge.option import Option, checked
from edgecnn.edge.result import Result


class Toy(Result):
    """What a toy is."""

    def to_text(self, width: int = 80) -> str:
        """Return it in words."""
        return "a toy"


@checked
def toy(*, size: Annotated[int, Option("How large it is.", low=1, high=9)] = 3) -> Toy:
    """Return a toy."""
    return Toy()
'''


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the product's code."""
    folder = tmp_path_factory.mktemp("tree")
    for name in ("edge", "convert", "benchmarks", "edgecnn"):
        left_out = shutil.ignore_patterns("__pycache__", "mnist", "page")
        shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=left_out)
    return folder


def run(tree: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=tree, capture_output=True, text=True, check=False)


def insert(file: Path, line: str, after: str) -> None:
    before, found, rest = file.read_text().partition(after)
    assert found
    file.write_text(before + found + line + rest)


def test_an_option_is_one_edit(tree: Path) -> None:
    option = '    toy: Annotated[int, Option("How large a toy is.", low=1, high=9)] = 3,\n'
    insert(tree / "edgecnn/commands/selftest.py", option, '"int8.tflite",\n    *,\n')
    assert "--toy" in run(tree, "-m", "edgecnn", "selftest", "--help").stdout
    refused = run(tree, "-m", "edgecnn", "selftest", "--toy", "10")
    assert (refused.returncode, all(part in refused.stderr for part in ("--toy must", "1 to 9, got 10"))) == (2, True)
    in_python = run(tree, "-c", "import edgecnn; edgecnn.selftest(toy=10)")
    assert all(part in in_python.stderr for part in ("ConfigError: toy must", "1 to 9, got 10"))
    assert "How large a toy is" in run(tree, "-c", "import edgecnn; print(edgecnn.selftest.__doc__)").stdout


def test_a_command_is_a_file_and_a_line(tree: Path) -> None:
    (tree / "edgecnn/commands/toy.py").write_text(TOY)
    line = "from edgecnn.commands.toy import toy as toy\n"
    insert(tree / "edgecnn/__init__.pyi", line, "# Commands for the device:\n")
    listed = run(tree, "-m", "edgecnn", "--help").stdout
    assert "how large a toy is." in listed
    helped = run(tree, "-m", "edgecnn", "toy", "--help").stdout
    assert "--size" in helped
    assert "edgecnn toy --size 3" in helped
    assert run(tree, "-m", "edgecnn", "toy").stdout == "a toy\n"
    assert run(tree, "-m", "edgecnn", "toy", "--size", "0").returncode == 2
    assert run(tree, "-c", "import edgecnn; print(edgecnn.toy())").stdout == "<Toy a toy>\n"
