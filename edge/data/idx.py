"""Reads IDX files, the format of MNIST: gzipped or plain, with images read in place."""

import gzip
import math
import re
import struct
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, Literal, cast

import numpy as np

from edgecnn.edge.data.splits import MOST_IMAGES, Labels, Part, RowSplit, unpack
from edgecnn.edge.errors import ArtifactError, parsing
from edgecnn.edge.files import open_file

IMAGES_MAGIC = 0x00000803  # unsigned bytes, 3 dimensions
LABELS_MAGIC = 0x00000801  # unsigned bytes, 1 dimension
PREFIX: dict[Part, str] = {"train": "train", "test": "t10k"}
_DIMENSIONS = {"images": 3, "labels": 1}
_NAME = re.compile(r"(train|t10k)-(images|labels)[-.]idx[13]-ubyte(\.gz)?")
_BLOCK = 1 << 20


def is_idx_folder(folder: Path) -> bool:
    """Return whether any of the four files exists."""
    return any(_NAME.fullmatch(path.name) for path in folder.iterdir())


def load_idx(folder: Path, part: Part) -> RowSplit:
    """Open `train` or `test` in a folder of IDX files. A gzipped image file is first unpacked on disk.

    Raises:
        ArtifactError: If a file is missing or broken; the message says which and how.
        ConfigError: If the disk has no room to unpack.
    """
    images_path = _find(folder, part, "images")
    labels = idx_labels(folder, part)
    images = _opened(images_path, IMAGES_MAGIC)
    try:
        shape = read_header(images, images_path, IMAGES_MAGIC)
        if shape[0] != len(labels):
            raise ArtifactError(
                f"{_find(folder, part, 'labels')} has {len(labels)} labels for the {shape[0]} images of {images_path.name}: "
                "copy both again"
            )
        if 0 in shape:
            raise ArtifactError(f"{images_path} has no images (shape {shape}): give a folder with images")
    except ArtifactError:
        images.close()
        raise
    return RowSplit(images, images.tell(), labels, (shape[1], shape[2], 1), images_path)


def idx_labels(folder: Path, part: Part) -> Labels:
    """Return the labels of a part, int64 (n,), without opening its images. Errors are those of `load_idx`."""
    path = _find(folder, part, "labels")
    with _opened(path, LABELS_MAGIC) as file:
        (count,) = read_header(file, path, LABELS_MAGIC)
        return np.frombuffer(file.read(count), np.uint8).astype(np.int64)


def read_header(file: IO[bytes], path: Path, magic: int) -> tuple[int, ...]:
    """Return the shape in an IDX file's header, and leave `file` at the first value.

    Raises:
        ArtifactError: If it is another kind of file, or its size contradicts its header.
    """
    size = file.seek(0, 2)
    file.seek(0)
    shape, expected = _read_shape(file.read, path, magic)
    if size != expected:
        state = "truncated" if size < expected else "too long"
        raise ArtifactError(f"{path} is {state}: {size} bytes, but its header says {expected} (shape {shape}): copy it again")
    return shape


def _read_shape(read: Callable[[int], bytes], path: Path, magic: int) -> tuple[tuple[int, ...], int]:
    """Return the shape in a header, and the size of such a file in bytes."""
    header = 4 + 4 * (magic & 0xFF)  # The magic number ends with the number of dimensions.
    data = read(header)
    if len(data) < header:
        raise ArtifactError(f"{path} is truncated: {len(data)} bytes, but the IDX header alone takes {header}: copy it again")
    found, *shape = struct.unpack(f">{header // 4}I", data)
    if found != magic:
        raise ArtifactError(
            f"{path} is not an IDX file of this kind: magic 0x{found:08x}, expected 0x{magic:08x}: check the names"
        )
    if shape[0] > MOST_IMAGES:
        raise ArtifactError(f"{path} claims {shape[0]:,} images, more than {MOST_IMAGES:,}: copy it again, or split it")
    return tuple(shape), header + math.prod(shape)


def _find(folder: Path, part: Part, kind: Literal["images", "labels"]) -> Path:
    stem = f"{PREFIX[part]}-{kind}"
    names = [f"{stem}{mark}idx{_DIMENSIONS[kind]}-ubyte{suffix}" for mark in "-." for suffix in ("", ".gz")]
    found = [folder / name for name in names if (folder / name).exists()]
    if not found:
        raise ArtifactError(f"{folder / names[1]} does not exist: an IDX folder needs it, gzipped or plain")
    if len(found) > 1:
        raise ArtifactError(f"{folder} has both {found[0].name} and {found[1].name}: keep one")
    return found[0]


def _opened(path: Path, magic: int) -> IO[bytes]:
    with parsing(f"{path} can't be read", "give a readable file"):
        file = cast(IO[bytes], open_file(path).detach())  # Unbuffered.
    packed = file.seek(0, 2)
    if not packed:
        file.close()
        raise ArtifactError(f"{path} is empty: copy it again")
    file.seek(0)
    if path.suffix != ".gz":
        return file
    with file, gzip.open(file) as stream:
        # The size in its header bounds what is written; one byte more shows that the file holds more.
        with _gunzipping(path):
            _, size = _read_shape(stream.read, path, magic)
        return unpack(_gunzipped(stream, path, size + 1), path, size, packed)


def _gunzipped(stream: gzip.GzipFile, path: Path, most: int) -> Iterator[bytes]:
    with _gunzipping(path):
        stream.seek(0)
        while block := stream.read(min(_BLOCK, most)):
            most -= len(block)
            yield block


def _gunzipping(path: Path) -> AbstractContextManager[None]:
    return parsing(f"{path} is not a whole gzip file", "copy it again")
