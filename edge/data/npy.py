"""Reads arrays of numbers from .npy files, without pickle and without trusting the size in the header."""

import io
import math
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from edgecnn.edge.parsing import parsing

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
    """Return the array in the bytes of an .npy file; it takes no more memory than they do.

    Args:
        data: The bytes.
        what: Name of the file, as for `parsing`.
        fix: What the message recommends, as for `parsing`.

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
