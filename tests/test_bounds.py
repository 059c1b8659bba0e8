"""The size that a file declares is compared with its real size before anything is read, so that no small file fills memory."""

import gzip
import io
import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgecnn.benchmarks.gate.budget import load_budgets
from edgecnn.benchmarks.results.read import read_report
from edgecnn.benchmarks.timing.times import Times
from edgecnn.edge.compatibility.tflite_graph import root
from edgecnn.edge.data.folder_options import read_labels
from edgecnn.edge.data.idx import load_idx
from edgecnn.edge.data.image_file import ImageRule, read_image
from edgecnn.edge.data.npz import load_npz, read_npy
from edgecnn.edge.errors import ArtifactError, ConfigError, EdgeCnnError
from edgecnn.edge.manifest import Manifest

MOST_MEMORY = 64 * 2**20


def npy_header(shape: tuple[int, ...], dtype: str) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"shape": shape, "fortran_order": False, "descr": dtype})
    return stream.getvalue()


def npz(path: Path, images: bytes, labels: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, data in (("x_test.npy", images), ("y_test.npy", labels)):
            archive.writestr(name, data)
    return path


def png(path: Path, side: int) -> Path:
    """Write a black greyscale picture of side x side, in a few kilobytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer, row = zlib.compressobj(1), bytes(side + 1)
    header = struct.pack(">2I5B", side, side, 8, 0, 0, 0, 0)
    data = b"".join([*(packer.compress(row) for _ in range(side)), packer.flush()])
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b""))
    return path


def idx_folder(folder: Path, images: bytes, labels: bytes) -> Path:
    (folder / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(images, 1, mtime=0))
    (folder / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(labels, mtime=0))
    return folder


def refused(parse: Callable[[], object], kind: type[EdgeCnnError] = ArtifactError) -> str:
    """Return why a file is refused, using at most `MOST_MEMORY` for Python objects and arrays."""
    tracemalloc.start()
    try:
        with pytest.raises(kind) as caught:
            parse()
        assert tracemalloc.get_traced_memory()[1] < MOST_MEMORY
    finally:
        tracemalloc.stop()
    return str(caught.value)


def test_an_npz_of_billions_of_labels_or_more_than_images_is_refused_before_they_are_read(tmp_path: Path) -> None:
    count = 4_000_000_000
    path = npz(tmp_path / "many.npz", npy_header((count, 1, 1), "|u1") + bytes(1000), npy_header((count,), "|u1") + bytes(1000))
    assert "labels" in refused(lambda: load_npz(path, "test"))
    labels = npy_header((2**27,), "|u1") + bytes(2**27)
    path = npz(tmp_path / "many.npz", npy_header((2, 5, 5), "|u1") + bytes(50), labels)
    del labels
    assert "many.npz" in refused(lambda: load_npz(path, "test"))


def test_an_npy_header_of_megabytes_is_refused_before_it_is_read(tmp_path: Path) -> None:
    header = b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**28) + b" " * 2**28
    path = npz(tmp_path / "wide.npz", header, npy_header((1,), "|u1") + b"\x00")
    del header
    assert "x_test" in refused(lambda: load_npz(path, "test"))


def test_an_npy_whose_shape_its_bytes_do_not_have_is_refused() -> None:
    for shape in ((10**12,), (-1, 4), (2**62, 2**62)):
        data = npy_header(shape, "<f4") + bytes(64)
        assert "golden.npy" in refused(lambda data=data: read_npy(data, "golden.npy is no array", "make it again"))  # type: ignore[misc]


def test_a_gzipped_idx_file_whose_size_is_not_as_it_says_is_refused(tmp_path: Path) -> None:
    images = struct.pack(">4I", 0x803, 2, 4, 4) + bytes(2**28)
    folder = idx_folder(tmp_path, images, struct.pack(">2I", 0x801, 2) + bytes(2))
    del images
    assert "too long" in refused(lambda: load_idx(folder, "test"))
    images = struct.pack(">4I", 0x803, 2, 2**31, 2**31)
    folder = idx_folder(tmp_path, images, struct.pack(">2I", 0x801, 2) + bytes(2))
    assert "t10k-images" in refused(lambda: load_idx(folder, "test"))


def test_idx_files_of_billions_of_labels_are_refused(tmp_path: Path) -> None:
    labels = tmp_path / "t10k-labels-idx1-ubyte"
    with labels.open("wb") as file:
        file.write(struct.pack(">2I", 0x801, 2**32 - 1))
        file.truncate(8 + 2**32 - 1)  # A sparse file takes no room.
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(struct.pack(">4I", 0x803, 2, 4, 4) + bytes(32))
    assert "4,294,967,295" in refused(lambda: load_idx(tmp_path, "test"))


def test_a_picture_of_more_pixels_than_a_small_device_has_room_for_is_refused_undecoded(tmp_path: Path) -> None:
    path = png(tmp_path / "large.png", 13_300)
    assert path.stat().st_size < 2**20
    assert "13300x13300" in refused(lambda: read_image(path, (28, 28, 1), ImageRule("letterbox")))


def test_a_picture_that_would_start_a_program_is_no_picture(tmp_path: Path) -> None:
    path = tmp_path / "script.eps"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n")
    assert "script.eps is not an image" in refused(lambda: read_image(path, (28, 28, 1), ImageRule("letterbox")))


@pytest.mark.parametrize(
    ("name", "size", "parse", "kind"),
    [
        ("labels.txt", 2**26, read_labels, ArtifactError),
        ("result.json", 2**28, read_report, ArtifactError),
        ("budget.toml", 2**26, lambda path: load_budgets(path, {}, ()), ConfigError),
        ("manifest.json", 2**26, lambda path: Manifest.load(path.parent), ArtifactError),
    ],
)
def test_a_text_file_of_absurd_size_is_not_read(
    name: str, size: int, parse: Callable[[Path], object], kind: type[EdgeCnnError], tmp_path: Path
) -> None:
    path = tmp_path / name
    with path.open("wb") as file:
        file.truncate(size)
    assert name in refused(lambda: parse(path), kind)


def test_raw_times_that_unpack_to_more_than_their_count_are_refused() -> None:
    packed = Times.pack(np.zeros(2**24, np.int64)).packed
    assert "raw times" in refused(lambda: Times(3, packed).unpack())
    assert "raw times" in refused(lambda: Times(2**40, packed).unpack())


def test_a_tflite_file_whose_vectors_lie_on_top_of_one_another_is_refused() -> None:
    # A vector of 1000 tables, all of which are one table, whose own vector has 1000 numbers: a million in 8 kB.
    count, vtable, first = 1000, struct.pack("<3H2x", 6, 8, 4), 12
    second = first + 8 + 4 + 4 * count
    offsets = b"".join(struct.pack("<I", second - (first + 12 + 4 * i)) for i in range(count))
    data = struct.pack("<I", first) + vtable
    data += struct.pack("<iII", first - 4, 4, count) + offsets + struct.pack("<iII", second - 4, 4, count) + bytes(4 * count)
    entries = root(data).tables(0)
    assert entries[0].vector(0)[1] == count
    with pytest.raises(ValueError, match="than it has bytes for"):
        [entry.vector(0) for entry in entries]
