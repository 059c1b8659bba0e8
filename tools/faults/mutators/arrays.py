"""Alterations of .npy arrays and of the zip files that hold them."""

import io
import struct
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tools.faults.mutators.plain import BYTES, Mutator, Random, altered

_DESCRIPTIONS = (
    "<f8",
    ">f4",
    "<f2",
    "<i4",
    "|u1",
    "|O",
    "<c8",
    "|S4",
    "<U9",
    "<M8[s]",
    "|V4",
    "nonsense",
    "<f4'+'",
    "[('a','<f4')]",
)
_SHAPES = (
    "()", "(0,)", "(-1, 4)", "(2000,)", "(4, 2000)", "(2000, 4, 1)", "(4000000000,)", "(9223372036854775807, 4)", "(" * 300,
    "(2000, 4",
    "(2000.0, 4)", "(True, 4)", "\\x00", "[x for x in ()]",
)  # fmt: skip


def alter_array(data: bytes, rng: Random) -> bytes:
    """Change an array's values and keep its form: a change that only the content reveals."""
    array = np.load(io.BytesIO(data), allow_pickle=False)
    return saved(_wrong(array, rng))


def _wrong(array: NDArray[Any], rng: Random) -> NDArray[Any]:
    changed = array.copy()
    row = int(rng.integers(len(changed))) if len(changed) else 0
    ways = ["roll_rows", "zeros", "reversed"]
    ways += ["roll_columns", "scaled", "nan_row", "nan_all", "inf", "negative", "uniform", "one_row", "shuffled"] * (
        array.dtype.kind == "f"
    )
    way = str(rng.choice(ways))
    if way == "roll_columns":
        return np.roll(changed, 1, axis=-1)
    if way == "roll_rows":
        return np.roll(changed, 1, axis=0)
    if way == "shuffled":
        return rng.permutation(changed, axis=0)
    if way == "reversed":
        return changed[::-1]
    if way == "scaled":
        changed *= 3
        return changed
    if way == "negative":
        return -changed
    if way == "one_row":
        changed[row] = np.roll(changed[row], 1)
        return changed
    if way == "uniform":
        return np.full_like(changed, 1 / changed.shape[-1])
    value = {"zeros": 0, "nan_row": np.nan, "nan_all": np.nan, "inf": np.inf}[way]
    if way in ("nan_row", "inf"):
        changed[row] = value
    else:
        changed[:] = value
    return changed


