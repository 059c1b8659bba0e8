"""Validation images: a part of the source, or drawn from the training images, never from the test images."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgecnn.edge.data.dataset import load_dataset, load_test
from edgecnn.edge.data.folder_options import NO_OPTIONS, FolderOptions
from edgecnn.edge.data.image_folder import load_image_folder
from edgecnn.edge.data.inspection import ClassCount, inspect_images
from edgecnn.edge.data.recorded_images import recorded_source
from edgecnn.edge.data.splits import FileSplit, Split
from edgecnn.edge.errors import ArtifactError, ConfigError
from edgecnn.edge.manifest import Validation
from edgecnn.edge.show.inspection import inspection_text
from tests.edge.data.drawn.image_folders import write

SHARE = FolderOptions(val_share=0.25)


def names(split: Split | None) -> tuple[str, ...]:
    assert isinstance(split, FileSplit)
    return split.names


def pixels(split: Split | None) -> list[bytes]:
    assert split is not None
    return [image.tobytes() for image in split.images(range(len(split.labels)))]


@pytest.fixture
def npz(tmp_path: Path) -> Path:
    """Three classes of 8, 4 and 12 training images and 2 test images each, in memory's order mixed."""
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.repeat([0, 1, 2], [8, 4, 12]))
    arrays: dict[str, Any] = {"x_train": rng.integers(0, 256, (24, 6, 6)).astype(np.uint8), "y_train": labels}
    arrays |= {"x_test": rng.integers(0, 256, (6, 6, 6)).astype(np.uint8), "y_test": np.arange(6) % 3}
    np.savez(tmp_path / "own.npz", **arrays)
    return tmp_path / "own.npz"


def with_folder(parts: Path, count: int, name: str = "val") -> None:
    """Add validation images to each class."""
    for label in ("dog", "cat", "Ant"):
        write(parts / name / label, count, seed=9)


def with_arrays(npz: Path, **more: Any) -> Path:
    with np.load(npz) as arrays:
        np.savez(npz, **{**arrays, **more})
    return npz


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_a_folder_of_validation_images_beside_train_and_test_is_read(parts: Path, name: str) -> None:
    without = load_dataset(parts)
    with_folder(parts, 3, name)
    dataset = load_dataset(parts)
    assert names(dataset.val) == tuple(f"{name}/{label}/{n:02}.png" for label in ("Ant", "cat", "dog") for n in range(3))
    assert dataset.val is not None
    assert dataset.val.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert (dataset.train.sha256, dataset.test.sha256) == (without.train.sha256, without.test.sha256)
    assert without.val is None
    assert all(part in dataset.describe() for part in (" 18 training,", " 9 validation", " 6 test images"))
    assert load_test(parts).sha256 == dataset.test.sha256


def test_two_folders_of_validation_images_or_a_class_without_one_are_refused(parts: Path) -> None:
    write(parts / "val" / "cat", 1)
    with pytest.raises(ConfigError, match=r"class Ant .*no image.*for val:"):
        load_dataset(parts)
    write(parts / "valid" / "cat", 1)
    with pytest.raises(ConfigError, match="pets has val/ and valid/"):
        load_dataset(parts)


def test_a_share_is_drawn_evenly_from_the_training_images_by_the_seed_and_never_a_test_image(parts: Path) -> None:
    whole = load_dataset(parts)
    dataset, again, other = (load_dataset(parts, FolderOptions(val_share=0.34, split_seed=seed)) for seed in (None, 0, 4))
    assert sorted(names(dataset.train) + names(dataset.val)) == sorted(names(whole.train))
    assert dataset.val is not None
    assert np.bincount(dataset.val.labels).tolist() == [2, 2, 2]
    assert dataset.test.sha256 == whole.test.sha256
    assert dataset.train.sha256 != whole.train.sha256
    assert names(dataset.val) == names(again.val) != names(other.val)
    # As every release has drawn them: a record holds the seed alone.
    drawn = ("Ant/01", "Ant/04", "cat/01", "cat/05", "dog/03", "dog/04")
    assert names(dataset.val) == tuple(f"train/{name}.png" for name in drawn)


