"""Replaces files of a folder that belong together: all of them or none, whenever the process is killed.

The new files are written into a folder inside. When they are whole and on the disk, it is renamed to
`.edgecnn-committed`: from then on they count. Each is then moved to its place. If the process was killed before that,
the next process that opens the folder moves the rest. Several processes may do so at once.
"""

import errno
import fcntl
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from edgecnn.edge.errors import LIMITS, ArtifactError, ConfigError
from edgecnn.edge.files import make_folder, remove_stale, sync, temporary_folder, writing

COMMITTED = ".edgecnn-committed"
# NFS can't lock folders; other file systems have no locks at all.
_NO_LOCKS = (errno.EBADF, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)


@contextmanager
def locked(folder: Path, on_wait: Callable[[str], None] | None = None) -> Iterator[None]:
    """Hold the lock for writing into a folder, which is created if it is missing. Readers take no lock.

    What was created is removed at the end if nothing was written into it. `on_wait` is called once with a line of text before
    waiting for another writer; None raises instead of waiting. On a file system without locks, such as NFS, no lock is held.

    Raises:
        ConfigError: If another process, or another block of this one, is writing there, or the folder can't be written.
        ArtifactError: As in `finish`.
    """
    descriptor, created = _lock(folder, on_wait)
    try:
        finish(folder)
        yield
    finally:
        with suppress(OSError):  # One with files in it stays, and so do those above it.
            for place in created:
                place.rmdir()
        os.close(descriptor)


def _lock(folder: Path, on_wait: Callable[[str], None] | None) -> tuple[int, list[Path]]:
    """Return a descriptor of the folder that holds its lock, and the folders that were created for it, deepest first."""
    while True:
        # Where Path.exists would raise, make_folder says why.
        created = [place for place in (folder, *folder.parents) if not os.path.exists(place)]  # noqa: PTH110
        make_folder(folder)
        # The writer before may have removed the empty folder that it had created.
        with suppress(FileNotFoundError):
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                _wait_for_lock(folder, descriptor, on_wait)
                if os.path.samestat(os.fstat(descriptor), folder.stat()):
                    return descriptor, created
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)


def _wait_for_lock(folder: Path, descriptor: int, on_wait: Callable[[str], None] | None) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        if on_wait is None:
            raise ConfigError(f"another edgecnn is writing into {folder}: wait until it has finished") from None
        on_wait(f"Waiting for another edgecnn that is writing into {folder}")
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise


@contextmanager
def replaced_together(folder: Path) -> Iterator[Path]:
    """Yield an empty folder; if the block succeeds, its files together replace those of the same names in `folder`.

    A link with such a name is replaced, and its target stays. The caller holds `locked(folder)`.

    Raises:
        ConfigError: If the folder can't be written or the disk is full; then nothing is replaced.
        ArtifactError: As in `finish`.
    """
    make_folder(folder)
    with writing(folder), temporary_folder(folder) as staging:
        yield staging
        for path in staging.iterdir():
            if (folder / path.name).is_dir():
                raise ConfigError(f"{folder / path.name} is a folder where a file must be written: move it elsewhere")
            sync(path)
        sync(staging)
        staging.rename(folder / COMMITTED)
    finish(folder)


def finish(folder: Path) -> None:
    """Finish what a killed process began: move the files in `.edgecnn-committed`, if any, to their places.

    The folder may come from anywhere: no name leads outside it, and links are not followed.

    Raises:
        ArtifactError: If the folder can't be written, or has something there that `replaced_together` never writes.
    """
    remove_stale(folder)
    try:
        place = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    except OSError:
        return  # Reading a file there gives the error.
    try:
        committed = os.open(COMMITTED, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=place)
    except FileNotFoundError:
        os.close(place)
        return
    except OSError as error:
        os.close(place)
        if error.errno in LIMITS:  # A limit, which says nothing of the folder.
            raise
        raise _unfinished(folder, error) from error
    try:
        _move_all(folder, place, committed)
    except OSError as error:
        raise _unfinished(folder, error) from error
    finally:
        os.close(committed)
        os.close(place)


def _unfinished(folder: Path, error: OSError) -> ArtifactError:
    return ArtifactError(
        f"{folder}: an export or a training was killed while it moved its files into place, and {COMMITTED} can't be "
        f"moved ({error.strerror}): run edgecnn doctor {folder} as a user who can write there"
    )


def _move_all(folder: Path, place: int, committed: int) -> None:
    sync(folder)  # The folder of new files must be on the disk before an old file is replaced.
    for name in os.listdir(committed):
        with suppress(FileNotFoundError):  # Another process has moved it.
            if not stat.S_ISREG(os.stat(name, dir_fd=committed, follow_symlinks=False).st_mode):
                raise ArtifactError(f"{folder / COMMITTED / name} is not a plain file, so no export wrote it: delete it")
            os.replace(name, name, src_dir_fd=committed, dst_dir_fd=place)
    sync(folder)
    try:
        os.rmdir(COMMITTED, dir_fd=place)
    except OSError as error:
        # Another process moved it first, or has committed since.
        if error.errno not in (errno.ENOENT, errno.ENOTEMPTY):
            raise
