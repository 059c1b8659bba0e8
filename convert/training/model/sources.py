"""The source files that a user's function follows from."""

from modulefinder import ModuleFinder
from pathlib import Path
from types import ModuleType
from weakref import WeakKeyDictionary

from edgecnn.edge.errors import ConfigError
from edgecnn.edge.files import sha256

# For each module, how it was last imported, and the hash of its sources then: a reload gives it another `__spec__`.
_IMPORTED: WeakKeyDictionary[ModuleType, tuple[object, str]] = WeakKeyDictionary()


def source_sha256(module: ModuleType) -> str | None:
    """Return a hash of a module's source and of the modules next to it that it imports, directly or not; None without one.

    Installed packages don't count. Of an installed module only its own file does.

    Raises:
        ConfigError: If a file has changed since Python imported it: what runs is not what is in it.
    """
    if module.__file__ is None:
        return None
    own = Path(module.__file__)
    folder = own.parents[module.__name__.count(".") + (own.name == "__init__.py")]
    files = [own]
    if "site-packages" not in folder.parts:
        finder = ModuleFinder([str(folder)])
        finder.import_hook(module.__name__)
        paths = (vars(found)["__file__"] for found in finder.modules.values())
        files = sorted({Path(path) for path in paths if path})
    hashes = [sha256(file.read_bytes()) for file in files]  # A file may be empty.
    digest = hashes[0] if len(files) == 1 else sha256("".join(hashes).encode())
    spec, before = _IMPORTED.get(module, (None, digest))
    if spec is module.__spec__ and before != digest:
        raise ConfigError(f"{own}, or a module that it imports, has changed since Python imported it: start Python again")
    _IMPORTED[module] = (module.__spec__, digest)
    return digest
