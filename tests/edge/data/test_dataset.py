"""The values of `data`, the record made of it, and that the record finds the same images again."""

import gzip
import hashlib
import shutil
import struct
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from edgecnn.edge.data.dataset import Dataset, load_dataset, load_test
from edgecnn.edge.data.folder_options import FolderOptions, ModelImages
from edgecnn.edge.data.image_file import ImageRule
from edgecnn.edge.data.recorded_images import recorded_model, recorded_source, require_recorded
from edgecnn.edge.data.splits import ArraySplit
from edgecnn.edge.errors import ArtifactError, ConfigError
from edgecnn.edge.manifest import DatasetRecord, Fit, Fitted, SplitOff
from tests.edge.data.drawn.image_folders import write


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of 3 classes of 5 colour images of two sizes, to be split."""
    for name in ("cat", "dog", "elk"):
        write(tmp_path / "pets" / name, 5, (12, 10))
        write(tmp_path / "pets" / name, 2, (13, 10))
    return tmp_path / "pets"


SIZE = FolderOptions(size=(8, 8))


def test_a_test_label_that_training_never_saw_is_refused(folder: Path) -> None:
    path = folder / "t10k-labels-idx1-ubyte.gz"
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:-1] + b"\x07"))
    with pytest.raises(ArtifactError, match=r"class 7, .*labels to 2"):
        load_dataset(folder)


def test_labels_must_be_class_numbers_of_several_classes_but_may_skip_one(npz: Path, pictures: Path) -> None:
    arrays = dict(np.load(npz))
    np.savez(npz, **{**arrays, "y_train": np.arange(240) * 1000})
    with pytest.raises(ArtifactError, match=r"up to 239000 .*240 images"):
        load_dataset(npz)
    np.savez(npz, **{**arrays, "y_train": arrays["y_train"] * 2, "y_test": arrays["y_test"] * 2})
    assert load_dataset(npz).class_names == ("0", "1", "2", "3", "4")
    np.savez(npz, **{**np.load(npz), "y_train": np.zeros(240, int), "y_test": np.zeros(60, int)})
    with pytest.raises(ArtifactError, match="only one class"):
        load_dataset(npz)
    shutil.rmtree(pictures / "cat")
    shutil.rmtree(pictures / "dog")
    with pytest.raises(ConfigError, match=r"pets .*only one class \(elk\)"):
        load_dataset(pictures, SIZE)


def test_parts_of_two_shapes_are_refused(npz: Path) -> None:
    np.savez(npz, **{**np.load(npz), "x_test": np.zeros((60, 12, 13), np.uint8)})
    with pytest.raises(ArtifactError, match=r"training.*\(12, 12, 1\).*test.*\(12, 13, 1\)"):
        load_dataset(npz)


@pytest.mark.parametrize("data", ["nowhere", "notes.txt", "./mnist", "MNIST", "cifar1000"])
def test_what_is_no_data_is_refused_with_what_is(data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").touch()
    expected = rf"{data} is not a folder, an \.npz file or one of mnist, fashion-mnist, cifar10, cifar100: name one"
    for load in (load_dataset, load_test):
        with pytest.raises(ConfigError, match=expected):
            load(data)


def test_an_empty_text_is_not_the_current_folder() -> None:
    for load in (load_dataset, load_test):
        with pytest.raises(ConfigError, match="data is an empty text"):
            load("")
    for name in ("labels", "test_list"):
        with pytest.raises(ConfigError, match=f"{name} is an empty text"):
            FolderOptions(**{name: ""})  # type: ignore[arg-type]  # As a user who has texts.


def test_a_name_is_a_path_only_if_it_is_written_as_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    folder.rename("mnist")
    assert load_dataset("mnist").source == "shipped"
    assert load_dataset("./mnist").source == load_dataset(Path("mnist")).source == str(folder.parent / "mnist")


@pytest.mark.parametrize(
    ("options", "name"),
    [
        (FolderOptions(size=(8, 8)), "size"),
        (FolderOptions(channels=1), "channels"),
        (FolderOptions(fit="crop"), "fit"),
        (FolderOptions(test_share=0.1), "test_share"),
        (FolderOptions(split_seed=0), "split_seed"),
    ],
)
def test_an_option_for_image_files_is_refused_for_arrays(
    options: FolderOptions, name: str, idx_folder: Path, npz: Path
) -> None:
    for load, data in product((load_dataset, load_test), ("mnist", str(idx_folder), str(npz), "cifar10")):
        with pytest.raises(ConfigError, match=f"{name} applies only to .*omit"):
            load(data, options)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (b"a\nb\n", r"labels\.txt has 2 class names, .* have 3"),
        (b"a\nb\nb\n", "b appears twice"),
        (b"\xff\xfe", r"labels\.txt .*not .*class names.*UTF-8"),
    ],
)
def test_a_labels_file_that_does_not_fit_is_refused(folder: Path, names: bytes, message: str) -> None:
    (folder / "labels.txt").write_bytes(names)
    with pytest.raises(ArtifactError, match=message):
        load_dataset(folder)


def test_class_names_come_from_the_option_else_the_model_else_the_folder(folder: Path, npz: Path) -> None:
    (folder / "labels.txt").write_text("low\nmiddle\nhigh\n")
    (folder / "names").write_text("\ufeffx\r\ny\r\n\r\nz\r\n")
    model = ModelImages((12, 12, 1), "letterbox", "dark", ("p", "q", "r", "s"))
    named = FolderOptions(labels=folder / "names")
    assert load_dataset(folder).class_names == ("low", "middle", "high")
    assert load_dataset(folder, model=model).class_names == ("p", "q", "r", "s")
    assert load_dataset(folder, named, model).class_names == load_dataset(npz, named).class_names == ("x", "y", "z")
    assert load_dataset(npz).class_names == ("0", "1", "2")
    with pytest.raises(ConfigError, match=r"bars\.npz has 3 classes.*model 2:"):
        load_dataset(npz, model=model._replace(class_names=("p", "q")))


def test_one_class_name_for_two_folders_is_refused(pictures: Path) -> None:
    (pictures / "labels.txt").write_text("cat\ndog\nelk\nyak\nyak\n")
    with pytest.raises(ArtifactError, match="class name yak appears twice"):
        load_dataset(pictures, SIZE)


def test_the_same_pixels_have_one_hash_whatever_they_come_in(idx_folder: Path, npz: Path) -> None:
    idx, arrays = load_dataset(idx_folder), load_dataset(npz)
    assert (idx.train.sha256, idx.test.sha256) == (arrays.train.sha256, arrays.test.sha256)
    assert load_test(npz).sha256 == arrays.test.sha256
    assert (arrays.name, arrays.source) == ("bars", str(npz))


def test_the_shipped_mnist_is_the_canonical_one() -> None:
    mnist = load_dataset(None)
    assert mnist.describe() == (
        "mnist (shipped): 60,000 training and 10,000 test images of (28, 28, 1)\n10 labels: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9"
    )
    assert mnist.image_rule == ImageRule("digit", "dark")
    # The MD5 of the uncompressed canonical files, from outside this project.
    for split, md5 in ((mnist.train, "6bbc9ace898e44ae57da46a324031adb"), (mnist.test, "2646ac647ad5339dbf082846283269ea")):
        count = len(split.labels)
        pixels = struct.pack(">IIII", 0x803, count, 28, 28) + split.images(range(count)).tobytes()
        assert hashlib.md5(pixels, usedforsecurity=False).hexdigest() == md5
    assert np.bincount(mnist.test.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    # As every release has recorded it.
    assert mnist.test.sha256 == "a0863a96c44e5666edbb30c4071ee79ca0514c621e6349c5967fc78e7305c891"


def test_a_dataset_is_described_with_its_rule_its_split_and_not_all_of_many_classes(pictures: Path) -> None:
    assert load_dataset(pictures, SIZE).describe() == (
        f"pets ({pictures}): 12 training and 3 test images of (8, 8, 3), fitted by letterbox; "
        "20% of each class for testing, split seed 0\n3 labels: cat, dog, elk"
    )
    split = ArraySplit(np.zeros((1, 2, 2, 1), np.uint8), np.zeros(1, np.int64))
    assert "; 0.25% of each class" in Dataset("n", "/n", ("a", "b"), split, split, split_off=SplitOff(0.0025, 0)).describe()
    described = Dataset("n", "/n", tuple(f"c{number}" for number in range(300)), split, split).describe()
    assert described.endswith("\n300 labels: " + ", ".join(f"c{number}" for number in range(20)) + ", and 280 more")


def test_pictures_of_a_kind_that_is_not_read_are_named(pictures: Path) -> None:
    assert load_dataset(pictures, SIZE).unread == ()
    for name in ("b.HEIC", "a\n.dng", "notes.txt"):
        (pictures / "cat" / name).write_bytes(b"x")
    dataset = load_dataset(pictures, SIZE)
    assert dataset.unread == ("cat/a\n.dng", "cat/b.HEIC")
    *_, said = dataset.describe().splitlines()
    assert all(part in said for part in ("passed over: 2 pictures", "not read", r"such as cat/a\n.dng: "))


@pytest.mark.parametrize(
    ("level", "channels", "fit", "rule"),
    [
        (0, 1, None, ImageRule("letterbox", "dark")),
        (255, 1, None, ImageRule("letterbox", "light")),
        (0, 3, None, ImageRule("letterbox", "any")),
        (0, 1, "crop", ImageRule("crop", "any")),
    ],
)
def test_the_rule_for_other_files_is_that_of_these_images(level: int, channels: int, fit: Fit | None, rule: ImageRule) -> None:
    # A rule from the first images alone would see the other level.
    array = np.full((3000, 4, 4, channels), 255 - level, np.uint8)
    array[1400:] = level
    split = ArraySplit(array, np.zeros(3000, np.int64))
    assert Dataset("n", "/n", ("a", "b"), split, split, fit).image_rule == rule


@pytest.mark.parametrize("kind", ["mnist", "idx", "npz", "pictures"])
def test_a_record_loads_the_same_images_again(kind: str, idx_folder: Path, npz: Path, pictures: Path) -> None:
    data, options = {
        "mnist": (None, FolderOptions()),
        "idx": (idx_folder, FolderOptions()),
        "npz": (npz, FolderOptions()),
        "pictures": (pictures, FolderOptions((8, 9), 1, "crop", 0.4, 7)),
    }[kind]
    dataset = load_dataset(data, options)
    record = dataset.record()
    again = load_dataset(*recorded_source(record), recorded_model(record, dataset.class_names))
    assert (again.record(), again.class_names) == (record, dataset.class_names)
    assert load_test(*recorded_source(record)).sha256 == record.test_sha256
    expected = (Fitted((8, 9, 1), "crop"), SplitOff(0.4, 7)) if kind == "pictures" else (None, None)
    assert (record.fitted, record.split_off) == expected


def test_a_record_finds_images_that_have_moved_and_an_option_goes_before_it(pictures: Path, npz: Path) -> None:
    record = load_dataset(pictures, FolderOptions((8, 9), 3, "crop", 0.4, 7)).record()
    moved = pictures.rename(pictures.parent / "moved")
    with pytest.raises(ConfigError, match=r"model's images \(pets, .*not here.*data"):
        recorded_source(record)
    require_recorded(record, load_test(*recorded_source(record, moved)))
    other = load_test(*recorded_source(record, moved, FolderOptions(split_seed=8)))
    assert other.shape == (8, 9, 3)
    with pytest.raises(ConfigError, match=rf"^{moved}: these are not .*model's test images \(pets"):
        require_recorded(record, other)
    # The record of a folder that was split does not apply to one with a test/, or to arrays.
    for part in ("train", "test"):
        shutil.copytree(moved, moved.parent / "parts" / part)
    assert len(load_test(*recorded_source(record, moved.parent / "parts")).labels) == 15
    assert load_test(*recorded_source(record, npz)).shape == (12, 12, 1)


def test_a_folder_or_file_that_has_changed_is_named(pictures: Path, npz: Path) -> None:
    for data, options in ((pictures, FolderOptions((8, 9), 3, "crop", 0.4, 7)), (npz, FolderOptions())):
        record = load_dataset(data, options).record()
        changed = replace(record, test_sha256="0" * 64)
        with pytest.raises(ConfigError, match=rf"^{data} has changed since.* not the model's test images: restore it"):
            require_recorded(changed, load_test(*recorded_source(changed)))


def test_the_images_are_those_named_where_a_record_has_no_folder(tmp_path: Path) -> None:
    options = FolderOptions(channels=1)
    assert recorded_source(None, None, options) == (None, options)
    assert recorded_source(None, tmp_path) == (tmp_path, FolderOptions())
    record = DatasetRecord("cifar10", "keras", "a", "b")
    assert (recorded_source(record)[0], recorded_model(record, ("0", "1"))) == ("cifar10", None)
