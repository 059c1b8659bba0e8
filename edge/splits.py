"""Images and their labels, in memory or on disk, read a few at a time: what everything else gets its images from."""

import hashlib
import os
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Protocol

import numpy as np
from numpy.typing import NDArray

from edge.errors import ArtifactError, ConfigError
from edge.images import read_fitted
from edge.preprocess import Images

Labels = NDArray[np.int64]
Shape = tuple[int, int, int]
Indices = Sequence[int] | NDArray[np.int64]

CHUNK = 250
_CHUNK_BYTES = 2**25  # Large images come in smaller chunks.


class Split(Protocol):
    """The training or the test part."""

    @property
    def labels(self) -> Labels:
        """int64 (n,), from 0."""

    @property
    def shape(self) -> Shape:
        """(h, w, c) of every image."""

    @property
    def sha256(self) -> str:
        """Tells two splits apart."""

    def images(self, indices: Indices) -> Images:
        """Return the images at `indices` (from 0), in that order, as uint8 (len(indices), h, w, c).

        Raises:
            ArtifactError: If one can't be read; the message names it.
        """


def chunks(
    split: Split, size: int = CHUNK, on_progress: Callable[[int, int], None] = lambda done, total: None
) -> Iterator[Images]:
    """Give all images in order, at most `size` at a time and few enough for any memory: none is kept from here on.

    `on_progress` gets how many of how many images are done with, before each chunk.
    """
    size = max(1, min(size, _CHUNK_BYTES // int(np.prod(split.shape))))
    for start in range(0, len(split.labels), size):
        on_progress(start, len(split.labels))
        yield split.images(np.arange(start, min(start + size, len(split.labels))))


@dataclass(frozen=True, eq=False)
class ArraySplit:
    """In memory: images uint8 (n, h, w, c) and labels int64 (n,)."""

    array: Images
    labels: Labels

    @property
    def shape(self) -> Shape:
        """(h, w, c)."""
        height, width, channels = self.array.shape[1:]
        return height, width, channels

    @cached_property
    def sha256(self) -> str:
        """Of the pixels and the labels, whatever file they came from."""
        return _pixels_sha256(self)

    def images(self, indices: Indices) -> Images:
        """See `Split`."""
        return self.array[np.asarray(indices, np.int64)]


@dataclass(frozen=True, eq=False)
class Subset:
    """Some images of a split.

    Attributes:
        split: All of them.
        indices: Which, in this order.
    """

    split: Split
    indices: NDArray[np.int64]

    @cached_property
    def labels(self) -> Labels:
        """See `Split`."""
        return self.split.labels[self.indices]

    @property
    def shape(self) -> Shape:
        """(h, w, c)."""
        return self.split.shape

    @cached_property
    def sha256(self) -> str:
        """Of the pixels and the labels, whatever the whole split's is of."""
        return _pixels_sha256(self)

    def images(self, indices: Indices) -> Images:
        """See `Split`."""
        return self.split.images(self.indices[np.asarray(indices, np.int64)])


@dataclass(frozen=True, eq=False)
class FileSplit:
    """Image files, decoded when they are asked for.

    Attributes:
        folder: Where they are.
        names: Their paths in it.
        labels: int64, one for each name.
        shape: (h, w, c) that each becomes.
        fit: By which of `edge.manifest.FITS`.
        background: As in `edge.manifest.Preprocessing`; `any` inverts none, which is the rule for training.
    """

    folder: Path
    names: tuple[str, ...]
    labels: Labels
    shape: Shape
    fit: str
    background: str = "any"

    @cached_property
    def sha256(self) -> str:
        """Of the files' bytes, the labels and the rule that reads them; nothing is decoded for it."""
        digest = hashlib.sha256(f"{self.shape} {self.fit} {self.background}".encode())
        for name in self.names:
            try:
                with (self.folder / name).open("rb") as file:
                    digest.update(hashlib.file_digest(file, "sha256").digest())
            except OSError as error:
                raise ArtifactError(f"{self.folder / name} can't be read ({error.strerror}): remove or replace it") from error
        digest.update(self.labels.astype("<i8").tobytes())
        return digest.hexdigest()

    def images(self, indices: Indices) -> Images:
        """See `Split`."""
        images = np.empty((len(indices), *self.shape), np.uint8)
        remedy = f"remove or replace it (edgecnn data {self.folder} lists all such files)"
        for image, index in zip(images, indices, strict=True):
            image[:] = read_fitted(self.folder / self.names[index], self.shape, self.fit, self.background, remedy)
        return images


@dataclass(frozen=True, eq=False)
class RowSplit:
    """Images that lie one after the other in an uncompressed file, read by their place in it.

    A memory map would do the same with less code, but its pages count as this process's memory and are first in line
    when a small board runs out of it.

    Attributes:
        file: Opened for reading, unbuffered; closed with this object.
        offset: Bytes before the first image.
        labels: int64 (n,).
        shape: (h, w, c).
        path: What the file is called in messages: the one that it was unpacked from, where it is a temporary copy.
    """

    file: IO[bytes]
    offset: int
    labels: Labels
    shape: Shape
    path: Path

    def __post_init__(self) -> None:
        weakref.finalize(self, self.file.close)

    @cached_property
    def sha256(self) -> str:
        """Of the pixels and the labels: what `ArraySplit` says of the same ones."""
        return _pixels_sha256(self)

    def images(self, indices: Indices) -> Images:
        """See `Split`."""
        rows = np.asarray(indices, np.int64)
        if rows.size and (rows.min() < 0 or rows.max() >= len(self.labels)):
            raise IndexError(f"indices must be 0 to {len(self.labels) - 1}, got {rows.min()} to {rows.max()}")
        images = np.empty((len(rows), *self.shape), np.uint8)
        # One read for each run of neighbours; an image at a time would be slow for a chunk in order.
        starts = np.flatnonzero(np.diff(rows, prepend=-2) != 1)
        for start, end in zip(starts, np.append(starts[1:], len(rows)), strict=False):  # No starts where there are no rows.
            self._read(images[start:end], int(rows[start]))
        return images

    def _read(self, images: Images, first: int) -> None:
        view = images.reshape(-1).data
        place = self.offset + first * int(np.prod(self.shape))
        while view:
            try:
                count = os.preadv(self.file.fileno(), [view], place)
            except OSError as error:
                raise ArtifactError(f"{self.path} can't be read ({error.strerror}): copy it again") from error
            if not count:
                raise ArtifactError(f"{self.path} has become shorter while it was read: leave it alone, and start again")
            view, place = view[count:], place + count


def unpack(blocks: Iterable[bytes], path: Path) -> IO[bytes]:
    """Write what `path` unpacks to into a temporary file without a name, which is gone as soon as it is closed.

    It is made in TMPDIR, else in /var/tmp: on many systems /tmp is memory, which is what this is to save.

    Raises:
        ConfigError: If there is no room.
    """
    folder = os.environ.get("TMPDIR") or "/var/tmp"  # noqa: S108 - the file has no name that another user could take.
    with ExitStack() as stack:
        try:
            copy = stack.enter_context(tempfile.TemporaryFile(dir=folder, buffering=0))
            for block in blocks:
                view = memoryview(block)
                while view:
                    view = view[copy.write(view) :]
        except OSError as error:
            raise ConfigError(
                f"{path} can't be unpacked into {folder} ({error.strerror}): set TMPDIR to a folder with room"
            ) from error
        stack.pop_all()
    return copy


def _pixels_sha256(split: Split) -> str:
    digest = hashlib.sha256()
    for images in chunks(split):
        digest.update(images.tobytes())
    digest.update(split.labels.astype("<i8").tobytes())
    return digest.hexdigest()
