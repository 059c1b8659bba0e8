"""IDX files: what is loaded, and how each kind of damage is reported."""

import gzip
import re
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgecnn.edge.data.idx import is_idx_folder, load_idx
from edgecnn.edge.errors import ArtifactError, ConfigError

TEST_IMAGES = "t10k-images-idx3-ubyte.gz"


def unpacked(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes())


def changed(data: bytes, start: int, new: bytes) -> bytes:
    return data[:start] + new + data[start + len(new) :]


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (lambda data: b"", "is empty"),
        (lambda data: data[:200], "not a whole gzip file"),
        (lambda data: data[:-4], "not a whole gzip file"),
        (lambda data: changed(data, -8, b"\0\0\0\0"), "not a whole gzip file .*CRC"),
        (lambda data: b"hello", "not a whole gzip file"),
        (lambda data: gzip.compress(gzip.decompress(data)[:10]), "truncated: 10 bytes"),
        (lambda data: gzip.compress(gzip.decompress(data)[:-1]), "truncated: 8655 bytes, but its header says 8656"),
        (lambda data: gzip.compress(gzip.decompress(data) + b"x"), "too long"),
        (lambda data: gzip.compress(b"\0\0\x0d\x03" + gzip.decompress(data)[4:]), "magic 0x00000d03, expected 0x00000803"),
        (lambda data: gzip.compress(struct.pack(">II", 0x801, 60) + bytes(60)), "magic 0x00000801, expected 0x00000803"),
        (lambda data: gzip.compress(struct.pack(">IIII", 0x803, 60, 0, 12)), "has no images"),
    ],
)
def test_a_broken_image_file_is_named_with_what_is_wrong(folder: Path, broken: Callable[[bytes], bytes], message: str) -> None:
    path = folder / TEST_IMAGES
    path.write_bytes(broken(path.read_bytes()))
    with pytest.raises(ArtifactError, match=message) as caught:
        load_idx(folder, "test")
    assert TEST_IMAGES in str(caught.value)


@pytest.mark.parametrize(("cut", "message"), [(8, "truncated: 8 bytes"), (8000, "truncated: 8000 bytes"), (0, "is empty")])
def test_a_plain_file_is_checked_as_a_packed_one(folder: Path, cut: int, message: str) -> None:
    (folder / TEST_IMAGES.removesuffix(".gz")).write_bytes(unpacked(folder / TEST_IMAGES)[:cut])
    (folder / TEST_IMAGES).unlink()
    with pytest.raises(ArtifactError, match=message):
        load_idx(folder, "test")


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / TEST_IMAGES).unlink()
    with pytest.raises(ArtifactError, match=re.escape(f"{TEST_IMAGES} does not exist")):
        load_idx(folder, "test")


def test_two_files_of_one_name_are_refused(folder: Path) -> None:
    (folder / TEST_IMAGES.removesuffix(".gz")).write_bytes(unpacked(folder / TEST_IMAGES))
    with pytest.raises(ArtifactError, match=r"has both .*: keep one"):
        load_idx(folder, "test")


def test_fewer_labels_than_images_are_refused(folder: Path) -> None:
    (folder / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(struct.pack(">II", 0x801, 3) + b"\0\1\2"))
    with pytest.raises(ArtifactError, match=r"has 3 labels .*60 images"):
        load_idx(folder, "test")


def test_plain_files_and_dotted_names_load_the_same_images(folder: Path) -> None:
    images, labels = unpacked(folder / TEST_IMAGES), unpacked(folder / "t10k-labels-idx1-ubyte.gz")
    gzipped = load_idx(folder, "test")
    (folder / "t10k-images.idx3-ubyte").write_bytes(images)
    (folder / TEST_IMAGES).unlink()
    plain = load_idx(folder, "test")
    assert plain.sha256 == gzipped.sha256
    assert plain.shape == (12, 12, 1)
    assert plain.labels.tolist() == list(labels[8:])
    np.testing.assert_array_equal(
        plain.images([59, 0]).reshape(2, -1), np.frombuffer(images[16:], np.uint8).reshape(60, -1)[[59, 0]]
    )


def test_packed_files_need_room_and_plain_ones_are_read_where_they_lie(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(folder / "absent"))
    with pytest.raises(ConfigError, match="set TMPDIR"):
        load_idx(folder, "test")
    for name in ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"):
        (folder / name).write_bytes(unpacked(folder / f"{name}.gz"))
        (folder / f"{name}.gz").unlink()
    assert len(load_idx(folder, "test").images(range(60))) == 60


@pytest.mark.parametrize(("name", "expected"), [("train-labels.idx1-ubyte", True), (TEST_IMAGES, True), ("train", False)])
def test_a_folder_is_known_by_any_of_its_files(name: str, expected: bool, tmp_path: Path) -> None:
    (tmp_path / name).touch()
    assert is_idx_folder(tmp_path) == expected
