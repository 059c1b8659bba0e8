"""Imports the agent's modules from their texts, on a device where edgecnn need not be installed: sent before them."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType
from typing import Any


class _Texts:
    """Finds and executes modules of which only the texts are there."""

    def __init__(self, texts: dict[str, str], packages: list[str]) -> None:
        self._texts, self._packages = texts, packages

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Return the specification of a module; None for others."""
        if name not in self._texts:
            return None
        return importlib.util.spec_from_loader(name, self, is_package=name in self._packages)  # type: ignore[arg-type]

    def create_module(self, spec: Any) -> None:
        """Let Python make the module."""

    def exec_module(self, module: ModuleType) -> None:
        """Execute a module's text."""
        exec(compile(self._texts[module.__name__], module.__name__, "exec"), module.__dict__)  # noqa: S102  # It is our own.


def load(texts: dict[str, str], packages: list[str], name: str) -> ModuleType:
    """Import a module from its text; what it imports comes from the other texts, or from the standard library."""
    sys.meta_path.insert(0, _Texts(texts, packages))
    return importlib.import_module(name)