@pytest.mark.parametrize("test_share", [0.2, 0.5])
def test_a_folder_that_is_split_gives_validation_images_from_what_is_left_for_training(
    tmp_path: Path, test_share: float
) -> None:
    for name in ("a", "b"):
        write(tmp_path / "letters" / name, 10)
    whole = load_dataset(tmp_path / "letters", FolderOptions(test_share=test_share))
    dataset = load_dataset(tmp_path / "letters", FolderOptions(test_share=test_share, val_share=0.2))
    assert names(dataset.test) == names(whole.test)
    assert sorted(names(dataset.train) + names(dataset.val)) == sorted(names(whole.train))


def test_each_side_keeps_an_image_of_each_class_or_the_class_is_named(classes: Path) -> None:
    # Of the two images of class c one is for testing.
    with pytest.raises(ConfigError, match=r"class c .*one training.*val_share .*two"):
        load_dataset(classes, SHARE)
    write(classes / "c", 3)
    splits = load_image_folder(classes, FolderOptions(val_share=0.99), None).splits
    assert np.bincount(splits["train"].labels).tolist() == [1, 1, 1]
    splits = load_image_folder(classes, FolderOptions(val_share=0.01), None).splits
    assert np.bincount(splits["val"].labels).tolist() == [1, 1, 1]


def test_the_seed_of_the_draw_may_be_given_where_the_test_images_are_not_drawn(parts: Path, npz: Path) -> None:
    for data in (parts, npz):
        assert load_dataset(data, FolderOptions(val_share=0.3, split_seed=5)).val_seed == 5


def test_arrays_are_drawn_evenly_too(npz: Path) -> None:
    whole, dataset = load_dataset(npz), load_dataset(npz, SHARE)
    assert whole.val is None
    assert dataset.val is not None
    assert np.bincount(dataset.val.labels).tolist() == [2, 1, 3]
    assert sorted(pixels(dataset.train) + pixels(dataset.val)) == sorted(pixels(whole.train))
    assert all(part in dataset.describe() for part in ("25% of each class's training", "validation", "split seed 0"))


def test_validation_arrays_are_read(npz: Path) -> None:
    own, labels = np.full((4, 6, 6), 7, np.uint8), np.array([2, 0, 1, 1])
    dataset = load_dataset(with_arrays(npz, x_val=own, y_val=labels))
    assert dataset.val is not None
    assert dataset.val.labels.tolist() == labels.tolist()
    assert pixels(dataset.val) == [image.tobytes() for image in own]


def test_test_images_that_are_validation_images_too_are_no_test(npz: Path) -> None:
    with np.load(npz) as arrays:
        test, labels = arrays["x_test"], arrays["y_test"]
    assert load_dataset(npz).learnt == ()
    assert load_dataset(with_arrays(npz, x_val=test, y_val=labels)).learnt == tuple(range(len(labels)))
    assert load_dataset(with_arrays(npz, x_val=test[:1], y_val=labels[:1])).record().learnt == (0,)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"x_val": np.zeros((4, 6, 6), np.uint8)}, "has no y_val"),
        ({"y_val": np.zeros(4, np.int64)}, "has no x_val"),
        (
            {"x_val": np.zeros((1, 5, 6), np.uint8), "y_val": np.zeros(1, np.int64)},
            r"training images are \(6, 6, 1\), validation",
        ),
        (
            {"x_val": np.zeros((1, 6, 6), np.uint8), "y_val": np.array([3])},
            "the validation labels go up to class 3, the training",
        ),
    ],
)
def test_validation_arrays_that_do_not_fit_are_refused(npz: Path, more: dict[str, Any], message: str) -> None:
    with pytest.raises(ArtifactError, match=message):
        load_dataset(with_arrays(npz, **more))


