"""Python modules that a user names: their code runs with the user's rights."""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from edge.errors import ConfigError


def import_named(name: str, option: str) -> ModuleType:
    """Import a module of the working directory or of Python's path.

    Args:
        name: As after `import`.
        option: What the user typed, for messages.

    Raises:
        ConfigError: If there is no such module, or its code raises.
    """
    try:
        with working_directory():
            return importlib.import_module(name)
    except Exception as error:  # The module's code raises whatever it likes.
        # A module that it imports in turn is another matter.
        if isinstance(error, ModuleNotFoundError) and error.name and f"{name}.".startswith(f"{error.name}."):
            raise ConfigError(
                f"{option}: no module {name} in {Path.cwd()} or on Python's path: name it as in "
                f"`import {name.removesuffix('.py')}`"
            ) from error
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:160]
        raise ConfigError(f"{option}: importing {name} fails ({reason}): mend the module") from error


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
    """Return the classes and functions of the trusted modules by name, for Keras to find. Errors as `import_named`."""
    found: dict[str, Any] = {}
    for name in trust:
        package = name.partition(".")[0]
        for key, value in vars(import_named(name, f"--trust {name}")).items():
            # What a module imports from elsewhere (all of Keras, perhaps) is not its own.
            if callable(value) and str(getattr(value, "__module__", "")).partition(".")[0] == package:
                found[key] = value
    return found
