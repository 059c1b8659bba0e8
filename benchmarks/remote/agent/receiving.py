"""Receives a bundle: only what no earlier bundle has, and what an interrupted connection had not sent yet."""

from __future__ import annotations

import hashlib
import os
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

from edgecnn.benchmarks.remote.agent.conversation import Failed, read_bytes, tell
from edgecnn.benchmarks.remote.agent.files import OTHER_BYTES, sha256
from edgecnn.benchmarks.remote.agent.releases import BUNDLE_NAME, Releases, sync

_MOST_BYTES = 1 << 18
# Room for what runs there: bundles are unpacked, except for their images, to be verified.
_SPARE_BYTES = 32 << 20


class Chunk(NamedTuple):
    """A part of a bundle.

    Attributes:
        offset: Its place in the file in bytes.
        size: Its size in bytes.
        sha256: SHA-256 of its bytes.
    """

    offset: int
    size: int
    sha256: str


def chunks(bundle: Path) -> list[Chunk]:
    """Return the parts of a bundle in their order: each begins with a member of the zip file, or within a long one.

    So a member that two bundles share is the same parts of both.

    Raises:
        OSError: If it can't be read.
        zipfile.BadZipFile: If it is not a zip file.
    """
    with zipfile.ZipFile(str(bundle)) as archive:
        starts = {0, archive.start_dir, *(info.header_offset for info in archive.infolist())}
    edges = [*sorted(starts), bundle.stat().st_size]
    found = []
    with bundle.open("rb") as stream:
        for start, end in zip(edges, edges[1:]):  # noqa: B905, RUF007  # Python 3.7 has neither.
            for offset in range(start, end, _MOST_BYTES):
                data = stream.read(min(_MOST_BYTES, end - offset))
                found.append(Chunk(offset, len(data), hashlib.sha256(data).hexdigest()))
    return found


def receive(item: dict[str, Any], releases: Releases) -> int:
    """Put a bundle into its release's folder, and return the number of bytes that were received for it.

    Raises:
        Failed: If other bytes arrive, or the disk is full.
        Interrupted: If the connection ends; what has arrived stays for the next time.
        OSError: If it can't be written.
    """
    place = releases.folder(item["sha256"]) / BUNDLE_NAME
    if place.is_file() and sha256(place) == item["sha256"]:
        return 0
    part = releases.root / "incoming" / item["sha256"]
    for other in part.parent.iterdir():
        if other != part:
            other.unlink()
    first = _arrived(part, item["chunks"])
    known = _known(releases)
    wanted = [number for number in range(first, len(item["chunks"])) if item["chunks"][number][1] not in known]
    releases.require_room(sum(size for size, _ in item["chunks"][first:]) + item["size"] + _SPARE_BYTES)
    tell("chunks", *wanted)
    received = 0
    with part.open("ab") as stream:
        for size, digest in item["chunks"][first:]:
            if digest in known:
                data = _copied(*known[digest])
            else:
                data = read_bytes(size)
                received += size
            if hashlib.sha256(data).hexdigest() != digest:
                raise Failed(OTHER_BYTES)
            stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    if sha256(part) != item["sha256"]:
        part.unlink()
        raise Failed(OTHER_BYTES)
    place.parent.mkdir(mode=0o700, exist_ok=True)
    part.replace(place)
    sync(place.parent)
    sync(place.parent.parent)
    return received


def _arrived(part: Path, wanted: list[list[Any]]) -> int:
    """Return how many chunks an earlier connection left, and cut off what is not a whole one."""
    if not part.is_file():
        return 0
    count = end = 0
    with part.open("rb+") as stream:
        for size, digest in wanted:
            data = stream.read(size)
            if hashlib.sha256(data).hexdigest() != digest:
                break
            count, end = count + 1, end + size
        stream.truncate(end)
    return count


def _known(releases: Releases) -> dict[str, tuple[Path, int, int]]:
    """Return the chunks of the bundles that are there, by their hashes."""
    found = {}
    for path in (releases.root / "releases").glob("*/" + BUNDLE_NAME):
        try:
            found.update({chunk.sha256: (path, chunk.offset, chunk.size) for chunk in chunks(path)})
        except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile):  # Damaged: then it is sent.
            continue
    return found


def _copied(path: Path, offset: int, size: int) -> bytes:
    with path.open("rb") as stream:
        stream.seek(offset)
        return stream.read(size)
