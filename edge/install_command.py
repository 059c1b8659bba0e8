"""What to type to install the packages of one of edgecnn's extras."""

import re
import shlex
from pathlib import Path

_REQUIREMENT = re.compile(r"""([^;]+);.*\bextra\s*==\s*["']([^"']+)["']""")


def install_command(extra: str) -> str:
    """Return `pip install` with the packages of an extra.

    They are named, since `edgecnn[extra]` can be found only where a package index has edgecnn.

    Args:
        extra: Its name in pyproject.toml.
    """
    from importlib.metadata import PackageNotFoundError, requires  # noqa: PLC0415 - Only an error needs it.

    try:
        found = [_REQUIREMENT.match(line) for line in requires("edgecnn") or ()]
    except PackageNotFoundError:  # It runs from a clone that was never installed, which pip can install with the extra.
        return shlex.join(["pip", "install", f"{Path(__file__).parents[2]}[{extra}]"])
    return shlex.join(["pip", "install", *(match[1].strip() for match in found if match and match[2] == extra)])
