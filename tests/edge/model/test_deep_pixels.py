"""Pictures of more than 8 bits a pixel: an unambiguous range is scaled, any other is refused, never read as black."""

import struct
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from edgecnn.edge.data.image_file import fit_image, image_header, read_image
from edgecnn.edge.errors import ArtifactError
from edgecnn.edge.inference.pictures import fitted_picture
from edgecnn.edge.manifest import Preprocessing
from tests.edge.data.drawn.pictures import BAR, SHAPE

PLAIN = Preprocessing(scale=1 / 255, fit="letterbox", background="any")
WHOLE = BAR.astype(np.int32)
FLOAT = BAR.astype(np.float32)


def tiff(values: NDArray[Any], **options: Any) -> bytes:
    stream = BytesIO()
    Image.fromarray(values).save(stream, "TIFF", **options)
    return stream.getvalue()


def pfm(values: NDArray[Any]) -> bytes:
    height, width = values.shape
    return f"Pf\n{width} {height}\n-1.0\n".encode() + values[::-1].astype("<f4").tobytes()


def crafted(pixels: NDArray[np.uint8], bits: int, samples: int = 1) -> bytes:
    """A TIFF of BAR's size whose pixels Pillow reads but does not write."""
    start = 8 + 2 + 10 * 12 + 4
    tags = {256: 16, 257: 24, 258: bits, 259: 1, 262: 1 if samples == 1 else 2, 273: start, 277: samples, 278: 24}
    tags |= {279: pixels.size, 339: 1}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return struct.pack("<2sHIH", b"II", 42, 8, len(tags)) + entries + bytes(4) + pixels.tobytes()


def twelve_bits(values: NDArray[Any]) -> bytes:
    """Two pixels in three bytes."""
    first, second = values.reshape(-1, 2).T
    return crafted(np.stack([first >> 4, (first << 4 | second >> 8) & 255, second & 255], axis=1).astype(np.uint8), 12)


def colours(values: NDArray[Any]) -> bytes:
    """16 bits a channel."""
    return crafted(np.repeat(values.astype("<u2")[..., np.newaxis], 3, axis=2).view(np.uint8), 16, 3)


