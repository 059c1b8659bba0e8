"""IDX files, as MNIST comes in: gzipped or plain, the images read where they lie."""

import gzip
import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

from edge.errors import ArtifactError
from edge.splits import Labels, RowSplit, unpack

IMAGES_MAGIC = 0x00000803  # unsigned bytes, 3 dimensions
LABELS_MAGIC = 0x00000801  # unsigned bytes, 1 dimension
PREFIX = {"train": "train", "test": "t10k"}
_NAME = re.compile(r"(train|t10k)-(images|labels)[-.]idx[13]-ubyte(\.gz)?")
_BLOCK = 1 << 20


def is_idx_folder(folder: Path) -> bool:
    """Whether any of the four files is there."""
    return any(_NAME.fullmatch(path.name) for path in folder.iterdir())


def load_idx(folder: Path, part: str) -> RowSplit:
    """Open `train` or `test` of a folder of IDX files. A gzipped file of images is unpacked on disk first.

    Raises:
        ArtifactError: If a file is missing or broken; the message says which and how.
        ConfigError: If there is no room to unpack.
    """
    images_path = _find(folder, f"{PREFIX[part]}-images", 3)
    labels_path = _find(folder, f"{PREFIX[part]}-labels", 1)
    with _opened(labels_path) as file:
        (count,) = read_header(file, labels_path, LABELS_MAGIC)
        labels: Labels = np.frombuffer(file.read(), np.uint8).astype(np.int64)
    images = _opened(images_path)
    try:
        shape = read_header(images, images_path, IMAGES_MAGIC)
        if shape[0] != count:
            raise ArtifactError(f"{labels_path} has {count} labels for the {shape[0]} images of {images_path.name}")
        if 0 in shape:
            raise ArtifactError(f"{images_path} has no images (shape {shape}): give a folder with some")
    except ArtifactError:
        images.close()
        raise
    return RowSplit(images, images.tell(), labels, (shape[1], shape[2], 1), images_path)


def read_header(file: IO[bytes], path: Path, magic: int) -> tuple[int, ...]:
    """Return the shape that an IDX file's header says, leaving `file` at the first value.

    Raises:
        ArtifactError: If it is another kind of file, or longer or shorter than its header says.
    """
    size = file.seek(0, 2)
    file.seek(0)
    dimensions = magic & 0xFF
    header = 4 + 4 * dimensions
    if size < header:
        raise ArtifactError(f"{path} is truncated: {size} bytes, the IDX header alone has {header}: copy it again")
    found, *shape = struct.unpack(f">{1 + dimensions}I", file.read(header))
    if found != magic:
        raise ArtifactError(
            f"{path} is not an IDX file of this kind: magic 0x{found:08x}, expected 0x{magic:08x}: check the names"
        )
    expected = header + int(np.prod(shape, dtype=object))
    if size != expected:
        state = "truncated" if size < expected else "too long"
        raise ArtifactError(
            f"{path} is {state}: {size} bytes, its header says {expected} (shape {tuple(shape)}): copy it again"
        )
    return tuple(shape)


def _find(folder: Path, stem: str, dimensions: int) -> Path:
    names = [f"{stem}{mark}idx{dimensions}-ubyte{suffix}" for mark in "-." for suffix in ("", ".gz")]
    found = [folder / name for name in names if (folder / name).exists()]
    if not found:
        raise ArtifactError(f"{folder / names[1]} does not exist: an IDX folder has it, gzipped or plain")
    if len(found) > 1:
        raise ArtifactError(f"{folder} has both {found[0].name} and {found[1].name}: keep one")
    return found[0]


def _opened(path: Path) -> IO[bytes]:
    try:
        file = path.open("rb", buffering=0)
    except OSError as error:
        raise ArtifactError(f"{path} can't be read ({error.strerror}): give a readable file") from error
    if not file.seek(0, 2):
        file.close()
        raise ArtifactError(f"{path} is empty: copy it again")
    file.seek(0)
    if path.suffix != ".gz":
        return file
    with file:
        return unpack(_gunzipped(file, path), path)


def _gunzipped(file: IO[bytes], path: Path) -> Iterator[bytes]:
    with gzip.open(file) as stream:
        while True:
            try:
                block = stream.read(_BLOCK)
            except (OSError, EOFError, zlib.error) as error:
                raise ArtifactError(f"{path} is not a whole gzip file ({error}): copy it again") from error
            if not block:
                return
            yield block
