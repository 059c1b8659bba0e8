"""Records which model files this machine has opened and run, so that each is tried in a child process only once.

A hash in a manifest shows that a file is the listed one. It does not show that its bytes do no harm: whoever can alter
the file can alter the manifest. So every new file is tried, listed or not, except those made here.

Files made here (by train and export) are known by their bytes; they ran in the default runtime of their
format. Tried files are known by their bytes and by how they were
opened: runtime and release, signature, and streaming. Another release, or another graph of the file, may crash.
"""

import os
from contextlib import suppress
from pathlib import Path

from edgecnn.edge.files import sha256

# Kept in memory too, in case there is no folder to write to.
_here: set[Path] = set()


def was_made(data: bytes) -> bool:
    """Return whether a file with these bytes was made on this machine."""
    return _known(_made(sha256(data)))


def was_tried(data: bytes, how: str) -> bool:
    """Return whether a file with these bytes was already opened and run in this way on this machine."""
    return _known(_tried(sha256(data), how))


def remember_made(data: bytes) -> None:
    """Record that a file with these bytes was made here; without a folder to write to, for this process only."""
    _note(_made(sha256(data)))


def remember_tried(data: bytes, how: str) -> None:
    """Record that a file with these bytes was opened and run in this way. Otherwise like `remember_made`."""
    _note(_tried(sha256(data), how))


def _known(mark: Path) -> bool:
    if mark not in _here and mark.exists():
        _here.add(mark)
    return mark in _here


def _note(mark: Path) -> None:
    _here.add(mark)
    with suppress(OSError):
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()


def _made(key: str) -> Path:
    # Machines of several kinds may share a home.
    return _cache() / "made" / f"{key}-{os.uname().machine}"


def _tried(key: str, how: str) -> Path:
    return _cache() / "tried" / f"{key}-{sha256(how.encode())[:16]}-{os.uname().machine}"


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()) / "edgecnn"
