"""The packages with which a device gets the same edgecnn."""

import json
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgecnn.benchmarks.remote.install import device_wheel, running_version
from edgecnn.edge.errors import ConfigError, EdgeCnnError, MissingDependency

pytestmark = pytest.mark.workstation("boards are reached from the workstation, with its ssh client")


@pytest.fixture
def installed_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
    """Return a function that puts an installed edgecnn 1.0 before this one, of that origin."""

    def install(told: Any) -> None:
        site = tmp_path / f"site {len(list(tmp_path.iterdir()))}"
        installed = site / "edgecnn-1.0.dist-info"
        installed.mkdir(parents=True)
        (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: edgecnn\nVersion: 1.0\n")
        (installed / "RECORD").touch()
        if told is not None:
            (installed / "direct_url.json").write_text(json.dumps(told))
        monkeypatch.syspath_prepend(site)

    return install


def test_without_an_installed_edgecnn_there_is_no_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    with pytest.raises(MissingDependency, match="pip install"):
        running_version()


def test_what_an_editable_install_leaves_in_the_sources_is_no_installation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed_from: Callable[[Any], None]
) -> None:
    installed_from({"url": (tmp_path / "gone").as_uri(), "dir_info": {"editable": True}})
    left = tmp_path / "sources" / "edgecnn.egg-info"
    left.mkdir(parents=True)
    (left / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: edgecnn\nVersion: 0.5\n")
    monkeypatch.syspath_prepend(left.parent)
    assert running_version() == "1.0"
    with pytest.raises(ConfigError, match="no longer exists"):
        device_wheel(tmp_path)


def test_sources_that_are_gone_or_only_here_are_errors_and_from_an_index_nothing_is_sent(
    tmp_path: Path, installed_from: Callable[[Any], None]
) -> None:
    installed_from({"url": (tmp_path / "gone").as_uri(), "dir_info": {}})
    with pytest.raises(ConfigError, match="no longer exists: install"):
        device_wheel(tmp_path)
    installed_from({"url": "https://host.example/edgecnn.git", "vcs_info": {"vcs": "git"}})
    with pytest.raises(ConfigError, match="device may not reach"):
        device_wheel(tmp_path)
    installed_from(None)
    assert device_wheel(tmp_path) is None


def test_a_wheel_that_it_was_installed_from_is_sent_without_the_images_that_only_training_needs(
    tmp_path: Path, installed_from: Callable[[Any], None]
) -> None:
    wheel = tmp_path / "a folder" / "edgecnn-1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    names = ("edgecnn/a.py", "edgecnn/edge/data/mnist/train-images-idx3-ubyte.gz", "edgecnn-1.0.dist-info/RECORD")
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in names:
            archive.writestr(name, "".join(f"{listed},,\n" for listed in names))
    installed_from({"url": wheel.as_uri(), "archive_info": {}})
    sent = device_wheel(tmp_path / "sent")
    assert sent
    assert sent.name == wheel.name
    with zipfile.ZipFile(sent) as archive:
        assert archive.namelist() == ["edgecnn/a.py", "edgecnn-1.0.dist-info/RECORD"]
        assert archive.read("edgecnn-1.0.dist-info/RECORD") == b"edgecnn/a.py,,\nedgecnn-1.0.dist-info/RECORD,,\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed_from: Callable[[Any], None]) -> Path:
    """A small project with this one's pyproject.toml, from which edgecnn seems to be installed."""
    folder = tmp_path / "project"
    (folder / "inner/data").mkdir(parents=True)
    (folder / "deep").mkdir()  # A link in the package leads to it, as ours do.
    (folder / "inner/deeper").symlink_to("../deep")
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["setuptools>=77"]\nbuild-backend = "setuptools.build_meta"\n'
        '[project]\nname = "edgecnn"\nversion = "1.0"\nreadme = "README.md"\nlicense-files = ["LICENSE", "inner/data/*.md"]\n'
        '[tool.setuptools.packages.find]\ninclude = ["inner*"]\n'
        '[tool.setuptools.package-data]\ninner = ["data/*"]\n'
    )
    for name in ("README.md", "LICENSE", "inner/front.py", "inner/__init__.py", "deep/__init__.py", "inner/data/x.md"):
        (folder / name).write_text(f"# {name}\n")
    installed_from({"url": folder.as_uri(), "dir_info": {"editable": True}})
    # Building in the tests' environment needs no package index.
    monkeypatch.setenv("PIP_NO_BUILD_ISOLATION", "0")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    return folder


def test_a_project_that_can_t_be_built_says_why(project: Path, tmp_path: Path) -> None:
    (project / "pyproject.toml").write_text((project / "pyproject.toml").read_text().replace('version = "1.0"\n', ""))
    with pytest.raises(EdgeCnnError, match=r"pip can't build.*wheel from.*pip wheel"):
        device_wheel(tmp_path / "built")


def test_a_wheel_is_the_same_bytes_until_a_source_changes_and_leaves_the_project_alone(project: Path, tmp_path: Path) -> None:
    before = sorted(project.rglob("*"))
    built = [device_wheel(tmp_path / name) for name in ("one", "two")]
    (project / "inner/front.py").write_text("changed = True\n")
    built.append(device_wheel(tmp_path / "three"))
    one, two, three = (wheel.read_bytes() for wheel in built if wheel)
    assert one == two != three
    assert sorted(project.rglob("*")) == before
    assert built[0]
    names = set(zipfile.ZipFile(built[0]).namelist())
    assert {"inner/front.py", "inner/__init__.py", "inner/deeper/__init__.py", "inner/data/x.md"} <= names
