"""IDX files: what is loaded, and how each way of being broken is said."""

import gzip
import hashlib
import re
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import convert.dataset
from convert.dataset import Split, load_dataset, load_split, recorded_folder, require_recorded
from edge.errors import ArtifactError, ConfigError
from edge.manifest import DatasetRecord

TEST_IMAGES = "t10k-images-idx3-ubyte.gz"


@pytest.fixture
def folder(idx_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(idx_folder, tmp_path / "bars"))


def unpacked(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes())


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (lambda data: b"", "is empty"),
        (lambda data: data[:200], "not a whole gzip file"),
        (lambda data: b"hello", "not a whole gzip file"),
        (lambda data: gzip.compress(gzip.decompress(data)[:10]), "truncated: 10 bytes, the IDX header alone has 16"),
        (lambda data: gzip.compress(gzip.decompress(data)[:-1]), "truncated: 8655 bytes, its header says 8656"),
        (lambda data: gzip.compress(gzip.decompress(data) + b"x"), "too long"),
        (lambda data: gzip.compress(b"\0\0\x0d\x03" + gzip.decompress(data)[4:]), "magic 0x00000d03, expected 0x00000803"),
    ],
)
def test_a_broken_image_file_is_named_with_what_is_wrong(folder: Path, broken: Callable[[bytes], bytes], message: str) -> None:
    path = folder / TEST_IMAGES
    path.write_bytes(broken(path.read_bytes()))
    with pytest.raises(ArtifactError, match=message) as caught:
        load_dataset(folder)
    assert TEST_IMAGES in str(caught.value)


def test_labels_in_the_place_of_images_are_seen_by_their_magic_number(folder: Path) -> None:
    shutil.copy(folder / "t10k-labels-idx1-ubyte.gz", folder / TEST_IMAGES)
    with pytest.raises(ArtifactError, match="magic 0x00000801, expected 0x00000803"):
        load_dataset(folder)


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / TEST_IMAGES).unlink()
    with pytest.raises(ArtifactError, match=re.escape(f"{TEST_IMAGES} does not exist")):
        load_dataset(folder)


def test_two_files_of_one_name_are_refused(folder: Path) -> None:
    (folder / TEST_IMAGES.removesuffix(".gz")).write_bytes(unpacked(folder / TEST_IMAGES))
    with pytest.raises(ArtifactError, match=r"has both .*: keep one"):
        load_dataset(folder)


def test_fewer_labels_than_images_are_refused(folder: Path) -> None:
    (folder / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(struct.pack(">II", 0x801, 3) + b"\0\1\2"))
    with pytest.raises(ArtifactError, match="has 3 labels for the 60 images"):
        load_dataset(folder)


def test_a_test_label_that_training_never_saw_is_refused(folder: Path) -> None:
    path = folder / "t10k-labels-idx1-ubyte.gz"
    path.write_bytes(gzip.compress(unpacked(path)[:-1] + b"\x07"))
    with pytest.raises(ArtifactError, match="class 7, the training labels end at 2"):
        load_dataset(folder)


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not a folder"):
        load_dataset(tmp_path / "nowhere")


@pytest.mark.parametrize("names", ["a\nb\n", "a\nb\nb\n"])
def test_a_labels_file_that_does_not_fit_is_refused(folder: Path, names: str) -> None:
    (folder / "labels.txt").write_text(names)
    with pytest.raises(ArtifactError, match=r"labels\.txt names"):
        load_dataset(folder)


def test_a_labels_file_names_the_classes(folder: Path) -> None:
    (folder / "labels.txt").write_text("low\nmiddle\nhigh\n")
    assert load_dataset(folder).class_names == ("low", "middle", "high")


def test_plain_files_and_dotted_names_load_the_same_images(folder: Path) -> None:
    gzipped = load_split(folder, "test")
    (folder / "t10k-images.idx3-ubyte").write_bytes(unpacked(folder / TEST_IMAGES))
    (folder / TEST_IMAGES).unlink()
    assert load_split(folder, "test").sha256 == gzipped.sha256


def test_a_changed_pixel_or_label_changes_the_hash(folder: Path) -> None:
    split = load_split(folder, "test")
    images, labels = split.images.copy(), split.labels.copy()
    images[0, 0, 0, 0] ^= 1
    labels[0] ^= 1
    assert len({split.sha256, Split(images, split.labels).sha256, Split(split.images, labels).sha256}) == 3


def test_the_shipped_mnist_is_the_canonical_one() -> None:
    mnist = load_dataset(None)
    assert mnist.describe() == (
        "mnist (shipped): 60,000 training and 10,000 test images of (28, 28, 1)\n10 labels: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9"
    )
    # The MD5 of the uncompressed canonical files, which this project did not make.
    for split, md5 in ((mnist.train, "6bbc9ace898e44ae57da46a324031adb"), (mnist.test, "2646ac647ad5339dbf082846283269ea")):
        header = struct.pack(">IIII", 0x803, len(split.images), 28, 28)
        assert hashlib.md5(header + split.images.tobytes(), usedforsecurity=False).hexdigest() == md5
    assert np.bincount(mnist.test.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


def test_an_altered_shipped_file_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shipped = Path(convert.dataset.__file__).parent / "data" / "mnist"
    copy = Path(shutil.copytree(shipped, tmp_path / "mnist"))
    images, labels = load_split(None, "test").images, unpacked(copy / "t10k-labels-idx1-ubyte.gz")
    # A valid IDX file with one label changed: only the hash can tell.
    (copy / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(labels[:-1] + b"\0"))
    monkeypatch.setattr(convert.dataset, "_MNIST_FOLDER", copy)
    with pytest.raises(ArtifactError, match=r"t10k-labels-idx1-ubyte\.gz is altered"):
        load_split(None, "test")
    assert len(images) == 10_000


def test_images_are_looked_for_where_the_manifest_says(folder: Path, tmp_path: Path) -> None:
    record = DatasetRecord("bars", str(folder), "a", "b")
    assert recorded_folder(record, None) == folder
    assert recorded_folder(record, tmp_path) == tmp_path
    assert recorded_folder(None, None) is None
    with pytest.raises(ConfigError, match="are not here: name their folder with --data"):
        recorded_folder(DatasetRecord("bars", str(tmp_path / "gone"), "a", "b"), None)
    with pytest.raises(ConfigError, match="not the model's test images"):
        require_recorded(record, load_split(folder, "test"))
