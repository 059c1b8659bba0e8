"""What is installed: a single import name, which leaves edge, convert and benchmarks to others; and the device's wheel."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import edgecnn
from edgecnn.benchmarks.remote import install

ROOT = Path(edgecnn.__file__).parents[1]
TRAINING = {f"edgecnn/edge/data/mnist/train-{kind}-ubyte.gz" for kind in ("images-idx3", "labels-idx1")}


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The whole wheel of these sources and a device's, built without a network."""
    folder = tmp_path_factory.mktemp("wheels")
    with pytest.MonkeyPatch.context() as patch:
        # Building in the tests' environment needs no package index.
        patch.setenv("PIP_NO_BUILD_ISOLATION", "0")
        patch.setenv("PIP_NO_INDEX", "1")
        device = install.device_wheel(folder)
        # As make device-wheel runs it: in the sources, where an editable install may have left its edgecnn.egg-info.
        command = [sys.executable, "-m", "tools.device_wheel", str(folder / "made")]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    assert device
    assert (folder / "made" / device.name).read_bytes() == device.read_bytes()
    return folder / "whole/wheel" / device.name, device


@pytest.fixture(scope="module")
def installed(wheels: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of packages with a device's edgecnn and another project's `benchmarks`."""
    site = tmp_path_factory.mktemp("site")
    (site / "benchmarks").mkdir()
    (site / "benchmarks/__init__.py").write_text("OWNER = 'another project'\n")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile", "--no-index", "--target", str(site)]
    subprocess.run([*pip, str(wheels[1])], check=True, capture_output=True)
    return site


def python(site: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(site)}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def names_in(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        assert archive.testzip() is None
        return set(archive.namelist())


def test_the_wheel_has_every_module_and_data_file_under_one_name(wheels: tuple[Path, Path]) -> None:
    names = names_in(wheels[0])
    found = [Path(folder, name) for folder, _, files in os.walk(ROOT / "edgecnn", followlinks=True) for name in files]
    modules = {str(path.relative_to(ROOT)) for path in found if path.suffix == ".py"}
    assert len(modules) > 150
    assert {*modules, *TRAINING, "edgecnn/py.typed", "edgecnn/benchmarks/show/templates/report.html"} <= names
    assert {name.partition("/")[0] for name in names if ".dist-info/" not in name} == {"edgecnn"}


def test_a_source_distribution_has_the_docs_and_gives_the_same_wheel(wheels: tuple[Path, Path], tmp_path: Path) -> None:
    left_out = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "artifacts", "build", "dist", "site", "tests", "tools")
    sources = shutil.copytree(ROOT, tmp_path / "sources", symlinks=True, ignore=left_out)
    build(sources, "sdist", tmp_path)
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        opened.extractall(tmp_path / "unpacked", filter="data")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    held = {str(path.relative_to(unpacked)) for path in unpacked.rglob("*") if path.is_file()}
    pages = {str(path.relative_to(sources)) for path in (sources / "docs").rglob("*") if path.is_file()}
    assert len(pages) > 30
    assert pages <= held
    assert {"CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md", "LICENSE", "README.md", "SECURITY.md", "constraints.txt"} <= held
    build(unpacked, "wheel", tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    assert names_in(wheel) == names_in(wheels[0])


def build(sources: Path, kind: str, out: Path) -> None:
    code = f"from setuptools.build_meta import build_{kind} as build\nbuild({str(out)!r})"
    subprocess.run([sys.executable, "-c", code], cwd=sources, check=True, capture_output=True)


def test_a_devices_wheel_lacks_the_training_images_alone(wheels: tuple[Path, Path]) -> None:
    whole, device = map(names_in, wheels)
    assert whole - device == TRAINING
    assert device <= whole
    assert wheels[1].stat().st_size < 3_000_000 < wheels[0].stat().st_size


def test_a_device_says_where_to_train_and_has_the_test_images(installed: Path, tmp_path: Path) -> None:
    ask = "from edgecnn.edge.data.dataset import load_dataset, load_test\nprint(len(load_test().labels))\nload_dataset()"
    done = python(installed, tmp_path, "-c", ask)
    assert done.stdout == "10000\n"
    assert "ArtifactError" in done.stderr
    assert "train on the workstation" in done.stderr


def test_what_others_call_edge_convert_and_benchmarks_is_not_taken_for_ours(installed: Path, tmp_path: Path) -> None:
    for name in ("edge", "convert", "benchmarks"):
        (tmp_path / f"{name}.py").write_text(f"raise ImportError('the user\\'s own {name}')\n")
    helped = python(installed, tmp_path, "-m", "edgecnn", "bench", "--help")
    assert (helped.returncode, "edgecnn bench" in helped.stdout) == (0, True), helped.stderr
    loaded = python(installed, tmp_path, "-c", "import edgecnn\nfrom edgecnn import Classifier\nprint(edgecnn.__file__)")
    assert (loaded.stdout, loaded.stderr) == (f"{installed / 'edgecnn/__init__.py'}\n", "")
    # If the user's folder has none of them, the other project's package is still its own.
    theirs = python(installed, installed, "-c", "import benchmarks\nprint(benchmarks.OWNER)")
    assert theirs.stdout == "another project\n"
