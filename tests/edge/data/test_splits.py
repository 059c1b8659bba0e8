"""Images come in the requested order from memory, from image files and from rows of a file."""

import errno
import gc
import hashlib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgecnn.edge.data.splits import ArraySplit, FileSplit, RowSplit, Split, chunks, unpack
from edgecnn.edge.errors import ArtifactError, ConfigError

SHAPE = (5, 4, 3)
PIXELS = np.random.default_rng(0).integers(0, 256, (30, *SHAPE)).astype(np.uint8)
LABELS = np.arange(30) % 7
OFFSET = 11


def in_memory(folder: Path) -> Split:
    return ArraySplit(PIXELS, LABELS)


def in_files(folder: Path) -> FileSplit:
    names = tuple(f"{number}.png" for number in range(len(PIXELS)))
    for name, image in zip(names, PIXELS, strict=True):
        Image.fromarray(image).save(folder / name)
    return FileSplit(folder, names, LABELS, SHAPE, "letterbox")


def in_rows(folder: Path) -> RowSplit:
    path = folder / "rows.bin"
    path.write_bytes(b"x" * OFFSET + PIXELS.tobytes() + b"what follows")
    return RowSplit(path.open("rb", buffering=0), OFFSET, LABELS, SHAPE, path)


KINDS = pytest.mark.parametrize("kind", [in_memory, in_files, in_rows])
Kind = Callable[[Path], Split]


@KINDS
@pytest.mark.parametrize("indices", [[], [29], [3, 3, 2], [7, 8, 9, 4, 5, 0], np.arange(30), range(2, 9, 3)])
def test_images_come_in_the_order_that_was_asked_for(kind: Kind, indices: Any, tmp_path: Path) -> None:
    split = kind(tmp_path)
    images = split.images(indices)
    assert images.dtype == np.uint8
    np.testing.assert_array_equal(images, PIXELS[list(indices)])
    assert (split.shape, split.labels.tolist()) == (SHAPE, LABELS.tolist())


@KINDS
def test_an_index_behind_the_last_image_is_an_error(kind: Kind, tmp_path: Path) -> None:
    with pytest.raises(IndexError):
        kind(tmp_path).images([29, 30])


@KINDS
@pytest.mark.parametrize(("size", "counts"), [(7, [7, 7, 7, 7, 2]), (30, [30]), (250, [30])])
def test_chunks_are_all_images_in_order_and_none_is_longer(kind: Kind, size: int, counts: list[int], tmp_path: Path) -> None:
    parts = list(chunks(kind(tmp_path), size))
    assert [len(part) for part in parts] == counts
    np.testing.assert_array_equal(np.concatenate(parts), PIXELS)


def test_large_images_come_in_smaller_chunks_so_that_memory_is_bounded() -> None:
    array = np.broadcast_to(np.uint8(7), (9, 2000, 2500, 3))
    parts = [part.shape for part in chunks(ArraySplit(array, np.zeros(9, np.int64)))]
    assert parts == [(2, 2000, 2500, 3)] * 4 + [(1, 2000, 2500, 3)]
    assert [len(part) for part in chunks(ArraySplit(np.zeros((2, 1, 2**26, 1), np.uint8), np.zeros(2, np.int64)))] == [1, 1]


def test_one_hash_stands_for_pixels_and_labels_wherever_they_are(tmp_path: Path) -> None:
    images, labels = PIXELS.copy(), LABELS.copy()
    images[29, 4, 3, 2] ^= 1
    labels[29] ^= 1
    own = hashlib.sha256(PIXELS.tobytes() + LABELS.astype("<i8").tobytes()).hexdigest()
    assert ArraySplit(PIXELS, LABELS).sha256 == in_rows(tmp_path).sha256 == own
    assert len({own, ArraySplit(images, LABELS).sha256, ArraySplit(PIXELS, labels).sha256}) == 3
    assert ArraySplit(np.asfortranarray(PIXELS), LABELS).sha256 == ArraySplit(PIXELS, LABELS).sha256
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert in_files(tmp_path / "a").sha256 == in_files(tmp_path / "b").sha256


def test_the_hash_of_files_changes_with_a_byte_a_label_the_order_and_the_rule(tmp_path: Path) -> None:
    split = in_files(tmp_path)
    labels = LABELS.copy()
    labels[0] = 6
    others = [
        replace(split, labels=labels),
        replace(split, names=split.names[::-1]),
        replace(split, shape=(6, 4, 3)),
        replace(split, fit="crop"),
        replace(split, background="dark"),
    ]
    hashes = {split.sha256, *(other.sha256 for other in others)}
    Image.fromarray(PIXELS[1]).save(tmp_path / "0.png")
    assert len({*hashes, replace(split).sha256}) == 7


def test_a_file_that_is_broken_gone_or_shorter_is_named(tmp_path: Path) -> None:
    split = in_files(tmp_path)
    (tmp_path / "3.png").write_bytes((tmp_path / "3.png").read_bytes()[:60])
    with pytest.raises(ArtifactError, match=rf"3\.png .*not.*image.*edgecnn data {tmp_path}"):
        split.images([2, 3])
    split = in_files(tmp_path)
    (tmp_path / "3.png").unlink()
    with pytest.raises(ArtifactError, match=r"3\.png can't be read"):
        _ = split.sha256
    with pytest.raises(ArtifactError, match=r"3\.png does not exist"):
        split.images([3])
    rows = in_rows(tmp_path)
    os.truncate(rows.path, OFFSET + PIXELS[:20].nbytes)
    np.testing.assert_array_equal(rows.images([19]), PIXELS[19:20])
    with pytest.raises(ArtifactError, match=r"rows\.bin became shorter"):
        rows.images([19, 20])


def test_rows_are_read_to_the_end_when_the_system_gives_them_piece_by_piece(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def give(file: int, views: list[memoryview], place: int) -> int:
        data = os.pread(file, min(len(views[0]), 100), place)
        views[0][: len(data)] = data
        return len(data)

    monkeypatch.setattr("os.preadv", give)
    np.testing.assert_array_equal(in_rows(tmp_path).images(range(30)), PIXELS)


def test_the_file_is_closed_with_its_split(tmp_path: Path) -> None:
    split = in_rows(tmp_path)
    file = split.file
    assert not file.closed
    del split
    gc.collect()
    assert file.closed


def test_what_was_unpacked_lies_in_tmpdir_without_a_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with unpack([b"abc", b"de"], Path("images.gz"), 5, 5) as file:
        device = os.fstat(file.fileno()).st_dev
        assert os.pread(file.fileno(), 10, 0) == b"abcde"
    assert device == tmp_path.stat().st_dev
    assert list(tmp_path.iterdir()) == []


def test_no_room_to_unpack_is_said_with_the_folder_and_the_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "absent"))
    with pytest.raises(ConfigError, match=r"images\.gz .*unpacked into .*absent .*TMPDIR"):
        unpack([b"abc"], Path("images.gz"), 3, 3)

    def full() -> Any:
        yield b"abc"
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with pytest.raises(ConfigError, match="No space left"):
        unpack(full(), Path("images.gz"), 3, 3)
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=2))
    with pytest.raises(ConfigError, match=rf"images\.gz unpacks to 3 bytes, {tmp_path} has room for 2: set TMPDIR"):
        unpack([b"abc"], Path("images.gz"), 3, 3)
