"""The command line uses `import edgecnn`: it imports only that, and what parses and prints."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import edgecnn

ROOT = Path(edgecnn.__file__).parent
# What a command's module may import before it runs: what is declared, and what parses and prints.
ALLOWED = (
    "edgecnn.commands.shared", "edgecnn.shell", "edgecnn.edge.errors", "edgecnn.edge.files", "edgecnn.edge.formats",
    "edgecnn.edge.manifest", "edgecnn.edge.model.interface", "edgecnn.edge.option", "edgecnn.edge.result", "edgecnn.edge.text",
    "edgecnn.edge.data.folder_options", "edgecnn.edge.serving.options", "edgecnn.edge.serving.decoder",
    "edgecnn.benchmarks.gate.budget", "edgecnn.benchmarks.deploy.options", "edgecnn.benchmarks.measure.options",
    "edgecnn.convert.training.config", "rich", "typer",
)  # fmt: skip


def imported(source: str) -> Iterator[str]:
    """Return the modules that a file imports when it is imported, and those of `import_module`."""
    tree = ast.parse(source)
    top = {id(node) for node in tree.body}
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)) and id(node) not in top:
            continue
        if isinstance(node, ast.Import):
            yield from (item.name for item in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module)
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "import_module":
            (name,) = node.args
            yield from (item.value for item in ast.walk(name) if isinstance(item, ast.Constant))  # type: ignore[misc]


def is_allowed(module: str) -> bool:
    if module == "edgecnn" or module.partition(".")[0] in sys.stdlib_module_names:
        return True
    return any(module == name or module.startswith(f"{name}.") for name in ALLOWED)


def test_an_import_of_the_library_itself_is_seen() -> None:
    source = "from edgecnn.convert.training.train import train\nimport edgecnn.edge.data.dataset\nimport_module('numpy')"
    assert [name for name in imported(source) if not is_allowed(name)] == [
        "edgecnn.convert.training.train",
        "edgecnn.edge.data.dataset",
        "numpy",
    ]


def test_a_command_imports_what_is_declared_and_what_parses_and_prints() -> None:
    files = sorted([*(ROOT / "shell").rglob("*.py"), *(ROOT / "commands").rglob("*.py")])
    assert len(files) > 15
    for path in files:
        assert [name for name in imported(path.read_text()) if not is_allowed(name)] == [], path
