"""Installed packages: their versions, what to type for those of edgecnn's extras, and Pillow, which several modules need."""

import platform
import re
import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from edgecnn.edge.errors import MissingDependency

_REQUIREMENT = re.compile(r"""([^;]+);.*\bextra\s*==\s*["']([^"']+)["']""")

# Packages that are used for a program of theirs alone: pnnx requires torch, a gigabyte, which its program does not need.
_PROGRAMS = {"pnnx"}


def install_command(extra: str) -> str:
    """Return `pip install` with the packages of an extra.

    They are named, since `edgecnn[extra]` can be found only where a package index has edgecnn.
    """
    packages = [requirement for requirement, owner in _requirements() if owner == extra]
    # Without any it runs from a clone that was never installed, which pip can install with the extra.
    return shlex.join(["pip", "install", *(packages or [f"{Path(__file__).parents[2]}[{extra}]"])])


def extra_of(package: str) -> str | None:
    """Return the extra that installs a package, `train` if several do; None if none does."""
    extras = {extra for requirement, extra in _requirements() if re.split(r"[^\w.-]", requirement)[0] == package}
    return "train" if "train" in extras else min(extras, default=None)


def _requirements() -> list[tuple[str, str]]:
    """Return each requirement with its extra."""
    from importlib.metadata import PackageNotFoundError, requires  # noqa: PLC0415 - Only an error needs it.

    try:
        lines = requires("edgecnn") or ()
    except PackageNotFoundError:
        return []
    return [(match[1].strip(), match[2]) for match in map(_REQUIREMENT.match, lines) if match]


def load_pillow() -> Any:
    """Import Pillow and return its module `Image`.

    Raises:
        MissingDependency: If it is not installed.
    """
    try:
        from PIL import Image
    except ModuleNotFoundError as error:
        if error.name != "PIL":
            raise
        raise MissingDependency(
            f"Pillow, which reads and draws images, is not installed: {install_command('image')}"
        ) from error
    return Image


def utc_now() -> str:
    """Return the time in UTC, ISO 8601 to the second."""
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"


def versions(*packages: str) -> dict[str, str]:
    """Return the installed version of each package, with those of edgecnn and Python.

    Raises:
        MissingDependency: If a package is not installed.
    """
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - 3 MiB, also in a measured process.

    try:
        installed = {package: version(package) for package in ("edgecnn", *packages)}
    except PackageNotFoundError as error:
        if error.name == "edgecnn":
            raise MissingDependency("edgecnn itself is not installed: pip install . in its folder") from error
        extra = extra_of(str(error.name))
        alone = "--no-deps " if error.name in _PROGRAMS else ""
        command = install_command(extra) if extra else f"pip install {alone}{error.name}"
        raise MissingDependency(f"{error.name} is not installed. On the workstation: {command}") from error
    return {"python": platform.python_version(), **installed}
