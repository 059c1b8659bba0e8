"""Reads arrays of .npy and .npz files in place, without pickle and without trusting the size in a header."""

import io
import math
import zipfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from edgecnn.edge.data.splits import MOST_IMAGES, Labels, Part, RowSplit, unpack
from edgecnn.edge.errors import ArtifactError, parsing

# numpy's own limit for the text of shape and dtype.
_LONGEST_HEADER = 10_000
# For each version, the bytes of the header's length, and what reads it.
_HEADERS = {
    (1, 0): (2, np.lib.format.read_array_header_1_0),
    (2, 0): (4, np.lib.format.read_array_header_2_0),
}


def read_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Return shape, whether the order is Fortran's, and dtype; leave `file` at the first value. It reads at most 10 kB.

    Raises:
        ValueError: If it is not an array's header. numpy raises other errors on damaged ones: call this inside `parsing`.
    """
    version = np.lib.format.read_magic(file)
    if version not in _HEADERS:
        raise ValueError(f"it has .npy version {version[0]}.{version[1]}, not that of a plain array")
    digits, read = _HEADERS[version]
    length = file.read(digits)
    size = int.from_bytes(length, "little")
    if size > _LONGEST_HEADER:
        raise ValueError(f"its header has {size:,} bytes, but an array's has at most {_LONGEST_HEADER:,}")
    shape, by_columns, dtype = read(io.BytesIO(length + file.read(size)), max_header_size=_LONGEST_HEADER)
    if any(sides < 0 for sides in shape):
        raise ValueError(f"its shape is {shape}")
    return shape, by_columns, dtype


def read_npy(data: bytes, what: str, fix: str) -> NDArray[Any]:
    """Return the array in the bytes of an .npy file; it takes no more memory than they do. `what` and `fix` are for `parsing`.

    Raises:
        ArtifactError: If it is not a whole array of numbers.
    """
    with parsing(what, fix):
        file = io.BytesIO(data)
        shape, by_columns, dtype = read_header(file)
        start = file.tell()
        if dtype.kind not in "biuf":
            raise ValueError(f"it holds {dtype}, not numbers")
        if len(data) - start != math.prod(shape) * dtype.itemsize:
            raise ValueError(f"{dtype} of shape {shape} does not take {len(data) - start:,} bytes")
        values = np.frombuffer(data, dtype, offset=start)
        return values.reshape(shape, order="F" if by_columns else "C")


NAMES = ("x_train", "y_train", "x_test", "y_test")
_BLOCK = 1 << 20
_LOCAL_HEADER = 30  # Bytes in a zip file before a member's name.


def load_npz(path: Path, part: Part) -> RowSplit:
    """Open `train`, `test` or `val`. A compressed member (numpy.savez_compressed) is first unpacked on disk.

    Raises:
        ArtifactError: If the file is broken, or a member is missing or wrong.
        ConfigError: If the disk has no room to unpack.
    """
    images, labels = f"x_{part}", f"y_{part}"
    with _reading(path), zipfile.ZipFile(path) as archive:
        info = _info(archive, path, images)
        with archive.open(info) as member:
            shape = _read_header(member, path, images, "u", np.dtype(np.uint8))[0]
            header = member.tell()
        if len(shape) == 3:
            shape = (*shape, 1)
        if len(shape) != 4 or shape[3] not in (1, 3) or 0 in shape:
            raise ArtifactError(f"{path}: {images} has shape {shape}: give (n, height, width), optionally with 1 or 3 channels")
        count, height, width, channels = shape
        classes = _read_labels(archive, path, labels)
        if count != len(classes):
            raise ArtifactError(
                f"{path}: {labels} has {len(classes)} labels for the {count} images of {images}: save them again"
            )
        if info.file_size != header + count * height * width * channels:
            raise ArtifactError(f"{path}: {images} has {info.file_size} bytes, which does not fit {shape}: save it again")
        file, start = _rows(archive, info, path)
    return RowSplit(file, start + header, classes, (height, width, channels), path)


def npz_labels(path: Path, part: Part) -> Labels:
    """Return the labels of a part, int64 (n,), without unpacking its images. Errors are those of `load_npz`."""
    with _reading(path), zipfile.ZipFile(path) as archive:
        return _read_labels(archive, path, f"y_{part}")


def has_validation_arrays(path: Path) -> bool:
    """Return whether an .npz file has validation images or their labels.

    Raises:
        ArtifactError: If the file is broken.
    """
    with _reading(path), zipfile.ZipFile(path) as archive:
        return not {"x_val.npy", "y_val.npy"}.isdisjoint(archive.namelist())


def _read_labels(archive: zipfile.ZipFile, path: Path, name: str) -> Labels:
    info = _info(archive, path, name)
    with archive.open(info) as member:
        shape, dtype = _read_header(member, path, name, "iu")
        size = math.prod(shape) * dtype.itemsize
        if shape and shape[0] > MOST_IMAGES:
            raise ArtifactError(f"{path}: {name} has {shape[0]:,} labels, more than {MOST_IMAGES:,}: split the file")
        data = member.read(size + 1) if info.file_size == member.tell() + size else b""
    if len(shape) not in (1, 2) or shape[1:] not in ((), (1,)) or len(data) != size:
        raise ArtifactError(
            f"{path}: {name} has shape {shape}: give (n,) or (n, 1), a class number for each image (one-hot: .argmax(axis=1))"
        )
    labels = np.frombuffer(data, dtype).astype(np.int64)
    if labels.min(initial=0) < 0:
        raise ArtifactError(f"{path}: {name} has the label {labels.min()}: give class numbers from 0")
    return labels


def _info(archive: zipfile.ZipFile, path: Path, name: str) -> zipfile.ZipInfo:
    try:
        return archive.getinfo(f"{name}.npy")
    except KeyError:
        found = ", ".join(sorted(member.removesuffix(".npy") for member in archive.namelist())[:8]) or "nothing"
        raise ArtifactError(f"{path} has no {name}, only {found}: save it with the names {', '.join(NAMES)}") from None


def _read_header(
    member: IO[bytes], path: Path, name: str, kinds: str, wanted: np.dtype[Any] | None = None
) -> tuple[tuple[int, ...], np.dtype[Any]]:
    with parsing(f"{path}: {name} is not an array", "save an array of numbers"):
        shape, by_columns, dtype = read_header(member)
    if dtype.hasobject:
        raise ArtifactError(f"{path}: {name} holds Python objects, which are never unpickled: save an array of numbers")
    if wanted is not None and dtype != wanted:
        raise ArtifactError(
            f"{path}: {name} is {dtype}, but images are {wanted} from 0 to 255: "
            "scale them to that range (times 255 if they end at 1), and save .round().astype('uint8')"
        )
    if dtype.kind not in kinds:
        fix = "save numpy.unique(names, return_inverse=True)[1]" if dtype.kind in "US" else "save .astype('int64')"
        raise ArtifactError(f"{path}: {name} is {dtype}, but labels are whole numbers from 0: {fix}")
    if by_columns and len(shape) > 1:
        raise ArtifactError(f"{path}: {name} is in Fortran order: save numpy.ascontiguousarray of it")
    return shape, dtype


def _rows(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> tuple[IO[bytes], int]:
    """Return a file that holds the member's bytes uncompressed, and their offset in it."""
    blocks = _blocks(archive, info, path)
    if info.compress_type != zipfile.ZIP_STORED:
        return unpack(blocks, path, info.file_size, info.compress_size), 0
    for _ in blocks:
        pass  # The checksum is compared at the last byte; reading in place would miss damage.
    file = path.open("rb", buffering=0)
    # The name is in the file a second time; its lengths may differ from the directory at the end of the file.
    file.seek(info.header_offset)
    local = file.read(_LOCAL_HEADER)
    lengths = int.from_bytes(local[26:28], "little") + int.from_bytes(local[28:30], "little")
    return file, info.header_offset + _LOCAL_HEADER + lengths


def _blocks(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> Iterator[bytes]:
    with _reading(path), archive.open(info) as member:
        while block := member.read(_BLOCK):
            yield block


def _reading(path: Path) -> AbstractContextManager[None]:
    return parsing(f"{path} is not a whole .npz file", "save or copy it again")
