"""Finds identical images: a copy of an image adds no evidence. Also what is kept of each examined picture."""

import hashlib
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgecnn.edge.data.image_file import image_header, read_pixels
from edgecnn.edge.data.near_duplicates import LEAST_SIDE, SIDE, thumbnail
from edgecnn.edge.data.splits import FileSplit, Split, chunks, file_digest
from edgecnn.edge.errors import ArtifactError, parsing, setting
from edgecnn.edge.files import open_file
from edgecnn.edge.manifest import DatasetRecord
from edgecnn.edge.model.preprocess import Images
from edgecnn.edge.text import counted

Size = tuple[int, int]
Kind = tuple[Size, bool]
_DIGEST_BYTES = 16
_START_OF_SCAN, _METADATA = 0xDA, (*range(0xE0, 0xF0), 0xFE)


def pixel_digests(images: Images) -> list[bytes]:
    """Return 16 bytes for each image of uint8 (n, h, w, c): equal for equal pixels only."""
    return [hashlib.sha256(image.tobytes()).digest()[:_DIGEST_BYTES] for image in images]


def first_seen(
    digests: Sequence[bytes], labels: NDArray[np.int64], seen: dict[bytes, int], learnt: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which images have pixels not seen before, and which repeat the pixels of an image with another label.

    Args:
        digests: `pixel_digests` of the images.
        labels: int64 (n,).
        seen: Label of the first image with each digest; new ones are added.
        learnt: Which images are passed over as copies of training images (n,); None for none.

    Returns:
        Two arrays of bool (n,); no image is in both, and none that is passed over is in one.
    """
    fresh, conflicting = np.zeros((2, len(digests)), bool)
    for place, (digest, label) in enumerate(zip(digests, labels.tolist(), strict=True)):
        if learnt is not None and learnt[place]:
            continue
        fresh[place] = digest not in seen
        conflicting[place] = seen.setdefault(digest, label) != label
    return fresh, conflicting


def evidence(test: Split, learnt: Sequence[int]) -> tuple[NDArray[np.bool_], list[bytes]]:
    """Return which images (n,) are no copy of an earlier or a training image, and the digest of each; read in chunks.

    `learnt` are the places of the copies of training images.
    """
    digests = [digest for images in chunks(test) for digest in pixel_digests(images)]
    return first_seen(digests, test.labels, {}, np.isin(np.arange(len(digests)), learnt))[0], digests


def learnt_images(train: Split, test: Split) -> tuple[int, ...]:
    """Return the places of the test images that are exact copies of training images, which a model may know by heart.

    Image files are copies if their bytes are equal, of JPEGs those of the picture alone, which is seen without decoding; or if
    their pixels in full size are. Only pictures of equal size are decoded, and no two JPEGs for each other: those are not
    compressed again without loss. Images in arrays are copies if their pixels are equal. Files of training images are not
    decoded for test images in arrays: none is a copy.

    Raises:
        ArtifactError: If an image can't be read.
    """
    if isinstance(train, FileSplit) and isinstance(test, FileSplit):
        learnt, tested = ([_encoded(split.folder / name) for name in split.names] for split in (train, test))
        sizes = {one.size for one in learnt} & {one.size for one in tested}
        known = {one.digest() for one in learnt if one.size in sizes}
        copies = {place for place, one in enumerate(tested) if one.size in sizes and one.digest() in known}
        return tuple(sorted(copies | _saved_again(learnt, tested)))
    if isinstance(train, FileSplit):
        return ()
    known = {digest for images in chunks(train) for digest in pixel_digests(images)}
    return tuple(place for place, digest in enumerate(evidence(test, ())[1]) if digest in known)


class _Encoded(NamedTuple):
    """The bytes of a file that are its picture: of a JPEG all but its metadata, so that a copy without them is equal.

    Attributes:
        path: The file.
        is_jpeg: Whether it begins as a JPEG does, whatever its name ends with.
        tables: What of a JPEG's head belongs to the picture.
        start: Where the rest begins.
        size: Number of bytes of both.
    """

    path: Path
    is_jpeg: bool
    tables: bytes
    start: int
    size: int

    def digest(self) -> bytes:
        """Return a SHA-256 of them."""
        return hashlib.sha256(self.tables + file_digest(self.path, self.start)).digest()


def _encoded(path: Path) -> _Encoded:
    """Return where the picture of a file is; of a JPEG by its markers (ITU-T T.81, annex B).

    Raises:
        ArtifactError: If the file can't be read.
    """
    tables, start = b"", 0
    with parsing(f"{path} can't be read", "remove or replace it"), open_file(path) as stream:
        size = os.fstat(stream.fileno()).st_size
        is_jpeg = stream.read(2) == b"\xff\xd8"
        if is_jpeg:
            while len(head := stream.read(4)) == 4 and head[0] == 0xFF and head[1] != _START_OF_SCAN:
                said = stream.read(max(int.from_bytes(head[2:], "big") - 2, 0))
                tables += b"" if head[1] in _METADATA else head + said
            start = stream.tell() - 4 if head[:2] == bytes((0xFF, _START_OF_SCAN)) else 0
    tables = tables if start else b""
    return _Encoded(path, is_jpeg, tables, start, len(tables) + size - start)


def _saved_again(learnt: Sequence[_Encoded], tested: Sequence[_Encoded]) -> set[int]:
    """Return the places of the test images with the pixels of a training image in a file of another format or compression."""
    if all(one.is_jpeg for one in (*learnt, *tested)):
        return set()
    first, second = _kinds(learnt), _kinds(tested)
    known = {*_digests(learnt, first, second).values()}
    return {place for place, key in _digests(tested, second, first).items() if key in known}


def _digests(images: Sequence[_Encoded], own: dict[int, Kind], others: dict[int, Kind]) -> dict[int, tuple[Size, bytes]]:
    """Return size and digest of the pixels, in full size, of the images that may be among the others; by their places."""
    sizes, lossless = {size for size, _ in others.values()}, {size for size, is_jpeg in others.values() if not is_jpeg}
    found = {}
    for place, (size, is_jpeg) in own.items():
        if size in (lossless if is_jpeg else sizes):
            with suppress(ArtifactError):  # What reads a broken file says so.
                pixels, _ = read_pixels(images[place].path, "")
                found[place] = size, pixel_digests(pixels[np.newaxis])[0]
    return found


def _kinds(images: Sequence[_Encoded]) -> dict[int, Kind]:
    """Return the size of each picture that can be read, and whether it is a JPEG, by its place."""
    found = {}
    for place, one in enumerate(images):
        with suppress(ArtifactError):
            height, width, _ = image_header(one.path, "")
            found[place] = (height, width), one.is_jpeg
    return found


def learnt_note(record: DatasetRecord, images: int) -> list[str]:
    """Return a warning that some of `images` test images are, or may be, what the model was trained on; usually empty."""
    learnt = len(record.learnt)
    many, proof = f"{learnt:,} of {images:,}", "they prove nothing, and bench does not count them"
    if learnt == images:
        many, proof = f"all {images:,}", "their accuracy proves nothing"
    copies = "exact copies of training images or of validation images, which a model may know by heart"
    notes = [f"Doubtful: {many} test images are {copies}: {proof}. edgecnn data names them."] if learnt else []
    return notes + ([f"Doubtful: {unknown_split(record)}"] if record.may_be_learnt else [])


def unknown_split(record: DatasetRecord) -> str:
    """Return why images that were drawn from a folder may be no test of a model that was trained elsewhere, and what to do."""
    share = record.split_off.of_each_class if record.split_off else "a share"
    fit = ""
    if record.fitted:
        fit = f" Files are fitted by {record.fitted.fit}: if training fitted them otherwise, give {setting('fit')}."
    # Of a file without a manifest no training images are known.
    of = "evaluate judge the exported file on all of it" if record.train_sha256 else "evaluate or bench take all of it"
    return (
        f"these images are {share} of {record.name}, drawn by edgecnn: the model, or the one that it began with, was trained "
        "elsewhere and may have learned from them, and then its accuracy is no test result. Keep images that it never saw in a "
        f"test/ folder, or name them by {setting('test_list', 'FILE')}; if it saw none of the folder, let {of}: "
        f"{setting('test_share', 1)}.{fit}"
    )


def conflict_note(count: int) -> list[str]:
    """Return a warning about `count` images with the pixels of an earlier image but another label; none for 0."""
    if not count:
        return []
    return [
        f"{counted(count, 'test image')} {'has' if count == 1 else 'have'} the pixels of an earlier image but another label: "
        "one label is wrong; edgecnn data names them."
    ]


def held_out(digests: Sequence[bytes]) -> NDArray[np.bool_]:
    """Return which images (n,) are held out for the final judgement while the others choose: half, by their pixels alone.

    So the same images are held out in any order and in any part of the dataset.
    """
    return np.array([digest[0] % 2 == 1 for digest in digests], bool)


_PIXELS = 1 << 16  # Pixels counted at a time.
_SHADES = np.arange(256) / 255


@dataclass(frozen=True)
class Sizes:
    """(height, width) of the smallest, the median and the largest image by area, and the number of different sizes."""

    smallest: tuple[int, ...]
    median: tuple[int, ...]
    largest: tuple[int, ...]
    distinct: int


@dataclass(frozen=True)
class Pixels:
    """Pixel values of the training images; every image has the same weight.

    Attributes:
        lowest: Lowest value, 0 to 255.
        highest: Highest value, 0 to 255.
        mean: Mean of pixel / 255, per channel.
        std: Standard deviation of pixel / 255, per channel, over all pixels and not over the images' means.
    """

    lowest: int
    highest: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


class SeenPictures:
    """The size and pixel hash of each image, and sums over the training images."""

    def __init__(self, count: int) -> None:
        self.readable = np.zeros(count, bool)
        self.broken: dict[int, str] = {}
        self.thumbnails, self.large = np.zeros((count, SIDE, SIDE), np.uint8), np.zeros(count, bool)
        self._shapes = np.zeros((count, 3), np.int32)
        self._digests = np.zeros(count, "S16")
        self._values = np.zeros((3, 256), np.int64)
        self._moments = np.zeros((2, 3))
        self._training = 0

    def add(self, number: int, picture: Images | str, training: bool) -> None:
        """Add the picture with this number, or what is wrong with it."""
        if isinstance(picture, str):
            self.broken[number] = picture
            return
        self.readable[number] = True
        self._shapes[number] = picture.shape
        if min(picture.shape[:2]) >= LEAST_SIDE:
            self.thumbnails[number], self.large[number] = thumbnail(picture), True
        # A grey picture saved in colour is still the same picture.
        colour = picture if picture.shape[2] == 3 else picture.repeat(3, axis=2)
        self._digests[number] = hashlib.sha256(f"{colour.shape}".encode() + colour.tobytes()).digest()[:16]
        if training:
            values = _histogram(colour)
            self._values += values
            self._moments += np.stack([values @ _SHADES, values @ _SHADES**2]) / colour[..., 0].size
            self._training += 1

    def channels(self) -> int:
        """Return 1 if every picture is grey, else 3."""
        return 1 if (self._shapes[self.readable, 2] == 1).all() else 3

    def sizes(self) -> Sizes | None:
        """Return the sizes of the readable pictures; None if no picture is readable."""
        found, counts = np.unique(self._shapes[self.readable, :2], axis=0, return_counts=True)
        if not len(found):
            return None
        order = np.argsort(found.prod(axis=1, dtype=np.int64), kind="stable")
        found, counts = found[order], counts[order]
        middle = int(np.searchsorted(counts.cumsum(), counts.sum() / 2))
        smallest, median, largest = (tuple(found[index].tolist()) for index in (0, middle, -1))
        return Sizes(smallest, median, largest, len(found))

    def pixels(self) -> Pixels | None:
        """Return the pixel values of the training pictures; None if no training picture is readable."""
        if not self._training:
            return None
        mean, square = self._moments[:, : self.channels()] / self._training
        # Rounding may give slightly less than zero if all pixels are equal.
        std = np.sqrt(np.maximum(square - mean**2, 0))
        values = np.flatnonzero(self._values.any(axis=0))
        return Pixels(int(values[0]), int(values[-1]), tuple(mean.tolist()), tuple(std.tolist()))

    def groups(self) -> list[NDArray[np.int64]]:
        """Return groups of image numbers with the same pixels, in the order of the first of each group."""
        numbers = np.flatnonzero(self.readable)
        numbers = numbers[np.argsort(self._digests[numbers], kind="stable")]
        digests = self._digests[numbers]
        starts = np.flatnonzero(np.append(True, digests[1:] != digests[:-1])) if len(numbers) else numbers
        ends = np.append(starts[1:], len(numbers))
        several = [numbers[start:end] for start, end in zip(starts, ends, strict=False) if end - start > 1]
        return sorted(several, key=lambda group: int(group[0]))

    def differing(self, groups: Sequence[NDArray[np.int64]]) -> list[NDArray[np.int64]]:
        """Return the groups whose pictures don't all have the same pixels."""
        return [group for group in groups if len(np.unique(self._digests[group])) > 1]


def _histogram(picture: Images) -> NDArray[np.int64]:
    """Return the count of each of the 256 values per channel; counted in parts, since counting widens the pixels."""
    flat = picture.reshape(-1, picture.shape[2])
    counts = np.zeros((picture.shape[2], 256), np.int64)
    for start in range(0, len(flat), _PIXELS):
        for channel, values in zip(counts, flat[start : start + _PIXELS].T, strict=True):
            channel += np.bincount(values, minlength=256)
    return counts
