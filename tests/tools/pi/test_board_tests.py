"""Which of the tests of edge and benchmarks a board runs: not those for the workstation, which are counted as skipped."""

import re
import shutil
from pathlib import Path

import pytest

from tests.slow import SIMULATES
from tools.pi import prove

ROOT = Path(__file__).parents[3]
NEEDS = {
    "checkout": "assert (Path(__file__).parents[2] / 'README.md').read_text()",
    "program": "assert shutil.which('ls')",
    "package": "import matplotlib",
}
OF_EDGECNN = {
    "tensorflow": "import tensorflow",
    "keras": "from edgecnn.convert.keras.load import load_keras; load_keras()",
}
HEAD = """
import shutil
from pathlib import Path

import pytest

def test_that_needs_nothing():
    pass
"""


def planted(name: str, need: str, mark: str = "") -> str:
    return f"\n{mark}\ndef test_{name}():\n    {need}\n"


MARKED = "".join(planted(name, need, f"@pytest.mark.workstation('needs a {name}')") for name, need in NEEDS.items())
UNMARKED = "".join(planted(name, need) for name, need in NEEDS.items()) + "".join(
    planted(name, f"exec({way!r}, {{'__name__': 'edgecnn.edge.planted'}})") for name, way in OF_EDGECNN.items()
)


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose only tests are those that a test writes to the returned file; beside it, its wheel."""
    root = tmp_path / "checkout"
    for part in ("tests/edge", "tests/benchmarks", "tests/kept", "tests/digit_photos"):
        (root / part).mkdir(parents=True)
    for part in ("tools/pi", "tools/faults/mutators"):
        shutil.copytree(ROOT / part, root / part)
    for name in ("README.md", "pyproject.toml"):
        shutil.copy(ROOT / name, root)
    (tmp_path / "project").symlink_to(ROOT)
    monkeypatch.setattr(prove, "PROJECT_ROOT", root)
    return root / "tests/edge/test_planted.py"


def test_a_test_for_the_workstation_is_skipped_with_its_reason(
    checkout: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkout.write_text(HEAD + MARKED)
    assert prove._tests_here(tmp_path, ("tests/edge",)) == []
    printed = capsys.readouterr().out
    assert "1 passed, 3 skipped" in printed
    assert all(f"for the workstation: needs a {name}" in printed for name in NEEDS)


def test_one_that_is_not_marked_or_whose_module_imports_tensorflow_fails_before_a_board_runs_it(
    checkout: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkout.write_text(HEAD + UNMARKED)
    (problem,) = prove._tests_here(tmp_path, ("tests/edge",))
    assert {*re.findall(r"^FAILED .*::test_(\w+)", problem, re.MULTILINE)} == {"checkout", "program", *OF_EDGECNN}
    # One that imports a package of the workstation is skipped, as on a board.
    assert "needs matplotlib, which the board" in capsys.readouterr().out


def test_only_what_the_board_ran_simulations_and_further_cases_are_left_out(
    checkout: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (checkout.parents[1] / "conftest.py").write_text(
        "import pytest\ndef pytest_collection_modifyitems(items):\n    for item in items:\n"
        f"        item.add_marker(pytest.mark.slow(why={SIMULATES!r} if 'sum' in item.name else 'starts servers'))\n"
    )
    cases = "import pytest\n@pytest.mark.parametrize('case', [0, 1])\ndef test_server(case): assert case == 0\n"
    checkout.write_text(f"{cases}def test_sum(): assert False\n")
    checkout.with_name("test_ran.py").write_text("def test_ran(): assert False\n")
    monkeypatch.setattr(prove, "QUICK", (("tests/edge/test_ran.py",),))
    assert prove._tests_here(tmp_path, ("tests/edge",)) == []
    assert "1 passed, 2 deselected" in capsys.readouterr().out


def test_ci_runs_the_tests_of_both_parts_with_what_a_board_has(monkeypatch: pytest.MonkeyPatch) -> None:
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
