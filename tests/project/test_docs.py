"""Pages of docs/: what names one names one that exists, the site lists all, and the reference has all commands and names."""

import ast
import inspect
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import edgecnn
from edgecnn.shell.main import commands
from tools.command_help import write_help

ROOT = Path(__file__).parents[2]
_LINK = re.compile(r"\]\((?!https?:|#)([^)\s#]+)[^)]*\)")
_PATH = re.compile(r"(?<![\w/.-])docs/[\w./-]*\.(?:md|svg|png|json)\b")
# pip's, docker's, venv's and those of rpicam-apps.
_OPTIONS_OF_OTHERS = {"--constraint", "--lores-width", "--mode", "--no-deps", "--privileged", "--system-site-packages"}
_TEXT = (".py", ".md", ".toml", ".txt", ".ipynb", ".yml", ".html", "Makefile")


def _texts() -> list[Path]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout  # noqa: S607
    return [path for name in listed.splitlines() if name.endswith(_TEXT) and (path := ROOT / name).is_file()]


def test_every_link_and_every_path_in_docs_leads_to_a_file() -> None:
    named = {(str(path.relative_to(ROOT)), page) for path in _texts() for page in _PATH.findall(path.read_text())}
    assert len(named) > 20
    assert not [(where, page) for where, page in sorted(named) if not (ROOT / page).is_file()]
    links = [(path, target) for path in _texts() if path.suffix == ".md" for target in _LINK.findall(path.read_text())]
    assert len(links) > 20
    assert not [(str(path.relative_to(ROOT)), target) for path, target in links if not (path.parent / target).exists()]


def _nav(entry: Any) -> list[str]:
    if isinstance(entry, str):
        return [entry]
    return [page for part in (entry.values() if isinstance(entry, dict) else entry) for page in _nav(part)]


def test_the_site_lists_every_page_once() -> None:
    listed = _nav(tomllib.loads((ROOT / "zensical.toml").read_text())["project"]["nav"])
    pages = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")}
    assert sorted(listed) == sorted(pages)


def test_the_reference_has_every_command_and_every_name_of_the_api() -> None:
    page = (ROOT / "docs/reference/commands.md").read_text()
    assert re.findall(r'^--8<-- "help/(\w+)\.txt"$', page, re.MULTILINE) == ["edgecnn", *commands()]
    names = re.findall(r"^::: edgecnn\.(\w+)$", (ROOT / "docs/reference/api.md").read_text(), re.MULTILINE)
    assert sorted(names) == sorted({*edgecnn.__all__} - {"__version__"})


def test_the_pages_name_commands_and_options_that_exist(tmp_path: Path) -> None:
    helps = {path.stem: path.read_text() for path in write_help(tmp_path)}
    assert all(text.startswith("Usage: edgecnn") for text in helps.values())
    options = {name: {"--help", *re.findall(r"(?<![\w-])--[a-z0-9-]+", text)} for name, text in helps.items()}
    typed = [
        (path.name, command, set(re.findall(r"(?<![\w-])--[a-z0-9-]+", words)) - options.get(command, set()))
        for path in (ROOT / "docs").rglob("*.md")
        for code in re.findall(r"^```.*?^```|`[^`\n]+`", path.read_text(), re.MULTILINE | re.DOTALL)
        for command, words in re.findall(r"(?:^|^`|^\$ )edgecnn ([a-z]+)([^`#|\n]*)", code, re.MULTILINE)
    ]
    assert len(typed) > 150
    assert not [(page, command, unknown) for page, command, unknown in typed if command not in options or unknown]
    pages = (ROOT / "README.md", *(ROOT / "docs").rglob("*.md"))
    alone = {option for page in pages for option in re.findall(r"`(--[a-z0-9-]+)[^`\n]*`", page.read_text())}
    assert alone - set().union(*options.values()) == _OPTIONS_OF_OTHERS


def test_the_api_takes_what_the_pages_give_it() -> None:
    checked = 0
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        for block in re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE):
            for call in (node for node in ast.walk(ast.parse(block)) if isinstance(node, ast.Call)):
                if (
                    isinstance(call.func, ast.Attribute)
                    and isinstance(call.func.value, ast.Name)
                    and call.func.value.id == "ec"
                ):
                    named = {word.arg: None for word in call.keywords if word.arg}
                    inspect.signature(getattr(edgecnn, call.func.attr)).bind(*call.args, **named)
                    checked += 1
    assert checked > 5


def test_a_how_to_page_says_what_to_type_and_not_what_was_measured_where() -> None:
    # Whose figures are on the page is said in brackets or at its end; docs/explanation/measured.md has all others.
    found = []
    for path in sorted((ROOT / "docs/how-to").glob("*.md")):
        prose = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.DOTALL | re.MULTILINE)
        lines = [line for line in prose.splitlines() if not line.startswith(("(", "The outputs on this page"))]
        found += [(path.name, line) for line in lines if re.search(r"\bXeon|\bEPYC|\b20\d\d-\d\d-\d\d", line)]
    assert found == []
