"""Near-duplicates are found whatever was done to a photo, different photos are not, and a split keeps them together."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgecnn.edge.data import inspection, near_duplicates
from edgecnn.edge.data.dataset import load_dataset, load_test
from edgecnn.edge.data.folder_options import FolderOptions
from edgecnn.edge.data.inspection import inspect_images
from edgecnn.edge.data.near_duplicates import SIDE, Places, comparable, file_thumbnails, near_groups, thumbnail
from edgecnn.edge.data.recorded_images import recorded_images, recorded_source
from edgecnn.edge.data.splits import FileSplit, Split, drawn_evenly
from edgecnn.edge.manifest import DatasetRecord
from edgecnn.edge.records import from_json, to_json
from edgecnn.edge.result import Silent
from edgecnn.edge.show.pictures import contact_sheet
from tests.edge.data.drawn.photos import CHANGES, compressed, cropped, photo, save


def thumbnails(*pictures: Image.Image) -> np.ndarray:
    return np.stack([thumbnail(np.asarray(picture.convert("RGB"))) for picture in pictures])


def groups(*pictures: Image.Image, parts: list[int] | None = None) -> list[list[int]]:
    found = near_groups(thumbnails(*pictures), np.ones(len(pictures), bool), parts=None if parts is None else np.array(parts))
    return [group.tolist() for group in found]


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_photo_is_found_whatever_was_done_to_it(change: Callable[[Image.Image], Image.Image]) -> None:
    photos = [photo(seed) for seed in range(8)]
    assert groups(*photos, *map(change, photos)) == [[number, number + 8] for number in range(8)]


def test_different_photos_even_with_the_same_large_shapes_are_not_near_duplicates() -> None:
    assert groups(*map(photo, range(300))) == []
    # A sky above a field, each with clouds and grass of its own.
    landscape = np.where(np.arange(96)[:, np.newaxis, np.newaxis] < 40, 200, 90) * np.ones((96, 96, 3))
    rng = np.random.default_rng(0)
    several = [Image.fromarray((landscape + rng.normal(0, 25, (96, 96, 3))).clip(0, 255).astype(np.uint8)) for _ in range(6)]
    assert groups(*several) == []
    assert groups(*several, compressed(several[2], 60)) == [[2, 6]]


def test_many_alike_images_are_one_group_if_they_are_of_two_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    large = photo(3, (400, 300))
    burst = [cropped(large, 0.01 * step, 0.005 * step, 0.8) for step in range(12)]
    assert groups(photo(1), *burst, photo(2)) == [list(range(1, 13))]
    photos = [photo(1), compressed(photo(1)), photo(2), compressed(photo(2))]
    assert groups(*photos, parts=[0, 0, 0, 1]) == [[2, 3]]
    # More proposed pairs than are kept, over several tiles.
    monkeypatch.setattr(near_duplicates, "_MOST_PAIRS", 3)
    monkeypatch.setattr(near_duplicates, "_TILE", 7)
    monkeypatch.setattr(near_duplicates, "_QUERIES", 4)
    assert groups(*(compressed(photo(5), quality) for quality in range(30, 70, 2))) == [list(range(20))]


def test_what_has_no_contrast_or_is_small_is_compared_with_nothing_but_copies_are_found() -> None:
    flat = Image.new("L", (64, 64), 90)
    assert groups(flat, Image.new("L", (64, 64), 91), flat) == []
    one, other = photo(1), photo(2)
    small = thumbnails(one, compressed(one), other, other)
    assert [group.tolist() for group in near_groups(small, np.array([True, False, False, False]))] == [[2, 3]]


def test_among_too_many_images_nothing_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    found = thumbnails(photo(1), compressed(photo(1)))
    large = np.ones(2, bool)
    assert comparable(found, large).tolist() == [True, True]
    monkeypatch.setattr(near_duplicates, "MOST_IMAGES", 1)
    assert comparable(found, large).tolist() == [False, False]
    assert near_groups(found, large) == []


@pytest.mark.parametrize("seed", range(5))
def test_a_draw_keeps_groups_together_and_each_class_on_both_sides(seed: int) -> None:
    labels = np.repeat([0, 1, 2], [40, 40, 4])
    together = [np.arange(0, 10), np.array([12, 45]), np.array([50, 51, 52]), np.array([80, 81])]
    drawn = drawn_evenly(labels, "test", 0.2, seed, "abc", together)
    for places in together:
        assert len({*drawn[places].tolist()}) == 1
    for label, most in ((0, 8), (1, 9), (2, 2)):
        assert 0 < drawn[labels == label].sum() <= most
    alone = drawn_evenly(labels, "test", 0.2, seed, "abc")
    assert np.array_equal(drawn_evenly(labels, "test", 0.2, seed, "abc", [np.array([3])]), alone)


@pytest.mark.parametrize("seed", range(8))
def test_a_class_in_groups_of_another_class_stays_on_both_sides(seed: int) -> None:
    labels = np.array([0, 0, 0, 1, 1])
    drawn = drawn_evenly(labels, "test", 0.4, seed, "ab", [np.array([0, 3, 4])])
    assert [drawn[labels == label].any() and not drawn[labels == label].all() for label in (0, 1)] == [True, True]


def test_a_class_that_is_one_group_is_drawn_all_the_same() -> None:
    drawn = drawn_evenly(np.zeros(10, int), "test", 0.2, 0, "a", [np.arange(10)])
    assert drawn.sum() == 2


@pytest.fixture
def bursts(tmp_path: Path) -> Path:
    """Two classes, each of six photos that are there four times."""
    for label, first in (("cat", 0), ("dog", 100)):
        for number in range(6):
            taken = photo(first + number, (160, 120))
            for change, picture in enumerate((taken, compressed(taken), cropped(taken, 0.03, 0.05), taken.resize((80, 60)))):
                save(picture, tmp_path / "pets" / label / f"{change}-{number}.png")
    return tmp_path / "pets"


def moments(split: Split | None) -> set[str]:
    """The photos of which a part has versions."""
    assert isinstance(split, FileSplit)
    return {f"{Path(name).parent.name}{Path(name).stem[-1]}" for name in split.names}


def test_a_split_keeps_near_duplicates_on_one_side_and_is_found_again_from_its_record(bursts: Path) -> None:
    size = FolderOptions(size=(24, 32))
    plain, dataset = (load_dataset(bursts, FolderOptions(size=(24, 32), keep_together=wanted)) for wanted in (False, None))
    assert [len(of.train.labels) + len(of.test.labels) for of in (plain, dataset)] == [48, 48]
    assert moments(plain.train) & moments(plain.test)
    assert not moments(dataset.train) & moments(dataset.test)
    assert np.bincount(dataset.test.labels).tolist() == [4, 4]
    assert load_test(bursts, size).sha256 == dataset.test.sha256
    assert plain.record().test_list == ()
    record = from_json(DatasetRecord, to_json(dataset.record()), "record")
    assert record.split_off == plain.record().split_off
    assert recorded_images(record, None, dataset.class_names).sha256 == dataset.test.sha256
    assert recorded_images(plain.record(), None, plain.class_names).sha256 == plain.test.sha256
    elsewhere = bursts.parent / "others"
    save(photo(1), elsewhere / "cat" / "1.png")
    _, options = recorded_source(record, elsewhere)  # Drawn alike: there are no such files.
    assert (options.test_list, options.test_share) == (None, 0.2)


def in_parts(bursts: Path, folder: Path) -> Path:
    """The photos in two parts."""
    for file in sorted(bursts.glob("*/*.png")):
        part = "test" if file.stem[-1] == "5" else "train"
        (folder / part / file.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(file, folder / part / file.parent.name)
    return folder


@pytest.mark.parametrize("has_parts", [False, True])
def test_validation_images_have_no_near_duplicates_that_are_trained_on_and_are_found_again(
    has_parts: bool, bursts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = in_parts(bursts, tmp_path / "parts") if has_parts else bursts
    options = FolderOptions(size=(24, 32), val_share=0.25)
    plain, dataset = (load_dataset(folder, replace(options, keep_together=keep)) for keep in (False, None))
    assert moments(plain.train) & moments(plain.val)
    assert not moments(dataset.train) & moments(dataset.val)
    assert dataset.val is not None
    assert dataset.val.labels.any()
    assert not dataset.val.labels.all()
    record = from_json(DatasetRecord, to_json(dataset.record()), "record")
    assert record.validation is not None
    assert record.validation.val_list
    near_duplicates._searched.clear()
    monkeypatch.setattr(near_duplicates, "near_groups", None)  # Nothing is searched again.
    for of in (dataset, plain):
        assert of.val is not None
        found, again = recorded_source(of.record())
        again_loaded = load_dataset(found, again)
        assert again_loaded.val is not None
        assert again_loaded.val.sha256 == of.val.sha256


def test_validation_images_that_were_drawn_without_looking_are_found_again_wherever_the_folder_is_now(
    bursts: Path, tmp_path: Path
) -> None:
    listed = tuple(f"{label}/{change}-0.png" for label in ("cat", "dog") for change in range(4))
    options = FolderOptions(size=(24, 32), val_share=0.25, test_list=listed, keep_together=False)
    dataset = load_dataset(bursts, options)
    assert moments(dataset.train) & moments(dataset.val)
    for folder in (None, Path(shutil.copytree(bursts, tmp_path / "moved"))):
        again = load_dataset(*recorded_source(dataset.record(), folder))
        assert again.val is not None
        assert dataset.val is not None
        assert again.val.sha256 == dataset.val.sha256


def test_a_split_of_too_many_images_says_that_it_keeps_only_copies_together(
    bursts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(Silent, "say", lambda self, text: said.append(text))
    load_dataset(bursts, FolderOptions(size=(24, 32)))
    assert len(said) == 1
    assert "48 near-duplicates in 12 groups" in said[0]
    monkeypatch.setattr(near_duplicates, "MOST_IMAGES", 47)
    load_dataset(bursts, FolderOptions(size=(24, 32)))
    assert len(said) == 2
    assert "48 images" in said[1]
    assert "more than 47" in said[1]


def test_data_names_near_duplicates_and_what_is_in_both_parts_is_a_problem(bursts: Path, tmp_path: Path) -> None:
    split = inspect_images(bursts)
    assert (split.compared, len(split.near), split.problems) == (48, 12, ())
    assert "Near-duplicates within one part (12 groups):" in split.to_text()
    loose = inspect_images(bursts, FolderOptions(keep_together=False))
    assert "groups of near-duplicates in both train and test" in loose.problems[0]
    for part, prefixes in (("train", "01"), ("test", "2")):
        for file in sorted(bursts.glob("*/*.png")):
            if file.name[0] in prefixes:
                save(Image.open(file), tmp_path / "parts" / part / file.parent.name / file.name)
    found = inspect_images(tmp_path / "parts")
    assert found.problems[0].startswith("groups of near-duplicates in both train and test: 12;")
    assert [len(group.places) for group in found.near] == [3] * 12
    assert found.leaked == found.repeated == ()
    assert "Near-duplicates in train and test (12 groups):" in found.to_text()


def test_of_a_group_a_test_image_is_shown_and_groups_with_one_come_first(tmp_path: Path) -> None:
    for part, names in (("train", "abc"), ("val", "bd"), ("test", "bc")):
        for name in names:
            taken = photo(ord(name))
            save(taken if part == "train" else compressed(taken), tmp_path / part / "cat" / f"{name}.png")
            save(photo(1000 * len(part) + ord(name) + ord(part[1])), tmp_path / part / "dog" / f"{name}.png")
    save(compressed(photo(ord("c"))), tmp_path / "train" / "cat" / "again.png")
    save(compressed(photo(ord("a"))), tmp_path / "val" / "cat" / "a.png")
    shown = inspect_images(tmp_path).to_text().partition("Near-duplicates in several of train, val and test (3 groups):")[2]
    assert [line.split() for line in shown.splitlines()[1:4]] == [
        ["train/cat/again.png", "=", "test/cat/c.png", "and", "1", "more"],
        ["train/cat/b.png", "=", "test/cat/b.png", "and", "1", "more"],
        ["train/cat/a.png", "=", "val/cat/a.png"],
    ]


def test_a_folder_that_is_split_is_searched_once(bursts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    searched: list[int] = []

    def count(thumbnails: np.ndarray, large: np.ndarray, *more: Any) -> list[Places]:
        searched.append(len(thumbnails))
        return near_groups(thumbnails, large, *more)

    for module in (near_duplicates, inspection):
        monkeypatch.setattr(module, "near_groups", count)
    found = inspect_images(bursts)
    contact_sheet(bursts)
    load_dataset(bursts)
    assert (searched, len(found.near)) == ([48], 12)
    compressed(photo(1)).save(bursts / "cat" / "0-0.png")  # Another picture: the search must begin again.
    load_dataset(bursts)
    assert searched == [48, 48]


def test_the_search_reports_progress_inside_of_a_block_of_images() -> None:
    alike = [compressed(photo(5), quality) for quality in range(20, 90)]
    steps: list[tuple[int, int]] = []
    near_groups(thumbnails(*alike), np.ones(70, bool), lambda done, total: steps.append((done, total)))
    assert len({*steps}) > 1
    assert steps == sorted(steps)
    assert steps[0] == (0, 70)
    assert steps[-1][0] < 70


def test_small_pictures_are_said_not_to_be_compared(tmp_path: Path) -> None:
    for number in range(3):
        save(photo(number, (28, 28)), tmp_path / "digits" / "train" / str(number % 2) / f"{number}.png")
        save(compressed(photo(number, (28, 28))), tmp_path / "digits" / "test" / str(number % 2) / f"{number}.png")
    found = inspect_images(tmp_path / "digits")
    assert (found.compared, found.near, found.problems) == (0, (), ())
    assert "Near-duplicates were looked for among 0 images" in " ".join(found.to_text().split())


def test_a_broken_file_is_near_nothing(bursts: Path) -> None:
    (bursts / "cat" / "0-0.png").write_bytes(b"no picture")
    names = tuple(sorted(f"cat/{file.name}" for file in (bursts / "cat").iterdir()))
    found, large = file_thumbnails(bursts, names, lambda done, total: None)
    assert found.shape == (24, SIDE, SIDE)
    assert [6, 12, 18] in [group.tolist() for group in near_groups(found, large)]
