"""The running edgecnn -> what a device installs, so that both are the same."""

import json
import os
import subprocess
import sys
import tomllib
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from shutil import copy2, copytree, ignore_patterns
from typing import Any
from urllib.parse import unquote, urlsplit

from edge.errors import ConfigError, EdgeCnnError, MissingDependency

_EPOCH = "315532800"  # 1980: the first time that a zip file has. With the clock's, no two wheels would be the same.


def running_version() -> str:
    """Return the version of this edgecnn.

    Raises:
        MissingDependency: If it was not installed.
    """
    return _distribution().version


def running_wheel(folder: Path) -> Path | None:
    """Return this edgecnn as a wheel, built into `folder`; None if it came from a package index, where devices find it too.

    The same sources give the same bytes.

    Raises:
        EdgeCnnError: If it can't be built.
        ConfigError: If what it was installed from is gone.
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
        return source
    if not (source / "pyproject.toml").is_file():
        raise ConfigError(f"edgecnn was installed from {source}, which is no longer there: install it again")
    return _build(source, folder)


def _distribution() -> Distribution:
    try:
        return distribution("edgecnn")
    except PackageNotFoundError as error:
        raise MissingDependency("edgecnn itself is not installed: pip install . in its folder") from error


def _build(source: Path, folder: Path) -> Path:
    """Build a wheel of a copy: pip would leave build/ in the user's folder, and take stale files from there."""
    copied, wheels = folder / "source", folder / "wheel"
    copied.mkdir(parents=True)
    project = tomllib.loads((source / "pyproject.toml").read_text(encoding="utf-8"))
    tool, metadata = project["tool"]["setuptools"], project["project"]
    packages = {name.partition(".")[0] for name in tool["packages"]}
    files = ["pyproject.toml", metadata["readme"], *(f"{name}.py" for name in tool["py-modules"])]
    files += [str(path.relative_to(source)) for pattern in metadata["license-files"] for path in source.glob(pattern)]
    for name in packages:
        copytree(source / name, copied / name, ignore=ignore_patterns("__pycache__"))
    for name in files:
        (copied / name).parent.mkdir(parents=True, exist_ok=True)
        copy2(source / name, copied / name)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(wheels), str(copied)]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": _EPOCH, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()] or [f"exit code {done.returncode}"]
        raise EdgeCnnError(f"pip can't build edgecnn's wheel from {source} ({said[-1].strip()}): try pip wheel {source}")
    return next(wheels.glob("*.whl"))
