"""The source files that a user's function follows from."""

import ast
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from weakref import WeakKeyDictionary

from edgecnn.edge.errors import ConfigError
from edgecnn.edge.files import sha256

# For each module, how it was imported, and the hash of its sources at its first use: a reload gives it another `__spec__`.
_USED: WeakKeyDictionary[ModuleType, tuple[object, str]] = WeakKeyDictionary()
_INSTALLED = {"site-packages", "dist-packages"}


def source_sha256(module: ModuleType, known: str | None = None) -> str | None:
    """Return a hash of a module's source and of the modules next to it that it imports, directly or not; None without one.

    Installed packages don't count. Of an installed module only its own file does.

    Args:
        module: The module.
        known: The hash of an earlier call: if it is that of the module's first use, the files are not read again.

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