def alter_type(data: bytes, rng: Random) -> bytes:
    """Save the array with another type or shape."""
    array = np.load(io.BytesIO(data), allow_pickle=False)
    ways: list[NDArray[Any]] = [
        array.astype(np.float64), array.astype(np.float16), array.astype(">f4"), array.astype(np.int64), array.astype(str),
        array.astype(np.complex64), array.reshape(-1), array.T, array[..., None], array[: len(array) // 2], array[:0],
        array[:1],        np.concatenate([array, array]), np.asfortranarray(array), array.astype(bool), np.array(0.5),
    ]  # fmt: skip
    return saved(ways[int(rng.integers(len(ways)))])


def alter_header(data: bytes, rng: Random) -> bytes:
    """Rewrite the header's text: numpy evaluates it."""
    length = struct.unpack("<H", data[8:10])[0]
    header = data[10 : 10 + length].decode("latin1")
    if rng.random() < 0.5:
        start = header.index("'shape':") + 9
        end = header.index(")", start) + 1
        header = header[:start] + str(rng.choice(_SHAPES)) + header[end:]
    else:
        start = header.index("'descr':") + 9
        end = header.index(",", start)
        header = header[:start] + "'" + str(rng.choice(_DESCRIPTIONS)) + "'" + header[end:]
    text = header.encode("latin1")
    return (
        data[:6] + bytes([int(rng.choice([1, 1, 1, 2, 3, 9])), 0]) + struct.pack("<H", len(text)) + text + data[10 + length :]
    )


def object_array(data: bytes, rng: Random) -> bytes:
    """Replace it with an array of Python objects, which only unpickling would read."""
    return saved(np.array([{"a": int(rng.integers(9))}, None], dtype=object))


def saved(array: NDArray[Any]) -> bytes:
    """Return an array as a .npy file."""
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


NPY: tuple[Mutator, ...] = (*[alter_array] * 3, alter_type, alter_type, alter_header, alter_header, object_array, *BYTES)


def members(data: bytes) -> dict[str, bytes]:
    """Return the members of a zip file."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(files: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return a zip file of these files, with correct checksums."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, method)  # Not of this second: a seed gives the same bytes.
    return file.getvalue()


def alter_zip(data: bytes, rng: Random) -> bytes:
    """Drop, duplicate, rename or recompress a member, or write absurd values for it into the directory."""
    files = members(data)
    name = str(rng.choice(sorted(files)))
    way = int(rng.integers(8))
    if way == 0:
        del files[name]
    elif way == 1:
        hostile = ("../" + name, "/etc/" + name, "\x1b[31m" + name, "x" * 300, "\u202e" + name)
        files[hostile[int(rng.integers(len(hostile)))]] = files.pop(name)
    elif way == 2:
        return zipped(files, int(rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])))
    elif way == 3:
        return _damaged_member(data, rng, int(rng.choice([zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA, zipfile.ZIP_DEFLATED])))
    elif way == 4:
        files[name] = b""
    elif way == 5:
        files[name] = bytes(int(rng.choice([2**20, 2**26])))  # Compresses to almost nothing.
    elif way == 6:
        return data[: len(data) - 22] + _end_record(data, rng)
    else:
        return _directory(data, rng)
    return zipped(files)


def _damaged_member(data: bytes, rng: Random, method: int) -> bytes:
    packed = bytearray(zipped(members(data), method))
    start = int(rng.integers(30, max(31, len(packed) // 2)))
    packed[start : start + 16] = rng.bytes(16)
    return bytes(packed)


def _end_record(data: bytes, rng: Random) -> bytes:
    record = bytearray(data[-22:])
    place = int(rng.choice([8, 10, 12, 16]))
    record[place : place + 2] = int(rng.choice([0, 1, 0x7FFF, 0xFFFF])).to_bytes(2, "little")
    return bytes(record)


def _directory(data: bytes, rng: Random) -> bytes:
    """Change one number of one entry of the central directory."""
    entries = [place for place in range(len(data) - 4) if data[place : place + 4] == b"PK\x01\x02"]
    if not entries:
        return data
    entry = int(rng.choice(entries))
    offset, size = ((8, 2), (10, 2), (16, 4), (20, 4), (24, 4), (28, 2), (30, 2), (42, 4))[int(rng.integers(8))]
    value = int(rng.choice([0, 1, 99, 0x7FFF, 0xFFFF])) if size == 2 else int(rng.choice([0, 1, 0x7FFFFFFF, 0xFFFFFFF0]))
    return data[: entry + offset] + value.to_bytes(size, "little") + data[entry + offset + size :]


def inside_zip(mutators: tuple[Mutator, ...], suffix: str) -> Mutator:
    """Return a mutator of one member with this name ending; it corrects the zip file's checksums."""

    def inside(data: bytes, rng: Random) -> bytes:
        files = members(data)
        chosen = [name for name in sorted(files) if name.endswith(suffix)]
        if not chosen:
            return data
        name = str(rng.choice(chosen))
        files[name], _ = altered(files[name], rng, mutators)
        return zipped(files)

    inside.__name__ = f"inside {suffix}"
    return inside


ZIP: tuple[Mutator, ...] = (*[alter_zip] * 3, *BYTES)
NPZ: tuple[Mutator, ...] = (*[inside_zip(NPY, ".npy")] * 3, *ZIP)


def png_chunk(kind: bytes, content: bytes) -> bytes:
    """Return a PNG chunk with its checksum."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
