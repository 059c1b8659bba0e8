"""Reading files once, writing them whole or not at all, and temporary folders that don't outlive their process."""

import errno
import fcntl
import hashlib
import io
import os
import re
import select
import shutil
import stat
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from edgecnn.edge.errors import ArtifactError, ConfigError, because

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
    """Return the bytes of a file of at most `most` bytes; `fix` is what the message recommends if it does not exist.

    Raises:
        ArtifactError: If the file is missing, unreadable, empty, too large, a folder, a pipe or a device.
    """
    try:
        with open_file(path) as file:
            size = os.fstat(file.fileno()).st_size
            data = b"" if size > most else file.read()
    except FileNotFoundError:
        raise ArtifactError(f"{missing(path)}: {fix}") from None
    except OSError as error:
        raise ArtifactError(f"{path} can't be read {because(error, 'give a readable file')}") from error
    if size > most:
        raise ArtifactError(f"{path} has {size:,} bytes; the largest size accepted is {most:,}: name another file")
    if not data:
        raise ArtifactError(f"{path} is empty: copy it again, or name another file")
    return data


def missing(path: Path) -> str:
    """Return that a file does not exist, or the folder in which it should be, and what beside it has nearly its name."""
    from difflib import get_close_matches  # noqa: PLC0415 - Only an error needs it.

    gone, beside = path, list[str]()
    with suppress(OSError):  # A folder that may be entered may be closed to who lists it.
        gone = path if path.parent.exists() else path.parent
        beside = os.listdir(gone.parent)  # noqa: PTH208 - Its names alone.
    alike = get_close_matches(gone.name, beside, 1, 0.8)
    return f"{gone} does not exist" + (f", but {alike[0]} does" if alike else "")


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@contextmanager
def writing(path: Path, fix: str = "choose another folder") -> Iterator[None]:
    """Turn an `OSError` of the block into a `ConfigError`: the path can't be written, and why; `fix` is what to do."""
    try:
        yield
    except OSError as error:
        raise ConfigError(f"{path} can't be written {because(error, fix)}") from error


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` so that `path` holds either its old content or all of the new content.

    The target of a link is replaced. A pipe or a device is written to, since a file must not replace it.

    Raises:
        ConfigError: If the folder cannot be written, the disk is full, or nobody reads the pipe.
    """
    with writing(path, "choose another name"):
        if path.exists() and not path.is_file():
            _write_as_it_is(path, data)
            return
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
    with writing(path):
        with temporary_folder(path.parent) as folder:
            temporary = folder / path.name
            yield temporary
            sync(temporary)
            temporary.replace(path)
        sync(path.parent)


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
    with writing(folder):
        # A link that leads nowhere exists, too, and nothing can be written there.
        existing = next(place for place in (folder, *folder.parents) if place.exists() or place.is_symlink())
        with tempfile.TemporaryFile(dir=existing):
            pass


def make_folder(folder: Path) -> None:
    """Create the folder if it is missing, and check that a file can be written into it.

    Raises:
        ConfigError: If that fails.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    require_writable(folder)
    remove_stale(folder)


# Users don't name folders like this; the number is the process id.
_NAME = re.compile(r"\.?edgecnn-[0-9]+-[a-z0-9_]{8}")
_LIBRARIES = threading.RLock()


@contextmanager
def temporary_folder(parent: Path | None = None) -> Iterator[Path]:
    """Yield an empty folder in TMPDIR, or with a hidden name in `parent`; it is deleted after the block.

    Raises:
        ConfigError: If TMPDIR can't be written.
        OSError: If `parent` can't be written.
    """
    try:
        folder, descriptor = _locked_folder(parent)
    except OSError as error:
        if parent is not None:
            raise
        raise ConfigError(f"no temporary folder can be written {because(error, 'set TMPDIR to one that can')}") from error
    try:
        yield folder
    except OSError as error:
        if error.filename is None and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):  # A write names no file.
            error.filename = str(folder.parent)
        raise
    finally:
        os.close(descriptor)  # Before deleting, which needs descriptors too.
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):  # rmtree opens even an empty folder.
            folder.rmdir()


@contextmanager
def libraries_folder() -> Iterator[Path]:
    """Yield a temporary folder that Python's `tempfile` uses too, for libraries that would leave files in TMPDIR if killed.

    That holds for the whole process: another thread's temporary files of this time are deleted with the folder, except those
    of `temporary_folder`. Another thread waits before its own block.

    Raises:
        ConfigError: If TMPDIR can't be written.
    """
    with _LIBRARIES, temporary_folder() as folder:
        before, tempfile.tempdir = tempfile.tempdir, str(folder)
        try:
            yield folder
        finally:
            tempfile.tempdir = before


def remove_stale(parent: Path | None = None) -> None:
    """Delete the temporary folders in `parent` (None means TMPDIR) whose process has ended, and no others.

    A lock on the folder shows that its process lives. Locks work across containers, where process ids mean nothing.
    """
    try:
        entries = [entry for entry in os.scandir(parent or _tmpdir()) if _NAME.fullmatch(entry.name)]
    except OSError:
        return
    for entry in entries:
        try:
            descriptor = os.open(entry.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:  # It is a link, not a folder, another user's, or gone.
            continue
        try:
            if os.fstat(descriptor).st_uid == os.geteuid():
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(entry.path, ignore_errors=True)
        except OSError:
            pass  # It is in use, or this file system can't report that.
        finally:
            os.close(descriptor)


def _tmpdir() -> Path:
    """Return TMPDIR, also while libraries write into a folder in it."""
    folder = Path(tempfile.gettempdir())
    return folder.parent if _NAME.fullmatch(folder.name) else folder


def _locked_folder(parent: Path | None) -> tuple[Path, int]:
    """Create a folder and lock it, so that `remove_stale` keeps it."""
    while True:
        prefix = f"{'.' if parent else ''}edgecnn-{os.getpid()}-"
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent or _tmpdir()))
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            continue  # Another process deleted it as stale before it was locked.
        except OSError:
            folder.rmdir()
            raise
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            continue
        except OSError:
            return folder, descriptor  # As on NFS, where nothing counts as stale either.
        if folder.exists():
            return folder, descriptor
        os.close(descriptor)
