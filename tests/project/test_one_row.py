"""Formats and runtimes are listed, and compared with a name, only in their own modules: others ask edge/formats.py."""

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgecnn.edge.formats import FORMATS, RUNTIMES

ROOT = Path(__file__).parents[2]
PACKAGES = ("edge", "convert", "benchmarks", "edgecnn/commands", "edgecnn/shell", "edgecnn/workflows")
NAMES = {
    *FORMATS,
    *RUNTIMES,
    *(row.suffix for row in FORMATS.values()),
    *(row.package.name for row in RUNTIMES.values()),
    *(row.package.module.partition(".")[0] for row in RUNTIMES.values()),
}
# Modules special to a format or a runtime, by parts of their path.
OWN = ("edge/formats.py", "/tflite", "/onnx", "/keras/", "/runtimes/", "profile_litert", "profile_onnxruntime")
EXCEPTIONS = {
    "convert/training/model/custom_model.py": "it asks whether a layer's class is of the package keras",
    "edgecnn/workflows/ray_nodes.py": "it asks each machine for the versions of its packages",
}


def named(node: ast.expr) -> bool:
    """Return whether an expression is a name, or a collection with one."""
    return any(isinstance(part, ast.Constant) and part.value in NAMES for part in ast.walk(node))


def comparisons(tree: ast.Module) -> Iterator[int]:
    """Yield the lines with a comparison with a name, a table by name or a list of several names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            found = any(map(named, (node.left, *node.comparators)))
        elif isinstance(node, ast.MatchValue):
            found = named(node.value)
        elif isinstance(node, ast.Dict):
            found = any(isinstance(key, ast.Constant) and key.value in NAMES for key in node.keys)
        elif isinstance(node, ast.Tuple | ast.List | ast.Set):
            found = sum(isinstance(item, ast.Constant) and item.value in NAMES for item in node.elts) > 1
        elif isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else ""
            found = called in ("startswith", "endswith") and any(map(named, node.args))
        else:
            continue
        if found:
            yield node.lineno


@pytest.mark.parametrize(
    "code",
    [
        'if model.format == "tflite": pass',
        'if "onnx" != name: pass',
        'if name in ("tflite", "onnx"): pass',
        'if name not in {"keras"}: pass',
        'if path.suffix.lower() == ".keras": pass',
        'if "onnx" in targets: pass',
        'TABLE = {"tflite": 1}',
        'NAMES = ("tflite", "onnx")',
        'SUFFIXES = {".zip", ".tflite", ".onnx"}',
        'if name.endswith(".onnx"): pass',
        'if runtime.name == "ai-edge-litert": pass',
        'match name:\n    case "keras" | "onnx": pass',
    ],
)
def test_a_comparison_is_found(code: str) -> None:
    assert list(comparisons(ast.parse(code)))


@pytest.mark.parametrize("code", ['opener_for("keras")', 'PARTS = ("keras", "layers")', 'if name == "float32": pass'])
def test_a_name_that_is_only_handed_on_is_none(code: str) -> None:
    assert not list(comparisons(ast.parse(code)))


def test_nobody_else_compares_a_format_or_a_runtime_with_its_name() -> None:
    found = []
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            if name not in EXCEPTIONS and not any(part in f"/{name}" for part in OWN):
                found += [f"{name}:{line}" for line in comparisons(ast.parse(path.read_text(encoding="utf-8")))]
    assert not found, found


@pytest.mark.parametrize("name", EXCEPTIONS)
def test_an_exception_still_needs_to_be_one(name: str) -> None:
    assert list(comparisons(ast.parse((ROOT / name).read_text(encoding="utf-8"))))


def test_no_runtime_is_imported_where_a_module_begins() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]["flake8-tidy-imports"]
    packages = {row.package.module.partition(".")[0] for row in RUNTIMES.values()}
    assert packages - set(settings["banned-module-level-imports"]) == set()
