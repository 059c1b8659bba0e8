"""Temporary folders, deleted at the end of a block or, if the process was killed, at the next start."""

import errno
import fcntl
import os
import re
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from edgecnn.edge.errors import ConfigError, because

# Users don't name folders like this; the number is the process id.
_NAME = re.compile(r"\.?edgecnn-[0-9]+-[a-z0-9_]{8}")
_LIBRARIES = threading.RLock()


@contextmanager
def temporary_folder(parent: Path | None = None) -> Iterator[Path]:
    """Yield an empty folder, which is deleted after the block.

    Args:
        parent: Folder to create it in, with a hidden name; None means TMPDIR.

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
