"""What a release says of itself, and what its workflows may do."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_citation_and_the_changelog_are_of_this_version_and_address() -> None:
    citation = (ROOT / "CITATION.cff").read_text()
    assert f"version: {PROJECT['version']}\n" in citation
    assert f"title: {PROJECT['name']}\n" in citation
    assert f'abstract: "{PROJECT["description"]}"\n' in citation
    assert [author["name"] for author in PROJECT["authors"]] == re.findall(r'^  - name: "(.*)"$', citation, re.MULTILINE)
    cited = re.findall(r'^repository-code: "?(.*?)"?$', (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    assert cited == [url for name, url in PROJECT.get("urls", {}).items() if name == "Source"]
    assert f"\n## {PROJECT['version']}" in (ROOT / "CHANGELOG.md").read_text()


def test_ci_runs_what_contributors_are_told_to_run() -> None:
    ci = (ROOT / ".github/workflows/ci.yml").read_text()
    assert "- run: .ci/run\n" in ci
    assert (ROOT / ".ci/run").stat().st_mode & 0o111
    targets = re.findall(r"run: make ([a-z-]+)", "".join(path.read_text() for path in WORKFLOWS))
    rules = (ROOT / "Makefile").read_text()
    assert targets
    for target in targets:
        assert re.search(rf"^{target}:", rules, re.MULTILINE)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_runs_pinned_actions_with_the_permissions_that_it_names_alone(path: Path) -> None:
    text = path.read_text()
    assert "\npermissions: {}\n" in text
    assert text.count("\n    permissions:\n") == text.count("\n    runs-on: ") == text.count("\n    timeout-minutes: ")
    uses = re.findall(r"uses: (\S+)(.*)", text)
    assert uses
    for action, comment in uses:
        assert re.fullmatch(r"[a-z-]+/[a-z-]+@[0-9a-f]{40}", action), action
        assert re.fullmatch(r" # v\d+\.\d+\.\d+", comment), action
    assert text.count("actions/checkout@") == text.count("persist-credentials: false")
    # What an event says is no part of a script: it comes as an environment variable.
    assert not re.search(r"run:.*\$\{\{", text)


def test_a_hook_runs_what_make_check_runs() -> None:
    hooks = (ROOT / ".pre-commit-config.yaml").read_text()
    check = (ROOT / "Makefile").read_text().partition("\ncheck: ")[2].partition("\n\n")[0]
    ran = re.findall(r"\$\(BIN\)/(ruff check|ruff format|mypy)", check)
    assert ran == re.findall(r"entry: \.venv/bin/(ruff check|ruff format|mypy)", hooks)
    assert "repo: local" in hooks
    assert "http" not in hooks
