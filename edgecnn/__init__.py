"""Deploy a Keras image classifier to a small device, and prove that it still works there.

Every command of `edgecnn` is one call here: docs/how-to/python.md. Nothing is imported before it is used.
"""

from collections import namedtuple
from importlib import import_module
from pathlib import Path
from typing import Any

# `task` is the heading of a command in the list of commands, or empty.
_Name = namedtuple("_Name", ("public", "module", "task"))


def _names() -> "list[_Name]":
    """Return the public names from the stub, which type checkers read too."""
    found, task = [], ""
    for line in Path(__file__).with_suffix(".pyi").read_text().splitlines():
        words = line.split()
        if line.startswith("# ") and line.endswith(":"):
            task = line[2:-1] if line.startswith("# Commands") else ""
        elif line.startswith("from edgecnn."):
            found.append(_Name(words[-1], words[1], task))
    return found


NAMES = _names()
_HOMES = {item.public: item.module for item in NAMES}
__all__ = sorted([*_HOMES, "__version__"])


def __getattr__(name: str) -> Any:
    if name == "__version__":
        value = import_module("importlib.metadata").version("edgecnn")
    elif name in _HOMES:
        value = getattr(import_module(_HOMES[name]), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    # Without this module's own imports.
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
