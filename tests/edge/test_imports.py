"""What the device must not need, and what the command line must not wait for, each in a new interpreter."""

import subprocess
import sys
from pathlib import Path

import pytest

GUARD = """
import sys

class Guard:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in {*sys.stdlib_module_names, *ALLOWED}:
            raise ImportError(f"guard: {name} is not allowed here")

sys.meta_path.insert(0, Guard())
"""


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)


def guarded(code: str, *allowed: str) -> subprocess.CompletedProcess[str]:
    return run(f"ALLOWED = {allowed!r}\n{GUARD}\n{code}")


@pytest.mark.workstation("reads edge/ of the checkout")
def test_only_the_table_of_formats_names_what_stands_above_edge() -> None:
    edge = Path(__file__).parents[2] / "edge"
    above = ("edgecnn.convert", "edgecnn.benchmarks", "edgecnn.workflows", "edgecnn.commands", "edgecnn.shell")
    naming = [
        str(path.relative_to(edge))
        for path in edge.rglob("*.py")
        if any(name in path.read_text(encoding="utf-8") for name in above)
    ]
    assert naming == ["formats.py"]


def test_the_guard_refuses_what_is_not_allowed() -> None:
    for code in ("import PIL", "import numpy"):
        refused = guarded(code, "edgecnn")
        assert refused.returncode == 1
        assert "guard:" in refused.stderr


def test_the_device_needs_only_the_standard_library_and_numpy_until_a_file_is_opened() -> None:
    modules = ("inference.classifier", "data.image_file", "runtimes")
    imports = "".join(f"import edgecnn.edge.{module}\n" for module in modules)
    done = guarded(f"{imports}print('done')", "edgecnn", "numpy")
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


def test_the_command_line_answers_without_loading_a_heavy_package() -> None:
    heavy = ("tensorflow", "keras", "onnxruntime", "onnx", "ai_edge_litert", "matplotlib", "PIL")
    done = run(
        "import sys\nfrom edgecnn.__main__ import main\ncode = main(['--help'])\n"
        f"print('loaded:', [name for name in {heavy!r} if name in sys.modules], code)"
    )
    assert done.returncode == 0, done.stderr
    assert "export" in done.stdout
    assert done.stdout.endswith("loaded: [] 0\n")
