"""What a device installs to have the same edgecnn as here."""

import json
import zipfile
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest

from benchmarks import remote_install
from benchmarks.remote_install import running_version, running_wheel
from edge.errors import ConfigError, EdgeCnnError, MissingDependency


def installed_from(monkeypatch: pytest.MonkeyPatch, told: Any) -> None:
    class Installed:
        version = "1.0"

        def read_text(self, name: str) -> str | None:
            return None if told is None else json.dumps(told)

    monkeypatch.setattr(remote_install, "distribution", lambda name: Installed())


def test_without_an_installed_edgecnn_there_is_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(remote_install, "distribution", missing)
    with pytest.raises(MissingDependency, match="pip install"):
        running_version()


def test_sources_that_are_gone_or_only_here_are_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed_from(monkeypatch, {"url": (tmp_path / "gone").as_uri(), "dir_info": {}})
    with pytest.raises(ConfigError, match="is no longer there: install it again"):
        running_wheel(tmp_path)
    installed_from(monkeypatch, {"url": "https://host.example/edgecnn.git", "vcs_info": {"vcs": "git"}})
    with pytest.raises(ConfigError, match="which a device may not reach"):
        running_wheel(tmp_path)


def test_from_a_package_index_nothing_is_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed_from(monkeypatch, None)
    assert running_wheel(tmp_path) is None


def test_a_wheel_that_it_was_installed_from_is_the_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = tmp_path / "a folder" / "edgecnn-1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    wheel.touch()
    installed_from(monkeypatch, {"url": wheel.as_uri(), "archive_info": {}})
    assert running_wheel(tmp_path) == wheel


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small project with what this one's pyproject.toml says, that edgecnn seems to be installed from."""
    folder = tmp_path / "project"
    (folder / "inner/deeper").mkdir(parents=True)
    (folder / "inner/data").mkdir()
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["setuptools>=77"]\nbuild-backend = "setuptools.build_meta"\n'
        '[project]\nname = "edgecnn"\nversion = "1.0"\nreadme = "README.md"\nlicense-files = ["LICENSE", "inner/data/*.md"]\n'
        '[tool.setuptools]\npy-modules = ["front"]\npackages = ["inner", "inner.deeper"]\n'
        '[tool.setuptools.package-data]\ninner = ["data/*"]\n'
    )
    for name in ("README.md", "LICENSE", "front.py", "inner/__init__.py", "inner/deeper/__init__.py", "inner/data/x.md"):
        (folder / name).write_text(f"# {name}\n")
    installed_from(monkeypatch, {"url": folder.as_uri(), "dir_info": {"editable": True}})
    # Building in the environment of the tests takes nothing from an index.
    monkeypatch.setenv("PIP_NO_BUILD_ISOLATION", "0")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    return folder


def test_a_project_that_can_t_be_built_says_why(project: Path, tmp_path: Path) -> None:
    (project / "pyproject.toml").write_text((project / "pyproject.toml").read_text().replace('version = "1.0"\n', ""))
    with pytest.raises(EdgeCnnError, match=r"pip can't build edgecnn's wheel from .*: try pip wheel"):
        running_wheel(tmp_path / "built")


def test_a_wheel_is_the_same_bytes_until_a_source_changes_and_leaves_the_project_alone(project: Path, tmp_path: Path) -> None:
    before = sorted(project.rglob("*"))
    built = [running_wheel(tmp_path / name) for name in ("one", "two")]
    (project / "front.py").write_text("changed = True\n")
    built.append(running_wheel(tmp_path / "three"))
    one, two, three = (wheel.read_bytes() for wheel in built if wheel)
    assert one == two != three
    assert sorted(project.rglob("*")) == before
    assert built[0]
    names = set(zipfile.ZipFile(built[0]).namelist())
    assert {"front.py", "inner/__init__.py", "inner/deeper/__init__.py", "inner/data/x.md"} <= names


def test_this_edgecnn_s_own_wheel_has_every_module_and_data_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_BUILD_ISOLATION", "0")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    wheel = running_wheel(tmp_path)
    if wheel is None:
        pytest.skip("this edgecnn was installed from a package index")
    root = Path(remote_install.__file__).parents[1]
    names = set(zipfile.ZipFile(wheel).namelist())
    packages = ("edge", "convert", "benchmarks", "commands")
    modules = {str(path.relative_to(root)) for name in packages for path in (root / name).rglob("*.py")}
    assert {*modules, "edgecnn.py", "benchmarks/templates/report.html"} <= names
    assert len([name for name in names if name.startswith("convert/data/mnist/")]) >= 4
