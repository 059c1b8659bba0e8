"""Images and their labels, in memory or on disk, read a few at a time: the source of images for everything else."""

import hashlib
import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from edgecnn.edge.data.image_file import ImageRule, read_image
from edgecnn.edge.errors import ArtifactError, ConfigError, because, field, parsing
from edgecnn.edge.files import open_file
from edgecnn.edge.manifest import Background, Fit
from edgecnn.edge.model.preprocess import Images

Labels = NDArray[np.int64]
Shape = tuple[int, int, int]
Part = Literal["train", "test", "val"]
# The parts that a dataset must have, in the order in which they are listed.
PARTS: tuple[Part, ...] = ("train", "test")
Indices = Sequence[int] | NDArray[np.int64]

CHUNK = 250
# Labels are held in memory, 8 bytes each. ImageNet-21k has 14 million.
MOST_IMAGES = 2**24
# Deflate writes at least two bits for each 258 bytes: https://zlib.net/zlib_tech.html.
_MOST_DEFLATED = 1032
_CHUNK_BYTES = 2**25  # Large images come in smaller chunks.


class Split(Protocol):
    """The training, the test or the validation part."""

    @property
    def labels(self) -> Labels:
        """int64 (n,), from 0."""

    @property
    def shape(self) -> Shape:
        """(h, w, c) of every image."""

    @property
    def sha256(self) -> str:
        """Identifies the split."""

    def images(self, indices: Indices) -> Images:
        """Return the images at `indices` (from 0), in that order, as uint8 (len(indices), h, w, c).

        Raises:
            ArtifactError: If one can't be read; the message names it.
        """


def drawn_evenly(
    labels: Labels,
    part: Literal["test", "val"],
    share: float,
    seed: int,
    class_names: Sequence[str],
    groups: Sequence[NDArray[np.int64]] = (),
) -> NDArray[np.bool_]:
    """Return which images become that part: their share of each class, and at least one on either side.

    Args:
        labels: int64 (n,), from 0.
        part: Test images are drawn from all images, validation images from those that are left.
        share: Share of each class, 0 to 1 (exclusive).
        seed: Seed of the draw.
        class_names: Names of the classes, for messages.
        groups: Places of images that stay together, unless a class would have none on one side. A group that is too large for
            the share is passed over, so that the share may be smaller.

    Raises:
        ConfigError: If a class has only one image.
    """
    rng = np.random.default_rng(seed if part == "test" else [seed, 1])
    drawn, settled = np.zeros((2, len(labels)), bool)
    group = np.arange(len(labels))
    for places in groups:
        group[places] = places[0]
    for label in np.unique(labels):
        of_class = np.flatnonzero(labels == label)
        if len(of_class) == 1:
            needed = {"test": "image, but training and testing need", "val": f"training image, but {field('val_share')} needs"}
            raise ConfigError(f"class {class_names[label]} has one {needed[part]} two: add images")
        count = min(max(round(share * len(of_class)), 1), len(of_class) - 1)
        order = rng.permutation(of_class)
        if groups:
            _draw_groups(order, count, group, drawn, settled)
        else:
            drawn[order[:count]] = True
    return drawn


def _draw_groups(
    order: NDArray[np.int64], count: int, group: NDArray[np.int64], drawn: NDArray[np.bool_], settled: NDArray[np.bool_]
) -> None:
    """Draw about `count` images of a class in this order, with their groups, which may reach into other classes.

    `group` has the number of each image's group, `settled` which groups an earlier class decided; both last ones are changed.
    """
    numbers, sizes = np.unique(group[order], return_counts=True)
    size = dict(zip(numbers.tolist(), sizes.tolist(), strict=True))
    free = [number for number in dict.fromkeys(group[order].tolist()) if not settled[number]]
    missing = count - int(drawn[order].sum())
    chosen = []
    for number in free:
        if size[number] <= missing:
            chosen.append(number)
            missing -= size[number]
    if not chosen and not drawn[order].any():
        chosen = [number for number in sorted(free, key=size.__getitem__)[:1] if size[number] < len(order)]
    drawn |= np.isin(group, chosen)
    if not drawn[order].any():  # The class is one group.
        drawn[order[:count]] = True
    if drawn[order].all():  # It is in groups of earlier classes.
        drawn[order[count:]] = False
    settled |= np.isin(group, numbers)


