"""Installs the dependency group `peers` into the running environment, one requirement at a time.

One that fails to install does not affect the others; the reason is kept for its row.
"""

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path

from tools.peers.lineup import PROJECT_ROOT

NOT_INSTALLED = Path(sys.prefix) / "peers-not-installed.json"
_CONSTRAINTS = ("constraints.txt", "tools/peers/constraints.txt")
# It requires torch, which only its Python functions use: its program does not.
_ALONE = ("pnnx",)


def main() -> None:
    """Install all packages except those in WITHOUT, for example WITHOUT="executorch torch torchao"."""
    group = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text())["dependency-groups"]["peers"]
    reasons = install(group, os.environ.get("WITHOUT", "").split(), _pip)
    NOT_INSTALLED.write_text(json.dumps(reasons, indent=2) + "\n")
    for package, reason in reasons.items():
        print(f"peers: {package} is not installed: {reason}", file=sys.stderr)


def install(requirements: Sequence[str], without: Sequence[str], pip: Callable[[list[str]], str | None]) -> dict[str, str]:
    """Install requirements one after another, and return the reason for each missing package.

    Args:
        requirements: For example `name==1.0`.
        without: Packages to skip.
        pip: Function that runs `pip install` with these arguments, and returns the error, or None.
    """
    reasons = {}
    for requirement in requirements:
        package = re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0]
        if package in without:
            reasons[package] = "it was skipped (WITHOUT)"
            continue
        problem = pip([*(["--no-deps"] if package in _ALONE else []), requirement])
        if problem:
            reasons[package] = problem
    return reasons


def _pip(arguments: list[str]) -> str | None:
    constraints = [word for name in _CONSTRAINTS for word in ("--constraint", str(PROJECT_ROOT / name))]
    command = [sys.executable, "-m", "pip", "install", "--quiet", *constraints, *arguments]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode == 0:
        return None
    errors = [line.removeprefix("ERROR: ") for line in done.stderr.splitlines() if line.startswith("ERROR: ")]
    return (errors[-1] if errors else f"pip ended with code {done.returncode}")[:200]


if __name__ == "__main__":
    main()
