"""Which versions made a file."""

import platform
from importlib.metadata import PackageNotFoundError, version

from edge.errors import MissingDependency


def versions(*packages: str) -> dict[str, str]:
    """Return package -> installed version, with edgecnn's own and Python's.

    Raises:
        MissingDependency: If one is not installed.
    """
    try:
        installed = {package: version(package) for package in ("edgecnn", *packages)}
    except PackageNotFoundError as error:
        if error.name == "edgecnn":
            raise MissingDependency("edgecnn itself is not installed: pip install . in its folder") from error
        raise MissingDependency(f"{error.name} is not installed. On the workstation: pip install 'edgecnn[train]'") from error
    return {"python": platform.python_version(), **installed}
