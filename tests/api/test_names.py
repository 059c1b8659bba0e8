"""The names that `import edgecnn` offers, and the cost of the import."""

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import edgecnn as ec
from edgecnn.edge.formats import device_formats
from edgecnn.edge.option import declared

# Names used on a board, where convert must not be imported.
ON_A_BOARD = (
    "bench", "bench_devices", "bundle", "compare", "doctor", "evaluate", "inspect_images", "load_dataset", "open", "predict",
    "read_image", "read_report", "read_results", "selftest", "serve", "export_page", "summary", "verify", "Classifier",
    "Budget", "BenchOptions", "ServeOptions", "Report", "deploy", "deploy_status", "rollback", "doctor_devices",
    "verify_devices",
)  # fmt: skip
GUARD = """
import sys
from pathlib import Path

class Guard:
    def find_spec(self, name, path=None, target=None):
        if name.startswith(GUARDED):
            raise ImportError(f"guard: {name} is not allowed here")

sys.meta_path.insert(0, Guard())
"""


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_name_that_there_is_not_is_refused() -> None:
    with pytest.raises(AttributeError, match="trian"):
        ec.trian  # type: ignore[attr-defined]  # noqa: B018  # As a user who mistypes.


def test_every_name_is_completed_by_tab_and_says_what_it_is() -> None:
    assert set(ec.__all__) <= set(dir(ec))
    assert {*ec.__all__} == {*(name.public for name in ec.NAMES), "__version__"}
    for name in ec.__all__:
        value = getattr(ec, name)
        if name != "__version__":
            assert inspect.getdoc(value), name


def test_every_function_says_what_it_takes_gives_and_raises() -> None:
    for name in ec.__all__:
        function = getattr(ec, name)
        if not inspect.isfunction(function):
            continue
        text = inspect.getdoc(function) or ""
        assert "Raises:" in text, name
        assert "Annotated" not in f"{inspect.signature(function)}", name
        for parameter in inspect.signature(function).parameters.keys() - declared(function).keys() - {"progress"}:
            assert f"\n    {parameter}: " in text or f" `{parameter}`" in text or "Args:" not in text, f"{name}: {parameter}"


@pytest.mark.parametrize("function", [ec.export, ec.sweep])
def test_every_format_is_named_where_one_is_chosen(function: object) -> None:
    text = function.__doc__ or ""
    assert [name for name in device_formats() if f"`{name}`" not in text] == []


def test_importing_edgecnn_imports_nothing_else() -> None:
    code = "import sys; before = set(sys.modules); import edgecnn; print(sorted(set(sys.modules) - before))"
    loaded = set(eval(run(code)))  # noqa: S307  # The list printed by the line above.
    own = {"edgecnn", "edgecnn.edge", "edgecnn.edge.show"}
    assert {name for name in loaded if name.partition(".")[0] not in sys.stdlib_module_names} == own


def test_a_folder_called_edgecnn_hides_it_not(tmp_path: Path) -> None:
    (tmp_path / "edgecnn").mkdir()  # As where a clone of it lies.
    command = [sys.executable, "-c", "import edgecnn; print(edgecnn.load_dataset.__module__)"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "edgecnn.commands.data\n"


def test_what_a_board_runs_needs_neither_convert_nor_tensorflow_which_the_guard_refuses() -> None:
    code = f"GUARDED = ('edgecnn.convert', 'tensorflow', 'keras')\n{GUARD}\nimport edgecnn\nedgecnn.train"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "guard: edgecnn.convert" in done.stderr
    names = "".join(f"edgecnn.{name}\n" for name in ON_A_BOARD)
    code = f"GUARDED = ('edgecnn.convert', 'tensorflow', 'keras', 'rich', 'typer')\n{GUARD}\nimport edgecnn\n{names}"
    assert run(f"{code}print('done')") == "done\n"


def test_a_new_name_is_put_among_those_for_a_board_or_not() -> None:
    workstation = {"TrainConfig", "TrainResult", "diagnose", "export", "fit", "sweep", "train"}
    functions = {name for name in ec.__all__ if inspect.isfunction(getattr(ec, name))}
    assert functions <= {*ON_A_BOARD, *workstation, "preprocessing"}
