"""Your own function that builds a network: its arguments, its model, and a hash of the source files that it follows from."""

import ast
import inspect
import json
import math
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from edgecnn.convert.keras.load import import_named, load_keras, working_directory
from edgecnn.edge.errors import ConfigError, field, why
from edgecnn.edge.files import sha256


def arguments_of(named: str) -> tuple[str, ...] | None:
    """Return the names of the keyword arguments that a `module:function` takes; None if it takes any.

    Raises:
        ConfigError: If there is no such function, or its module can't be imported.
    """
    try:
        parameters = list(inspect.signature(_builder(named)).parameters.values())
    except ValueError:  # A function in C may have no signature.
        return None
    if any(parameter.kind == parameter.VAR_KEYWORD for parameter in parameters):
        return None
    # The first two are the shape and the number of classes.
    return tuple(one.name for one in parameters[2:] if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY))


def require_taken(named: str, arguments: tuple[str, ...]) -> None:
    """Raise a ConfigError if a `module:function` does not take one of the arguments, each `name=value`."""
    taken = arguments_of(named)
    for name in (text.partition("=")[0] for text in arguments):
        if taken is not None and name not in taken:
            takes = ", ".join(taken) or "only the images' shape and the number of classes"
            raise ConfigError(f"{field('arguments')}: {named} does not take {name}: it takes {takes}")


def built_model(named: str, arguments: tuple[str, ...], shape: tuple[int, int, int], classes: int) -> Any:
    """Call a `module:function` with the images' (height, width, channels) and keyword arguments, each as `name=value`.

    Returns:
        Its Keras model, built.

    Raises:
        ConfigError: If there is no such function, it fails, or it returns something else.
    """
    function = _builder(named)
    keywords = {name: value_of(value) for name, _, value in (text.partition("=") for text in arguments)}
    try:
        with working_directory():
            model = function(shape, classes, **keywords)
            if isinstance(model, load_keras().Sequential) and not model.built:
                model.build((None, *shape))
            elif isinstance(model, load_keras().Model) and not model.built:
                model(np.zeros((1, *shape), np.float32))  # A subclassed model creates its layers when called.
    except Exception as error:  # The function's code may raise anything.
        reason, given = why(error, named=True), "".join(f", {text}" for text in arguments)
        raise ConfigError(
            f"{field('model')}={named} fails for images of {shape} and {classes} classes{given} ({reason}): fix it"
        ) from error
    if not isinstance(model, load_keras().Model):
        raise ConfigError(f"{field('model')}={named} returns {type(model).__name__}, not a keras.Model: return the model")
    return model


def _builder(named: str) -> Callable[..., Any]:
    module, _, name = named.partition(":")
    function = getattr(import_named(module, f"{field('model')}={named}"), name, None)
    if not callable(function):
        raise ConfigError(
            f"{field('model')}={named}: {module} has no function {name}: write one that takes the images' shape and the number "
            "of classes"
        )
    return function  # type: ignore[no-any-return]  # It is a user's.


def value_of(text: str) -> float | str:
    """Return an argument's value: a number as in JSON, a truth value, or the text itself."""
    try:
        value = json.loads(text.lower() if text in ("True", "False") else text)
    except json.JSONDecodeError:
        return text
    return value if isinstance(value, (int, float)) and math.isfinite(value) else text


# For each module, how it was imported, and the hash of its sources at its first use: a reload gives it another `__spec__`.
_USED: WeakKeyDictionary[ModuleType, tuple[object, str]] = WeakKeyDictionary()
_INSTALLED = {"site-packages", "dist-packages"}


def source_sha256(module: ModuleType, known: str | None = None) -> str | None:
    """Return a hash of a module's source and of the modules next to it that it imports, directly or not; None without one.

    Installed packages don't count. Of an installed module only its own file does. If `known`, the hash of an earlier call, is
    that of the module's first use, the files are not read again.

    Raises:
        ConfigError: If a file has changed since the module was first used here: what runs is not what is in it.
    """
    if module.__file__ is None:
        return None
    spec, before = _USED.get(module, (None, None))
    used = spec is module.__spec__
    if used and known is not None and before == known:
        return known
    own = Path(module.__file__)
    folder = own.parents[module.__name__.count(".") + (own.name == "__init__.py")]
    files = [own] if _INSTALLED & set(folder.parts) else _with_imported(own, folder)
    hashes = [sha256(file.read_bytes()) for file in files]  # A file may be empty.
    digest = hashes[0] if len(files) == 1 else sha256("".join(hashes).encode())
    if used and before != digest:
        raise ConfigError(f"{own}, or a module that it imports, has changed since it was first used: start Python again")
    _USED[module] = (module.__spec__, digest)
    return digest


def _with_imported(own: Path, folder: Path) -> list[Path]:
    """Return a file and those in its folder that it imports, directly or not, also inside functions; sorted."""
    found, todo = {own}, [own]
    while todo:
        file = todo.pop()
        package = file.relative_to(folder).parent.parts
        new = {path for name in _imports(file, package) for path in _files(folder, name)} - found
        found |= new
        todo += new
    return sorted(found)


def _imports(file: Path, package: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Yield the names that a file's import statements may mean, each as its parts."""
    tree = ast.Module([], [])
    with suppress(SyntaxError):  # A file that is imported only in some cases may be for another Python.
        tree = ast.parse(file.read_bytes())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (tuple(alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            base = (*above, *(node.module.split(".") if node.module else ()))
            yield from ((*base, alias.name) for alias in node.names)


def _files(folder: Path, name: tuple[str, ...]) -> Iterator[Path]:
    """Yield the files of a module and of the packages around it."""
    for count in range(1, len(name) + 1):
        path = folder.joinpath(*name[:count])
        yield from (file for file in (path.with_name(f"{path.name}.py"), path / "__init__.py") if file.is_file())
