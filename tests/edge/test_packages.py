"""What to type to install an extra works without a package index that has edgecnn."""

import shlex
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from edgecnn.edge.packages import extra_of, install_command

ROOT = Path(__file__).parents[2]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


def names(requirements: list[str]) -> list[str]:
    return sorted(text.partition("=")[0].partition("<")[0].partition(">")[0].partition("[")[0] for text in requirements)


@pytest.mark.parametrize("extra", sorted(set(EXTRAS) - {"all"}))
def test_the_packages_of_an_extra_are_named_and_edgecnn_is_not(extra: str) -> None:
    pip, install, *packages = shlex.split(install_command(extra))
    assert (pip, install) == ("pip", "install")
    assert names(packages) == names(EXTRAS[extra])


def test_a_bound_on_a_version_is_kept_and_quoted() -> None:
    assert "'numpy<2'" in install_command("tflite-runtime")


@pytest.mark.parametrize(
    ("package", "extra"), [("torch", "executorch"), ("onnxruntime", "train"), ("pillow", "train"), ("torchvision", None)]
)
def test_a_package_belongs_to_an_extra(package: str, extra: str | None) -> None:
    assert extra_of(package) == extra


@pytest.mark.workstation("takes edgecnn from a checkout")
def test_from_a_clone_that_was_never_installed_the_clone_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(name: str) -> list[str]:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "requires", nowhere)
    _, _, source = shlex.split(install_command("report"))
    assert source.endswith("[report]")
    assert (Path(source.removesuffix("[report]")) / "pyproject.toml").is_file()
