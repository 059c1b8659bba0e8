"""The outputs that README.md and docs/ show were printed by `make docs-outputs`, by commands that print the same today."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from edgecnn.benchmarks.results.read import read_report
from edgecnn.edge.errors import spelling
from edgecnn.shell.main import commands
from tools import docs_outputs
from tools.docs_outputs import RECORD, ROOT, digest, fill, pages

PAGES = pages()


def record(page: Path) -> dict[str, Any]:
    return json.loads((RECORD / f"{docs_outputs.name_of(page)}.json").read_text())  # type: ignore[no-any-return]


def test_readme_shows_outputs_and_has_at_most_180_lines() -> None:
    assert PAGES[0] == ROOT / "README.md"
    assert len(PAGES[0].read_text().splitlines()) <= 180


@pytest.mark.parametrize("page", PAGES, ids=docs_outputs.name_of)
def test_no_output_was_changed_by_hand(page: Path) -> None:
    assert digest(page.read_text()) == record(page)["sha256"], f"{page.name}: make docs-outputs"


def test_a_benchmark_on_a_page_is_what_its_result_prints_today() -> None:
    shown = 0
    for page in PAGES:
        outputs = re.findall(r"^\$ edgecnn bench .*\n((?:(?!\$ |```).*\n)*)", page.read_text(), re.MULTILINE)
        for output, name in zip(outputs, record(page)["results"], strict=True):
            with spelling(commands()["bench"].spelled):
                printed = [line.rstrip() for line in read_report(RECORD / name).to_text().splitlines()]
            lines = output.splitlines()
            assert lines == printed[: len(lines)], f"{page.name}: make docs-outputs"
            shown += len(lines)
    assert shown > 30


def test_a_kept_result_names_no_place_of_the_machine_that_made_it() -> None:
    results = [read_report(RECORD / name) for page in PAGES for name in record(page)["results"]]
    assert results
    assert [word for result in results for word in (*result.command.split(), result.folder) if word.startswith("/")] == []


def test_outputs_are_replaced_by_what_the_commands_print(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, folder in (("ROOT", tmp_path), ("RECORD", tmp_path / "record"), ("WORK", tmp_path / "work")):
        monkeypatch.setattr(docs_outputs, name, folder)
    (tmp_path / "record").mkdir()
    page = tmp_path / "README.md"
    page.write_text(
        "```python\n# say.py\nprint('said')\n```\n"
        "```console\n$ python3 say.py\nold\n$ echo 1; \\\n  echo it failed >&2; false\n```\n```\n$ echo not run\n```\n"
    )
    fill(page, "a CPU")
    text = page.read_text()
    assert "```console\n$ python3 say.py\nsaid\n$ echo 1; \\\n  echo it failed >&2; false\n1\nit failed\n```" in text
    assert "$ echo not run\n```" in text
    assert text.endswith("`make docs-outputs`: a CPU.\n")
    before = digest(text)
    assert json.loads((tmp_path / "record" / "README.json").read_text())["sha256"] == before
    assert digest(text.replace("said", "says")) != before
    fill(page, "another CPU")
    assert page.read_text() == text.replace("a CPU", "another CPU")
