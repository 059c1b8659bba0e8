"""Turns the running edgecnn into what a device installs, so that both are the same."""

import json
import os
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import Distribution, distributions
from pathlib import Path
from shutil import copy2, copytree, ignore_patterns
from typing import Any
from urllib.parse import unquote, urlsplit

from edgecnn.edge.errors import ConfigError, EdgeCnnError, MissingDependency
from edgecnn.edge.sandbox.child import bound_command
from edgecnn.edge.text import last_line

# MNIST's 60,000 training images are five sixths of a wheel, but a device never trains.
_LEFT_OUT = "edgecnn/edge/data/mnist/train-"
_EPOCH = "315532800"  # 1980, the earliest time in a zip file. With the clock's time, no two wheels would be the same.


def running_version() -> str:
    """Return the version of this edgecnn.

    Raises:
        MissingDependency: If it was not installed.
    """
    return _distribution().version


def device_wheel(folder: Path) -> Path | None:
    """Return this edgecnn as a wheel in `folder`, without MNIST's training images.

    The same sources give the same bytes. None if it came from a package index, where devices can find it too.

    Raises:
        EdgeCnnError: If it can't be built.
        ConfigError: If the sources it was installed from are gone.
    """
    told = _distribution().read_text("direct_url.json")
    origin: dict[str, Any] = json.loads(told) if told else {}
    address = urlsplit(origin.get("url", ""))
    if address.scheme != "file":
        if "vcs_info" in origin or "archive_info" in origin:
            raise ConfigError(
                f"edgecnn was installed from {origin['url']}, which a device may not reach: install it there by hand, or here "
                "from a folder"
            )
        return None
    source = Path(unquote(address.path))
    if source.is_file() and source.suffix == ".whl":
        return _without_training_images(source, folder)
    if not (source / "pyproject.toml").is_file():
        raise ConfigError(f"edgecnn was installed from {source}, which no longer exists: install it again")
    return _without_training_images(_build(source, folder / "whole"), folder)


def _distribution() -> Distribution:
    for found in distributions(name="edgecnn"):
        # An editable install leaves edgecnn.egg-info in the sources, which python -m finds first. It knows no origin.
        if found.read_text("RECORD") is not None:
            return found
    raise MissingDependency("edgecnn itself is not installed: pip install . in its folder")


def _build(source: Path, folder: Path) -> Path:
    """Build a wheel from a copy: pip would leave build/ in the user's folder, and use stale files from it."""
    copied, wheels = folder / "source", folder / "wheel"
    copied.mkdir(parents=True)
    project = tomllib.loads((source / "pyproject.toml").read_text(encoding="utf-8"))
    tool, metadata = project["tool"]["setuptools"], project["project"]
    packages = [pattern.removesuffix("*") for pattern in tool["packages"]["find"]["include"]]
    files = ["pyproject.toml", metadata["readme"]]
    files += [str(path.relative_to(source)) for pattern in metadata["license-files"] for path in source.glob(pattern)]
    for name in packages:
        copytree(source / name, copied / name, ignore=ignore_patterns("__pycache__"))
    for name in files:
        (copied / name).parent.mkdir(parents=True, exist_ok=True)
        copy2(source / name, copied / name)
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(wheels), str(copied)]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": _EPOCH, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    done = subprocess.run(bound_command(pip), env=environment, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        said = last_line(done.stderr) or f"exit code {done.returncode}"
        raise EdgeCnnError(f"pip can't build edgecnn's wheel from {source} ({said}): try pip wheel {source}")
    return next(wheels.glob("*.whl"))


def _without_training_images(wheel: Path, folder: Path) -> Path:
    """Write a wheel again into `folder`, under the same name; its RECORD, which lists all files, is shortened too."""
    written = folder / wheel.name
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(wheel) as source, zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as target:
        for info in source.infolist():
            if info.filename.startswith(_LEFT_OUT):
                continue
            data = source.read(info)
            if info.filename.endswith(".dist-info/RECORD"):
                lines = data.splitlines(keepends=True)
                data = b"".join(line for line in lines if not line.startswith(_LEFT_OUT.encode()))
            target.writestr(info, data)
    return written
