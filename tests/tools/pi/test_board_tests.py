"""Which of the tests of edge and benchmarks a board runs: not those for the workstation, which are counted as skipped."""

import shutil
from pathlib import Path

import pytest

from tools.pi import prove

ROOT = Path(__file__).parents[3]
NEEDS = {
    "a checkout": "assert (Path(__file__).parents[2] / 'README.md').read_text()",
    "a program": "assert shutil.which('ls')",
    "a package": "import matplotlib",
}
TEST = """
import shutil
from pathlib import Path

import pytest

{mark}
def test_that_needs_what_a_board_has_not():
    {need}

def test_that_needs_nothing():
    pass
"""


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose only tests are those that a test writes to the returned file; beside it, its wheel."""
    root = tmp_path / "checkout"
    for part in ("tests/edge", "tests/benchmarks", "tests/kept"):
        (root / part).mkdir(parents=True)
    for part in ("tools/pi", "tools/faults/mutators"):
        shutil.copytree(ROOT / part, root / part)
    for name in ("README.md", "pyproject.toml"):
        shutil.copy(ROOT / name, root)
    (tmp_path / "project").symlink_to(ROOT)
    monkeypatch.setattr(prove, "PROJECT_ROOT", root)
    return root / "tests/edge/test_planted.py"


@pytest.mark.parametrize("need", [*NEEDS])
def test_a_test_for_the_workstation_is_skipped_with_its_reason(
    need: str, checkout: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkout.write_text(TEST.format(mark=f"@pytest.mark.workstation('needs {need}')", need=NEEDS[need]))
    assert prove._tests_here(tmp_path, ("tests/edge",)) == []
    printed = capsys.readouterr().out
    assert "1 passed, 1 skipped" in printed
    assert f"for the workstation: needs {need}" in printed


@pytest.mark.parametrize("need", ["a checkout", "a program"])
def test_one_that_is_not_marked_fails_before_a_board_runs_it(need: str, checkout: Path, tmp_path: Path) -> None:
    checkout.write_text(TEST.format(mark="", need=NEEDS[need]))
    (problem,) = prove._tests_here(tmp_path, ("tests/edge",))
    assert "test_that_needs_what_a_board_has_not" in problem


def test_one_that_imports_a_package_of_the_workstation_is_skipped_as_on_a_board(
    checkout: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkout.write_text(TEST.format(mark="", need=NEEDS["a package"]))
    assert prove._tests_here(tmp_path, ("tests/edge",)) == []
    assert "needs matplotlib, which the board" in capsys.readouterr().out


@pytest.mark.parametrize("way", ["import tensorflow", "from edgecnn.convert.keras.load import load_keras; load_keras()"])
def test_one_whose_module_of_edgecnn_imports_tensorflow_fails(way: str, checkout: Path, tmp_path: Path) -> None:
    need = f"exec({way!r}, {{'__name__': 'edgecnn.edge.planted'}})"
    checkout.write_text(TEST.format(mark="", need=need))
    (problem,) = prove._tests_here(tmp_path, ("tests/edge",))
    assert "test_that_needs_what_a_board_has_not" in problem


def test_ci_runs_all_tests_with_what_a_board_has(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def tests_here(scratch: Path, tests: tuple[str, ...]) -> list[str]:
        asked.extend(tests)
        return ["planted"]

    monkeypatch.setattr(prove, "_tests_here", tests_here)
    monkeypatch.setattr(prove, "_make_boards", lambda names, scratch, named: [])
    monkeypatch.setattr(prove, "kept_bundles", Path)
    monkeypatch.setattr(prove, "_on_workstation", lambda home, bundle, named: ({}, {}))
    assert prove.prove([], quick=True) == ["on this machine: planted"] * 2
    assert sorted(asked) == ["tests/benchmarks", "tests/edge"]
