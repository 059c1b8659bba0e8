"""Who shows a record, or derives from it what it does not store; `edgecnn/__init__.py` names them, since records know none."""

from importlib import import_module
from typing import Any

_FUNCTIONS: dict[str, str] = {}


def attach(functions: dict[str, str]) -> None:
    """Name the function `module:name` behind each method, as `Report.to_html`. It is imported when it is needed."""
    _FUNCTIONS.update(functions)


def rendered(record: object, method: str, *arguments: Any) -> Any:
    """Call the function behind a method of a record."""
    module, _, name = _FUNCTIONS[f"{type(record).__name__}.{method}"].partition(":")
    return getattr(import_module(module), name)(record, *arguments)