GOOD = {
    "floats from 0 to 1": tiff(FLOAT / 255),
    "floats from 0 to 255": tiff(FLOAT),
    "32-bit integers from 0 to 255": tiff(WHOLE),
    "16 bits": tiff((WHOLE * 257).astype(np.uint16)),
    "16 bits, packed": tiff((WHOLE * 257).astype(np.uint16), compression="tiff_lzw"),
    "12 bits": twelve_bits(WHOLE * 16 + 15),
    "16 bits of colours": colours(WHOLE * 257),
    "floats of a .pfm": pfm(FLOAT / 255),
}
BAD = {
    "NaN": (tiff(np.where(BAR > 0, np.nan, FLOAT)), "nan"),
    "infinity": (tiff(np.where(BAR > 0, np.inf, FLOAT)), "inf"),
    "floats below 0": (tiff(FLOAT / 255 - 0.5), "-0.5 to 0.5"),
    "floats that end at 3": (tiff(FLOAT / 85), "0 to 3"),
    "floats that end at 1000": (tiff(FLOAT * 1000 / 255), "0 to 1000"),
    "integers that end at 1": (tiff(WHOLE // 255), "0 to 1"),
    "integers that end at 1020": (tiff(WHOLE * 4), "0 to 1020"),
    "integers below 0": (tiff(WHOLE - 128), "-128 to 127"),
    "16 bits that end at 255": (tiff(BAR.astype(np.uint16)), "0 to 255"),
    "16 bits that end at 4080": (tiff((WHOLE * 16).astype(np.uint16)), "0 to 4080"),
    "colours of 16 bits that end at 255": (colours(WHOLE), "0 to 255"),
    "floats of a .pfm that end at 3": (pfm(FLOAT / 85), "0 to 3"),
}


@pytest.mark.parametrize("kind", GOOD)
def test_an_unambiguous_range_keeps_its_greys(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "deep.tif"
    path.write_bytes(GOOD[kind])
    assert np.array_equal(read_image(path, SHAPE, PLAIN)[..., 0], BAR)
    assert np.array_equal(read_image(path.read_bytes(), SHAPE, PLAIN)[..., 0], BAR)
    assert image_header(path, "")[2] == ("colours" not in kind)


@pytest.mark.parametrize("kind", BAD)
def test_any_other_range_is_refused_with_the_files_name_and_the_range(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "deep.tif"
    path.write_bytes(BAD[kind][0])
    with pytest.raises(ArtifactError, match=rf"deep\.tif .*{BAD[kind][1]}.*8 bits"):
        read_image(path, SHAPE, PLAIN)


def deep_png(kind: int, values: NDArray[Any]) -> bytes:
    """A PNG file of 16 bits: kind 0 is grey, 2 colour, 4 grey with transparency, 6 colour with transparency."""
    transparent = kind in (4, 6)
    channels = [values] * (3 if kind in (2, 6) else 1) + [np.full_like(values, 65_535)] * transparent
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in np.stack(channels, axis=2))
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, kind, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    chunks = (struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def ppm(values: NDArray[Any], largest: int) -> bytes:
    height, width = values.shape
    return f"P6 {width} {height} {largest}\n".encode() + np.repeat(values.astype(">u2")[..., np.newaxis], 3, axis=2).tobytes()


@pytest.mark.parametrize("kind", [0, 2, 4, 6])
def test_a_png_of_16_bits_keeps_its_greys_and_is_refused_if_it_has_12(kind: int) -> None:
    assert np.array_equal(read_image(deep_png(kind, WHOLE * 257), SHAPE, PLAIN)[..., 0], BAR)
    data = deep_png(kind, WHOLE * 16)
    with pytest.raises(ArtifactError, match="pixels from 0 to"):
        read_image(data, SHAPE, PLAIN)
    with pytest.raises(ArtifactError, match="pixels from 0 to"):
        fitted_picture(Image.open(BytesIO(data)), SHAPE, PLAIN)


def test_a_ppm_file_of_12_bits_says_so_or_is_refused() -> None:
    assert np.array_equal(read_image(ppm(WHOLE * 257, 65_535), SHAPE, PLAIN)[..., 0], BAR)
    assert np.abs(read_image(ppm(WHOLE * 16, 4_095), SHAPE, PLAIN)[..., 0] - BAR.astype(int)).max() <= 1
    with pytest.raises(ArtifactError, match="16-bit pixels"):
        read_image(ppm(WHOLE * 16, 65_535), SHAPE, PLAIN)


def test_what_a_grey_png_of_16_bits_calls_transparent_is_white() -> None:
    stream = BytesIO()
    Image.fromarray((WHOLE * 257).astype(np.uint16)).save(stream, "PNG", transparency=0)
    assert read_image(stream.getvalue(), SHAPE, PLAIN).min() > 0


def test_a_picture_that_counts_from_white_is_refused(tmp_path: Path) -> None:
    (tmp_path / "deep.tif").write_bytes(tiff((WHOLE * 257).astype(np.uint16), tiffinfo={262: 0}))
    with pytest.raises(ArtifactError, match=r"deep\.tif .*white"):
        read_image(tmp_path / "deep.tif", SHAPE, PLAIN)


@pytest.mark.parametrize(
    "values", [np.zeros((24, 16), np.uint16), np.zeros((24, 16), np.int32), np.zeros((24, 16), np.float32)]
)
def test_black_is_black_on_any_scale(values: NDArray[Any], tmp_path: Path) -> None:
    (tmp_path / "black.tif").write_bytes(tiff(values))
    assert not read_image(tmp_path / "black.tif", SHAPE, PLAIN).any()


def test_a_picture_in_memory_takes_the_same_way() -> None:
    assert np.array_equal(fitted_picture(Image.fromarray(FLOAT / 255), SHAPE, PLAIN).image[..., 0], BAR)
    with pytest.raises(ArtifactError, match=r"the picture .*0 to 1020"):
        fitted_picture(Image.fromarray(WHOLE * 4), SHAPE, PLAIN)
    assert np.array_equal(fit_image(BAR[..., np.newaxis], SHAPE, PLAIN)[..., 0], BAR)
