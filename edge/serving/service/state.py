"""The folder that a server keeps between its starts, for one server at a time."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgecnn.edge.errors import ConfigError, field
from edgecnn.edge.files import make_folder, writing

_HELD = (errno.EAGAIN, errno.EACCES)


@contextmanager
def state_folder(folder: Path) -> Iterator[Path]:
    """Make the folder if it is missing, for this user alone, and keep every other server out of it during the block.

    The kernel's lock ends with its process, however that ends: what a killed server left does not keep the next one out.

    Raises:
        ConfigError: If another server uses it, or it can't be written.
    """
    with writing(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    make_folder(folder)
    with writing(folder):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _HELD:
                raise ConfigError(
                    f"{field('state')}={folder} is used by another server: end that one, or name another folder"
                ) from error
            raise ConfigError(
                f"{field('state')}={folder} can't be locked ({error.strerror}): name a folder on a local disk"
            ) from error
        yield folder
    finally:
        os.close(descriptor)