def chunks(
    split: Split, size: int = CHUNK, on_progress: Callable[[int, int], None] = lambda done, total: None
) -> Iterator[Images]:
    """Yield all images in order, at most `size` at a time and few enough for any memory; none is kept.

    `on_progress` is called before each chunk with the number of images done and their total.
    """
    size = max(1, min(size, _CHUNK_BYTES // int(np.prod(split.shape))))
    for start in range(0, len(split.labels), size):
        on_progress(start, len(split.labels))
        yield split.images(np.arange(start, min(start + size, len(split.labels))))


def _pixels_sha256(split: Split) -> str:
    """Return the SHA-256 of the pixels and the labels, whatever file they came from."""
    digest = hashlib.sha256()
    for images in chunks(split):
        digest.update(images.tobytes())
    digest.update(split.labels.astype("<i8").tobytes())
    return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class ArraySplit:
    """In memory: images uint8 (n, h, w, c) and labels int64 (n,)."""

    array: Images
    labels: Labels
    sha256 = cached_property(_pixels_sha256)

    @property
    def shape(self) -> Shape:
        """(h, w, c)."""
        height, width, channels = self.array.shape[1:]
        return height, width, channels

    def images(self, indices: Indices) -> Images:
        """See `Split`."""
        return self.array[np.asarray(indices, np.int64)]


@dataclass(frozen=True, eq=False)
class Subset:
    """A selection from a split.

    Attributes:
        split: The whole split.
        indices: Positions in the split, in this order.
    """

    split: Split
    indices: NDArray[np.int64]
    sha256 = cached_property(_pixels_sha256)  # Whatever the whole split hashes.

    @cached_property
    def labels(self) -> Labels:
        """See `Split`."""
        return self.split.labels[self.indices]

    @property
    def shape(self) -> Shape:
        """(h, w, c)."""
        return self.split.shape

    def images(self, indices: Indices) -> Images:
        """See `Split`."""
        return self.split.images(self.indices[np.asarray(indices, np.int64)])


@dataclass(frozen=True, eq=False)
class FileSplit:
    """Image files, decoded on demand.

    Attributes:
        folder: Folder of the files.
        names: Their paths relative to it.
        labels: int64, one per name.
        shape: (h, w, c) to which each is fitted.
        fit: Rule of `edgecnn.edge.manifest.Fit` that fits them.
        background: Background as in `edgecnn.edge.manifest.Preprocessing`; `any` inverts nothing, the rule for training.
        listed: Whether no share and seed alone give these images: a list names them, or near-duplicates changed the draw.
    """

    folder: Path
    names: tuple[str, ...]
    labels: Labels
    shape: Shape
    fit: Fit
    background: Background = "any"
    listed: bool = False

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the files' bytes, the labels and the rule that reads them; nothing is decoded."""
        digest = hashlib.sha256(f"{self.shape} {self.fit} {self.background}".encode())
        for name in self.names:
            digest.update(file_digest(self.folder / name))
        digest.update(self.labels.astype("<i8").tobytes())
        return digest.hexdigest()

    def images(self, indices: Indices) -> Images:
        """See `Split`."""
        images = np.empty((len(indices), *self.shape), np.uint8)
        rule = ImageRule(self.fit, self.background)
        remedy = f"remove or replace it (edgecnn data {self.folder} lists all such files)"
        for image, index in zip(images, indices, strict=True):
            image[:] = read_image(self.folder / self.names[index], self.shape, rule, remedy=remedy)
        return images


@dataclass(frozen=True, eq=False)
class RowSplit:
    """Images stored one after another in an uncompressed file, read by their offset.

    A memory map would do the same with less code, but its pages count as this process's memory, which a small board
    soon runs out of.

    Attributes:
        file: File opened for reading, unbuffered; closed with this object.
        offset: Number of bytes before the first image.
        labels: int64 (n,).
        shape: (h, w, c).
        path: Name of the file for messages: that of the packed file, if this is a temporary copy.
    """

    file: IO[bytes]
    offset: int
    labels: Labels
    shape: Shape
    path: Path
    sha256 = cached_property(_pixels_sha256)

    def __post_init__(self) -> None:
        weakref.finalize(self, self.file.close)

    def images(self, indices: Indices) -> Images:
        """See `Split`."""
        rows = np.asarray(indices, np.int64)
        if rows.size and (rows.min() < 0 or rows.max() >= len(self.labels)):
            raise IndexError(f"indices must be 0 to {len(self.labels) - 1}, got {rows.min()} to {rows.max()}")
        images = np.empty((len(rows), *self.shape), np.uint8)
        # One read per run of neighbours; one per image would be slow for a chunk in order.
        starts = np.flatnonzero(np.diff(rows, prepend=-2) != 1)
        for start, end in zip(starts, np.append(starts[1:], len(rows)), strict=False):  # No starts if there are no rows.
            self._read(images[start:end], int(rows[start]))
        return images

    def _read(self, images: Images, first: int) -> None:
        view = images.reshape(-1).data
        place = self.offset + first * int(np.prod(self.shape))
        while view:
            try:
                count = os.preadv(self.file.fileno(), [view], place)
            except OSError as error:
                raise ArtifactError(f"{self.path} can't be read {because(error, 'copy it again')}") from error
            if not count:
                raise ArtifactError(f"{self.path} became shorter while it was being read: stop writing to it, and start again")
            view, place = view[count:], place + count


def file_digest(path: Path, start: int = 0) -> bytes:
    """Return the SHA-256 of an image file's bytes from an offset on; nothing is decoded.

    Raises:
        ArtifactError: If it can't be read.
    """
    with parsing(f"{path} can't be read", "remove or replace it"), open_file(path) as file:
        file.seek(start)
        return hashlib.file_digest(file, "sha256").digest()


def unpack(blocks: Iterable[bytes], path: Path, size: int, packed: int) -> IO[bytes]:
    """Unpack `path` into a temporary file without a name, which disappears when it is closed.

    It is created in TMPDIR, else in /var/tmp: on many systems /tmp is memory, which this should save.

    Args:
        blocks: The unpacked bytes.
        path: The packed file.
        size: Unpacked size in bytes, as the file states.
        packed: Size in the file in bytes, deflated.

    Raises:
        ArtifactError: If no file of that packed size can unpack to so much.
        ConfigError: If there is no room. That is checked first, since a small file may unpack to more than a disk holds.
    """
    folder = os.environ.get("TMPDIR") or "/var/tmp"  # noqa: S108 - the file has no name that another user could take.
    if size > _MOST_DEFLATED * packed:
        raise ArtifactError(f"{path} claims that {packed:,} bytes unpack to {size:,}, which is impossible: copy it again")
    with suppress(OSError):  # Writing into it gives the error.
        free = shutil.disk_usage(folder).free
        if size > free:
            raise ConfigError(f"{path} unpacks to {size:,} bytes, {folder} has room for {free:,}: set TMPDIR to one with more")
    with ExitStack() as stack:
        with parsing(f"{path} can't be unpacked into {folder}", "set TMPDIR to a folder with room", ConfigError):
            copy = stack.enter_context(tempfile.TemporaryFile(dir=folder, buffering=0))
            for block in blocks:
                view = memoryview(block)
                while view:
                    view = view[copy.write(view) :]
        stack.pop_all()
    return copy
