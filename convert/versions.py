"""Which versions made a file."""

import platform
from importlib.metadata import version


def versions(*packages: str) -> dict[str, str]:
    """Return package -> installed version, with edgecnn's own and Python's."""
    return {"python": platform.python_version(), **{package: version(package) for package in ("edgecnn", *packages)}}
