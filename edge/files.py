"""Reading files once, and writing them whole or not at all."""

import errno
import hashlib
import io
import os
import select
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgecnn.edge.errors import ArtifactError, ConfigError, because
from edgecnn.edge.temporary import remove_stale, temporary_folder

# FlatBuffers and Protocol Buffers end at 2 GiB; no model for a small device is larger.
MOST_BYTES = 2**31 - 2

PATIENCE_SECONDS = 30
"""Longest wait for a pipe's reader to open it, or to read on."""


def open_file(path: Path) -> io.BufferedReader:
    """Open a file for reading.

    Raises:
        OSError: If it can't be read, or is a folder, a pipe or a device. A pipe may never get a writer, and a
            device may never end.
    """
    # Without O_NONBLOCK, opening a pipe waits for its writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    raise OSError(errno.EINVAL, "it is a pipe or a device")


def read_bytes(path: Path, most: int = MOST_BYTES, fix: str = "check the path") -> bytes:
    """Return the file's bytes.

    Args:
        path: The file.
        most: Largest accepted size in bytes.
        fix: What the message recommends if the file does not exist.

    Raises:
        ArtifactError: If the file is missing, unreadable, empty, too large, a folder, a pipe or a device.
    """
    try:
        with open_file(path) as file:
            size = os.fstat(file.fileno()).st_size
            data = b"" if size > most else file.read()
    except FileNotFoundError:
        raise ArtifactError(f"{path} does not exist: {fix}") from None
    except OSError as error:
        raise ArtifactError(f"{path} can't be read {because(error, 'give a readable file')}") from error
    if size > most:
        raise ArtifactError(f"{path} has {size:,} bytes; the largest size accepted is {most:,}: name another file")
    if not data:
        raise ArtifactError(f"{path} is empty: copy it again, or name another file")
    return data


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` so that `path` holds either its old content or all of the new content.

    The target of a link is replaced. A pipe or a device is written to, since a file must not replace it.

    Raises:
        ConfigError: If the folder cannot be written, the disk is full, or nobody reads the pipe.
    """
    try:
        if path.exists() and not path.is_file():
            _write_as_it_is(path, data)
            return
    except OSError as error:
        raise ConfigError(f"{path} can't be written {because(error, 'choose another name')}") from error
    with staged(path.resolve() if path.is_symlink() else path) as temporary:
        temporary.write_bytes(data)


def _write_as_it_is(path: Path, data: bytes) -> None:
    """Write into a pipe or a device; wait at most `PATIENCE_SECONDS` for its reader to read on."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
            break
        except OSError as error:
            if error.errno != errno.ENXIO or time.monotonic() > deadline:
                raise
            time.sleep(0.05)  # Nobody reads the pipe yet.
    try:
        writable, view = select.poll(), memoryview(data)
        writable.register(descriptor, select.POLLOUT)
        while view:
            if not writable.poll(1000 * PATIENCE_SECONDS):
                raise TimeoutError(errno.ETIMEDOUT, "nobody reads it")
            view = view[os.write(descriptor, view) :]
    finally:
        os.close(descriptor)


@contextmanager
def staged(path: Path) -> Iterator[Path]:
    """Yield a temporary path of the same name, which replaces `path` if the block succeeds.

    Raises:
        ConfigError: If the folder cannot be written or the disk is full.
    """
    make_folder(path.parent)
    if path.exists() and not path.is_file() and not path.is_dir():
        raise ConfigError(f"{path} is a pipe or a device, which a file must not replace: name a file")
    try:
        with temporary_folder(path.parent) as folder:
            temporary = folder / path.name
            yield temporary
            sync(temporary)
            temporary.replace(path)
        sync(path.parent)
    except OSError as error:
        raise ConfigError(f"{path} can't be written {because(error, 'choose another folder')}") from error


def sync(path: Path) -> None:
    """Wait until a file's content, or the names in a folder, would survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def require_writable(folder: Path) -> None:
    """Check that a file can be written into a folder, which is not created if it is missing.

    Call this before long work, so that an hour of training is not lost at the end. It leaves no trace if the work fails.

    Raises:
        ConfigError: If it can't.
    """
    try:
        # A link that leads nowhere exists, too, and nothing can be written there.
        existing = next(place for place in (folder, *folder.parents) if place.exists() or place.is_symlink())
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise ConfigError(f"{folder} can't be written {because(error, 'choose another folder')}") from error


def make_folder(folder: Path) -> None:
    """Create the folder if it is missing, and check that a file can be written into it.

    Raises:
        ConfigError: If that fails.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder} can't be written {because(error, 'choose another folder')}") from error
    require_writable(folder)
    remove_stale(folder)
