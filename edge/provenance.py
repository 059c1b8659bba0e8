"""When something was made, and with which versions."""

import platform
from datetime import UTC, datetime

from edgecnn.edge.errors import MissingDependency
from edgecnn.edge.packages import extra_of, install_command


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
        command = install_command(extra) if extra else f"pip install {error.name}"
        raise MissingDependency(f"{error.name} is not installed. On the workstation: {command}") from error
    return {"python": platform.python_version(), **installed}
