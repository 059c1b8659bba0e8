"""Alterations of picture files and of IDX files."""

import gzip
import struct
import zlib

from tools.faults.mutators.arrays import png_chunk
from tools.faults.mutators.plain import BYTES, Mutator, Random, altered
from tools.faults.mutators.text import ESCAPES

_SIDES = (0, 1, 13_300, 65_535, 2**31 - 1)
_COUNTS = (0, 1, 2**16, 2**31 - 1, 2**32 - 1)
_PNG_MARK = b"\x89PNG\r\n\x1a\n"


def png_header(data: bytes, rng: Random) -> bytes:
    """Declare another size, depth or kind of colour, with a correct checksum."""
    width, height, depth, colour = struct.unpack(">IIBB", data[16:26])
    way = int(rng.integers(4))
    if way == 0:
        width = height = int(rng.choice(_SIDES))
    elif way == 1:
        height = int(rng.choice(_SIDES))
    elif way == 2:
        depth = int(rng.choice([0, 1, 2, 4, 16, 99]))
    else:
        colour = int(rng.choice([2, 3, 4, 6, 77]))
    header = struct.pack(">IIBB", width, height, depth, colour) + data[26:29]
    return _PNG_MARK + png_chunk(b"IHDR", header) + data[33:]


def png_bomb(data: bytes, rng: Random) -> bytes:
    """Declare a picture of 13,300 x 13,300 pixels and supply all of them, compressed to little."""
    side = int(rng.choice([5_000, 13_300]))

    packer = zlib.compressobj(9)
    row = bytes(side + 1)
    pixels = b"".join(packer.compress(row * 100) for _ in range(side // 100)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return _PNG_MARK + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", pixels) + png_chunk(b"IEND", b"")


def png_text(data: bytes, rng: Random) -> bytes:
    """Add a text chunk that unpacks to far more than its size, or that holds escape sequences."""
    text = bytes(2**24) if rng.random() < 0.5 else ESCAPES.encode()
    chunk = png_chunk(b"zTXt", b"Comment\x00\x00" + zlib.compress(text, 9))
    return data[:33] + chunk + data[33:]


def another_kind(data: bytes, rng: Random) -> bytes:
    """Put a file of another kind under the same name."""
    kinds = (
        b"",
        b"GIF89a" + bytes(20),
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%PDF-1.7",
        b"\xff\xd8\xff\xe0" + bytes(9),
        bytes(64),
    )
    return kinds[int(rng.integers(len(kinds)))]


def idx_header(data: bytes, rng: Random) -> bytes:
    """Declare other sizes, or another type, in a gzipped IDX file."""
    plain = bytearray(gzip.decompress(data))
    dimensions = plain[3]
    if rng.random() < 0.2:
        plain[int(rng.integers(4))] = int(rng.integers(256))
    else:
        place = 4 + 4 * int(rng.integers(dimensions))
        plain[place : place + 4] = struct.pack(">I", int(rng.choice(_COUNTS)))
    return gzip.compress(bytes(plain), mtime=0)


def idx_content(data: bytes, rng: Random) -> bytes:
    """Alter the unpacked data, and correct gzip's checksum."""
    plain, _ = altered(gzip.decompress(data), rng, BYTES)
    return gzip.compress(plain, mtime=0)


def idx_bomb(data: bytes, rng: Random) -> bytes:
    """Let the file unpack to 64 MiB more than it declares."""
    return gzip.compress(gzip.decompress(data) + bytes(2**26), mtime=0)


PNG: tuple[Mutator, ...] = (*[png_header] * 3, png_bomb, png_text, another_kind, *BYTES)
IDX: tuple[Mutator, ...] = (*[idx_header] * 3, idx_content, idx_content, idx_bomb, *BYTES)