def test_a_share_is_refused_where_there_are_validation_images(parts: Path, npz: Path) -> None:
    write(parts / "valid" / "cat", 1)
    with pytest.raises(ConfigError, match=r"pets .*own valid/: omit val_share"):
        load_dataset(parts, SHARE)
    with_arrays(npz, x_val=np.zeros((1, 6, 6), np.uint8), y_val=np.zeros(1, np.int64))
    with pytest.raises(ConfigError, match=r"own\.npz .*own x_val: omit val_share"):
        load_dataset(npz, SHARE)


@pytest.mark.parametrize("kind", ["idx", "npz", "classes", "parts", "own"])
def test_a_record_draws_the_same_validation_images_again(
    kind: str, idx_folder: Path, npz: Path, classes: Path, parts: Path
) -> None:
    write(classes / "c", 5)
    options = FolderOptions(val_share=0.3, split_seed=2)
    data = {"idx": idx_folder, "npz": npz, "classes": classes, "parts": parts, "own": parts}[kind]
    if kind == "own":
        options = NO_OPTIONS
        with_folder(parts, 1)
    dataset = load_dataset(data, options)
    record = dataset.record()
    assert dataset.val is not None
    expected = (None, None) if kind == "own" else (0.3, 2)
    assert record.validation == Validation(dataset.val.sha256, *expected)
    assert load_dataset(*recorded_source(record)).record() == record
    assert load_test(*recorded_source(record)).sha256 == record.test_sha256


def test_a_record_draws_nothing_where_the_images_now_have_a_validation_part(parts: Path) -> None:
    record = load_dataset(parts, SHARE).record()
    with_folder(parts, 1)
    assert load_dataset(*recorded_source(record)).val_share is None


def test_a_part_called_val_does_not_matter_to_whoever_only_measures(parts: Path) -> None:
    whole = load_dataset(parts).test
    write(parts / "val" / "elk", 1)
    shutil.rmtree(parts / "train")
    assert load_test(parts).sha256 == whole.sha256


def test_the_inspection_counts_validation_images_and_finds_those_of_other_parts(parts: Path) -> None:
    with_folder(parts, 3)
    shutil.copy(parts / "train" / "cat" / "00.png", parts / "val" / "cat" / "same.png")
    found = inspect_images(parts)
    assert found.classes == (ClassCount("Ant", 6, 2, 3), ClassCount("cat", 6, 2, 4), ClassCount("dog", 6, 2, 3))
    assert [[place.image for place in group.places] for group in found.leaked] == [
        ["train/cat/00.png", "val/cat/same.png"],
    ]
    assert ["of train, val and test:" in problem for problem in found.problems] == [True]
    text = " ".join(inspection_text(found).split())
    assert all(part in text for part in (" 18 training images", " 10 validation images", " 6 test images", " 3 classes"))
    assert " class train val test " in text


@pytest.mark.parametrize("kind", ["parts", "npz"])
def test_the_inspection_counts_a_share(kind: str, parts: Path, npz: Path) -> None:
    found = inspect_images({"parts": parts, "npz": npz}[kind], FolderOptions(val_share=0.25))
    expected: list[int | None] = [2, 2, 2] if kind == "parts" else [2, 1, 3]
    assert [count.val for count in found.classes] == expected
    assert all(part in inspection_text(found) for part in ("validation images are 25%", "each class's training images"))


def test_mnist_is_whole_without_an_option_and_drawn_evenly_with_one() -> None:
    whole, dataset = load_dataset(), load_dataset(None, FolderOptions(val_share=0.1))
    assert (len(whole.train.labels), whole.val, whole.record().validation) == (60000, None, None)
    assert dataset.val is not None
    assert (len(dataset.train.labels), len(dataset.val.labels)) == (54001, 5999)
    assert np.abs(np.bincount(dataset.val.labels) / np.bincount(whole.train.labels) - 0.1).max() < 0.001
