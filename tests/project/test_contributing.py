"""CONTRIBUTING.md's tree is the repository's; rooms, files and functions are short; no two classes have one name."""

import ast
import re
from collections import Counter, defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = ("edge", "convert", "benchmarks", "edgecnn", "tools")
LONG_FUNCTION = "# Longer than 50 lines: "


def files(*folders: str) -> list[Path]:
    """Return the files of code in these folders, each once: edgecnn/edge is a link to edge/."""
    found = (path for name in folders for path in (ROOT / name).rglob("*.py"))
    return [path for path in found if path.resolve() == path]


def long_functions(code: str) -> set[str]:
    """Return the functions of more than 50 lines that don't say why."""
    functions = (node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    long = [item for item in functions if (item.end_lineno or 0) - item.lineno >= 50]
    return {item.name for item in long if LONG_FUNCTION not in code.splitlines()[item.lineno - 1]}


def rooms() -> set[str]:
    """Every folder of modules, except links."""
    modules = (path for name in SOURCES for path in (ROOT / name).rglob("*.py"))
    return {str(path.parent.relative_to(ROOT)) for path in modules}


def listed() -> dict[str, str]:
    """Each folder in the tree, with the words of its line."""
    block = (ROOT / "CONTRIBUTING.md").read_text().split("```")
    (tree,) = (text for text in block if text.startswith("\nedgecnn/ "))
    found: dict[str, str] = {}
    parents: list[str] = []
    for line in tree.strip().splitlines():
        entry = re.fullmatch(r"( *)(\S+)/ +(\S.*)", line)
        if entry:
            parents[len(entry[1]) // 2 :] = [entry[2]]
            found["/".join(parents)] = entry[3]
    return found


def test_every_room_has_a_line_every_line_a_room_and_the_modules_that_it_names() -> None:
    assert len(rooms()) > 30
    assert rooms() - listed().keys() == set()
    assert {name for name in listed() if not (ROOT / name).is_dir()} == set()
    named = {f"{room}/{name}" for room, words in listed().items() for name in re.findall(r"\w+\.py\b", words)}
    assert len(named) > 40
    assert {name for name in named if not (ROOT / name).exists()} == set()


def test_a_room_has_at_most_15_modules_and_a_file_400_lines() -> None:
    modules = [path for path in files(*SOURCES, "tests") if path.name != "__init__.py"]
    sizes = Counter(str(path.parent.relative_to(ROOT)) for path in modules)
    sizes.pop("edgecnn/commands")  # A file for each command.
    assert {room: size for room, size in sizes.items() if size > 15} == {}
    assert [path for path in files(*SOURCES, "tests") if len(path.read_text().splitlines()) > 400] == []


def test_a_function_has_at_most_50_lines_or_says_why_and_a_longer_one_is_found() -> None:
    body = "    pass\n" * 50
    assert long_functions(f"def long():\n{body}") == {"long"}
    assert not long_functions(f"def long():  {LONG_FUNCTION}its table.\n{body}")
    assert not long_functions(f"def short():\n{body.removesuffix('    pass')[:-9]}")
    long = {f"{path.relative_to(ROOT)}: {name}" for path in files(*SOURCES) for name in long_functions(path.read_text())}
    assert long == set()


def test_no_two_classes_have_one_name() -> None:
    places = defaultdict[str, list[str]](list)
    for path in files("edge", "convert", "benchmarks", "edgecnn"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(str(path.relative_to(ROOT)))
    assert len(places) > 100
    assert {name: found for name, found in places.items() if len(found) > 1} == {}
