"""No module imports, at its top or inside a function, what imports it; each record's text is made above it."""

import ast
import importlib
import inspect
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from edgecnn.edge.result import Result
from edgecnn.edge.show import _FUNCTIONS

ROOT = Path(__file__).parents[2]
FOLDERS = ("edge", "convert", "benchmarks", "edgecnn/commands", "edgecnn/shell", "edgecnn/workflows")


def modules(root: Path) -> dict[str, Path]:
    """Return the product's modules by name."""
    names = {}
    for path in (path for folder in FOLDERS for path in (root / folder).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        parts = parts if parts[0] == "edgecnn" else ("edgecnn", *parts)
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


def imported(path: Path) -> set[str]:
    """Return what a module imports when it runs: not what only a type checker reads."""
    found: set[str] = set()
    left: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while left:
        node = left.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            left += node.orelse
            continue
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        left += ast.iter_child_nodes(node)
    return found


def order(root: Path) -> list[str]:
    """Return the modules so that each comes after all that it imports; raise CycleError if there is no such order."""
    names = modules(root)
    graph = {name: (imported(path) & names.keys()) - {name} for name, path in names.items()}
    return list(TopologicalSorter(graph).static_order())


def test_no_import_goes_round_in_a_circle() -> None:
    assert len(order(ROOT)) > 200


def test_a_circle_inside_functions_is_found(tmp_path: Path) -> None:
    (tmp_path / "edge").mkdir()
    (tmp_path / "edge/record.py").write_text("def to_text():\n    from edgecnn.edge.text import text\n    return text()\n")
    (tmp_path / "edge/text.py").write_text("from edgecnn.edge import record\n")
    with pytest.raises(CycleError, match=r"edgecnn\.edge\.record"):
        order(tmp_path)
    (tmp_path / "edge/text.py").write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from edgecnn.edge import record\n"
    )
    assert order(tmp_path) == ["edgecnn.edge.text", "edgecnn.edge.record"]


def test_each_result_has_its_text_and_each_function_takes_its_record() -> None:
    for name in modules(ROOT):
        importlib.import_module(name)
    classes = {item.__name__: item for item in Result.__subclasses__()}
    assert {f"{name}.to_text" for name in classes} <= _FUNCTIONS.keys()
    for method, place in _FUNCTIONS.items():
        module, _, name = place.partition(":")
        record, *_ = inspect.signature(getattr(importlib.import_module(module), name)).parameters.values()
        assert record.annotation.__name__ == method.partition(".")[0]
        # The file to ship is derived, not shown.
        assert "show" in module.split(".") or (method.endswith(".choice") and module.endswith(".results.choice"))
