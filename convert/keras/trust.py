"""Imports Python modules that a user names: their code runs with the user's rights."""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from edgecnn.edge.errors import ConfigError, field, why


def import_named(name: str, option: str) -> ModuleType:
    """Import a module of the working directory or of Python's path.

    Args:
        name: Name as in an `import` statement.
        option: The option as the user typed it, for messages.

    Raises:
        ConfigError: If there is no such module, or its code raises.
    """
    try:
        with working_directory():
            return importlib.import_module(name)
    except Exception as error:  # The module's code may raise anything.
        # A missing module that it imports is another error.
        if isinstance(error, ModuleNotFoundError) and error.name and f"{name}.".startswith(f"{error.name}."):
            raise ConfigError(
                f"{option}: no module {name} in {Path.cwd()} or on Python's path: write it as in "
                f"`import {name.removesuffix('.py')}`"
            ) from error
        reason = why(error, named=True)
        raise ConfigError(f"{option}: importing {name} fails ({reason}): fix the module") from error


@contextmanager
def working_directory() -> Iterator[None]:
    """Put the working directory first on Python's path, as `python -m` does."""
    folder = str(Path.cwd())
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)


def custom_objects(trust: tuple[str, ...]) -> dict[str, Any]:
    """Return the classes and functions of the trusted modules by name, for Keras. Errors are those of `import_named`."""
    found: dict[str, Any] = {}
    for name in trust:
        package = name.partition(".")[0]
        for key, value in vars(import_named(name, f"{field('trust')}={name}")).items():
            # A module's own names exclude what it imports, which may be all of Keras.
            if callable(value) and str(getattr(value, "__module__", "")).partition(".")[0] == package:
                found[key] = value
    return found
