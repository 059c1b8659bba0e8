"""Reading files once, and writing them whole or not at all."""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from edge.errors import ArtifactError, ConfigError


def read_bytes(path: Path) -> bytes:
    """Return the file's bytes.

    Raises:
        ArtifactError: If the file is missing, a folder, unreadable or empty.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise ArtifactError(f"{path} does not exist: check the path, or write it with edgecnn train and export") from None
    except OSError as error:
        raise ArtifactError(f"{path} can't be read ({error.strerror}): give a readable file") from error
    if not data:
        raise ArtifactError(f"{path} is empty: export or copy it again")
    return data


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` so that `path` holds either its old content or all of the new one.

    A link's target is written, and a pipe or a device as it is: it must not be replaced by a file.

    Raises:
        ConfigError: If the folder cannot be written or the disk is full.
    """
    if path.exists() and not path.is_file():
        try:
            path.write_bytes(data)
        except OSError as error:
            raise ConfigError(f"{path} can't be written ({error.strerror}): choose another name") from error
        return
    with staged(path.resolve() if path.is_symlink() else path) as temporary:
        temporary.write_bytes(data)


@contextmanager
def staged(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`, with the same suffix, that replaces `path` when the block ends well.

    Raises:
        ConfigError: If the folder cannot be written or the disk is full.
    """
    make_folder(path.parent)
    temporary = path.parent / f".{os.getpid()}-{path.name}"
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    except OSError as error:
        raise ConfigError(f"{path} can't be written ({error.strerror}): choose another folder") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def make_folder(folder: Path) -> None:
    """Create the folder where it is missing and show that a file can be written into it.

    Raises:
        ConfigError: If that fails. Called before long work, so that an hour of training is not lost at its last line.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ConfigError(f"{folder} can't be written ({error.strerror}): choose another folder") from error
