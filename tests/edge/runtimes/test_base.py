"""Which version of a package runs a file. Opening files: test_runtimes.py and test_trial.py."""

import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

from edgecnn.edge.formats import RUNTIMES
from edgecnn.edge.runtimes import base


@pytest.fixture(autouse=True)
def nothing_was_looked_up() -> None:
    base._version.cache_clear()


def test_the_version_of_a_package_that_is_not_installed_is_not_known() -> None:
    assert base.installed_version("no-such-runtime") == ""


def test_a_version_is_what_importlib_metadata_says() -> None:
    known = 0
    for package in {row.package.name for row in RUNTIMES.values()} | {"numpy", "typer"}:
        try:
            expected = version(package)
        except PackageNotFoundError:
            continue
        assert base.installed_version(package) == expected, package
        known += 1
    assert known > 2


def test_what_an_upgrade_left_behind_does_not_give_its_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path / "none"), str(tmp_path)])
    for left, release in (("some_runtime-1.0.dist-info", None), ("some_runtime-2.0.dist-info", "2.0")):
        (tmp_path / left).mkdir()
        if release:
            (tmp_path / left / "METADATA").write_text(f"Metadata-Version: 2.1\nName: some-runtime\nVersion: {release}\n")
    (tmp_path / "some_runtime_gpu-3.0.dist-info").mkdir()
    assert base.installed_version("some-runtime") == version("some-runtime")
