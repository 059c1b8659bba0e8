"""The agent's folder on the device: files that were sent, and a folder for what runs."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator  # noqa: UP035  # Python 3.7 and 3.8 can't subscribe to the other.

from edgecnn.benchmarks.remote.agent.conversation import Failed, ignore_signals, pause, read_bytes, tell

OTHER_BYTES = "the device received other bytes than were sent (SHA-256): try again; if that recurs, check its disk"
_KEPT = 4
_CHUNK = 1 << 20
_LOCK_SECONDS = 0.5


@contextmanager
def workplace(cache: Path) -> Iterator[Path]:
    """Yield a folder that belongs to this run only and is deleted after it.

    The lock is a kernel lock on the folder itself: it ends with the process, however that ends, and leaves no file.
    """
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder, run = os.open(str(cache), os.O_RDONLY), cache / "run"
    try:
        lock(folder)
        shutil.rmtree(str(run), ignore_errors=True)  # Left by a power cut: a live run would hold the lock.
        run.mkdir(mode=0o700)
        try:
            yield run
        finally:
            ignore_signals()
            shutil.rmtree(str(run), ignore_errors=True)
    finally:
        os.close(folder)


def fetch(kind: str, item: dict[str, Any], cache: Path, run: Path) -> Path:
    """Return the path of a file with the item's hash; it is requested only if it is missing.

    Raises:
        Failed: If the received file has another hash.
        Interrupted: If it ends too early.
        OSError: If it can't be written.
    """
    files = cache / "files"
    place = Path(files / item["sha256"] / item["name"])
    if not (place.is_file() and sha256(place) == item["sha256"]):
        part = run / "part"
        tell("send", kind)
        with part.open("wb") as stream:
            for start in range(0, item["size"], _CHUNK):
                stream.write(read_bytes(min(_CHUNK, item["size"] - start)))
            stream.flush()
            os.fsync(stream.fileno())
        if sha256(part) != item["sha256"]:
            raise Failed(OTHER_BYTES)
        place.parent.mkdir(parents=True, exist_ok=True)
        part.replace(place)
    os.utime(str(place.parent))
    latest = sorted(files.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
    for old in latest[_KEPT:]:
        shutil.rmtree(str(old), ignore_errors=True)
    return place


def lock(folder: int) -> None:
    """Wait until no other run holds the folder: two at a time would disturb each other's times, or each other's changes."""
    warned = False
    while True:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
        if not warned:
            tell("say", "another edgecnn is at work there: waiting for its end")
            warned = True
        pause(_LOCK_SECONDS)


def sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        for data in iter(lambda: stream.read(_CHUNK), b""):
            digest.update(data)
    return digest.hexdigest()
