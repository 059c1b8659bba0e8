"""An extension of griffe for docs/reference/api.md: what is declared as an option is shown as a type with its description."""

import importlib
import inspect
import re
from typing import Any, ForwardRef, get_args

import griffe

from edgecnn.edge.option import declared


class DocumentedOptions(griffe.Extension):  # type: ignore[misc]  # griffe is installed for the docs alone.
    """Takes types and docstrings of what declares options from the running program, where the declarations are resolved."""

    def on_function(self, *, func: griffe.Function, **others: Any) -> None:
        """Show the types of a function's arguments, and its whole docstring."""
        found = _declaring(func)
        for name, (kind, _) in declared(found).items() if found else ():
            func.parameters[name].annotation = _text(kind)
        _complete(func, found)

    def on_class(self, *, cls: griffe.Class, **others: Any) -> None:
        """Show the types of a dataclass's fields, and its whole docstring."""
        found = _declaring(cls)
        for name, (kind, _) in declared(found).items() if found else ():
            cls.members[name].annotation = _text(kind)
            for parameter in cls.parameters:
                if parameter.name == name:
                    parameter.annotation = _text(kind)
        _complete(cls, found)


def _declaring(item: griffe.Object) -> Any:
    """Return the running object if it declares options; else None."""
    if not item.parent or not item.parent.is_module or not item.path.startswith("edgecnn."):
        return None
    if not item.path.startswith("edgecnn.commands.") and "Option(" not in item.source:
        return None  # It may need a package that makes no docs.
    found = getattr(importlib.import_module(item.parent.path), item.name, None)
    return found if found is not None and declared(inspect.unwrap(found)) else None


def _text(kind: Any) -> str:
    if isinstance(kind, ForwardRef):
        return kind.__forward_arg__
    text = str(kind) if get_args(kind) else inspect.formatannotation(kind)
    return re.sub(r"\b(?:\w+\.)+(?=\w)", "", text)


def _complete(item: griffe.Object, found: Any) -> None:
    if found and item.docstring and found.__doc__:
        item.docstring.value = inspect.cleandoc(found.__doc__)
