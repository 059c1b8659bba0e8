"""The notebook, run cell by cell on small pictures; and the script for a build."""

import ast
import inspect
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import edgecnn as ec
from edgecnn.benchmarks.measure.options import BenchOptions, PlanOptions
from examples import gate

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "examples" / "images_to_device.ipynb"
QUICK = BenchOptions(plan=PlanOptions(launches=2, min_runs=30, min_seconds=0))


def cells() -> list[str]:
    """Return the notebook's code."""
    found: list[dict[str, Any]] = json.loads(NOTEBOOK.read_text())["cells"]
    return ["".join(cell["source"]) for cell in found if cell["cell_type"] == "code"]


def run(code: str, names: dict[str, Any]) -> Any:
    """Run a cell and return what it shows: the value of its last line if it is an expression."""
    *statements, last = ast.parse(code).body
    if not isinstance(last, ast.Expr):
        statements, last_value = [*statements, last], None
    else:
        last_value = ast.Expression(last.value)
    exec(compile(ast.Module(statements, []), "cell", "exec"), names)  # noqa: S102  # Our own notebook.
    return eval(compile(last_value, "cell", "eval"), names) if last_value else None  # noqa: S307  # As above.


def draw_photos(folder: Path) -> None:
    """Write 40 and 16 pictures of two classes, a bar at the top or at the bottom."""
    rng = np.random.default_rng(3)
    for part, count in (("train", 40), ("test", 16)):
        for number in range(count):
            image = rng.integers(0, 60, (16, 16, 3)).astype(np.uint8)
            image[2 : 6 if number % 2 else -6] += 120
            path = folder / part / ("top" if number % 2 else "tall") / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure only briefly."""
    bench = inspect.unwrap(ec.bench)
    monkeypatch.setattr(bench, "__kwdefaults__", {**(bench.__kwdefaults__ or {}), "options": QUICK})


def test_the_notebook_holds_no_output_and_no_path_of_a_machine() -> None:
    text = NOTEBOOK.read_text()
    assert all(not cell.get("outputs") for cell in json.loads(text)["cells"])
    assert "/home/" not in text


@pytest.mark.usefixtures("quick")
def test_the_notebook_goes_from_pictures_to_a_judged_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw_photos(tmp_path / "photos")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    shown = []
    for code in cells():
        shown.append(run(code.replace("EPOCHS = 30", "EPOCHS = 2"), names))
    pages = [value._repr_html_() for value in shown if hasattr(value, "_repr_html_")]
    assert len(pages) >= 6  # The pictures, the model, the folder, the report, the layers, the bundle.
    assert names["report"].verdict.status in ("PASS", "FAIL", "UNDECIDED", "INVALID", "UNJUDGED")
    assert set(names["prediction"].labels) <= {"top", "tall"}
    assert (tmp_path / "report.html").stat().st_size > 10_000
    assert (tmp_path / "photos.zip").exists()


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(("limits", "codes"), [(("--max-p90-ms", "0.00001"), (3, 7)), (("--max-drop", "-1"), (2,))])
def test_the_script_for_a_build_ends_with_what_the_verdict_says(
    limits: tuple[str, ...], codes: tuple[int, ...], three_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["gate.py", str(three_files), "--out", str(tmp_path / "out"), *limits])
    assert gate.main() in codes
    assert (tmp_path / "out" / "result.json").exists() == (codes != (2,))


@pytest.mark.usefixtures("quick")
def test_the_script_compares_with_an_earlier_result(
    three_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    arguments = ["gate.py", str(three_files), "--out", str(out), "--max-drop", "100"]
    monkeypatch.setattr("sys.argv", arguments)
    assert gate.main() == 0
    (out / "result.json").rename(tmp_path / "last.json")
    monkeypatch.setattr("sys.argv", [*arguments, "--before", str(tmp_path / "last.json"), "--max-slowdown", "1000"])
    assert gate.main() in (0, 3, 7)  # Any of these may result from two measurements on a busy machine.
    assert "new / old" in capsys.readouterr().out
