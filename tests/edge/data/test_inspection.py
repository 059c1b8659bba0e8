"""What `edgecnn data` finds in a dataset, and how it reports it."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgecnn.edge.data.folder_options import FolderOptions
from edgecnn.edge.data.image_file import read_pixels
from edgecnn.edge.data.inspection import ClassCount, Inspection, Place, inspect_images
from edgecnn.edge.data.pixel_digests import Sizes
from edgecnn.edge.errors import ConfigError
from edgecnn.edge.manifest import SplitOff
from edgecnn.edge.records import to_json
from edgecnn.edge.result import Silent
from edgecnn.edge.show.inspection import inspection_text
from tests.edge.data.drawn.image_folders import write


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """train/ with 4 and test/ with 2 colour images of each of two classes, all different."""
    for seed, (part, count) in enumerate((("train", 4), ("test", 2))):
        for name in ("cat", "dog"):
            write(tmp_path / "pets" / part / name, count, seed=seed)
    return tmp_path / "pets"


def test_a_clean_folder_has_no_problems(pets: Path) -> None:
    steps: list[tuple[int, int]] = []

    class Steps(Silent):
        def step(self, done: int, total: int, text: str, detail: str = "") -> None:
            steps.append((done, total))

    found = inspect_images(str(pets), progress=Steps())
    assert found.classes == (ClassCount("cat", 4, 2), ClassCount("dog", 4, 2))
    assert found.sizes == Sizes((10, 8), (10, 8), (10, 8), 1)
    assert (found.problems, found.broken, found.leaked, found.conflicting, found.repeated) == ((), (), (), (), ())
    assert steps == [(number, 12) for number in range(1, 13)]
    text = inspection_text(found)
    counts = (": 8 training images", " 4 test images", " 2 classes\n")
    assert all(part in text for part in (*counts, "sizes    all 10x8", "(height x width), colour"))
    assert text.startswith("No problem was found.\n")


def test_broken_files_are_listed_and_counted_nowhere_else(pets: Path) -> None:
    (pets / "train" / "cat" / "01.png").write_bytes((pets / "train" / "cat" / "01.png").read_bytes()[:100])
    (pets / "test" / "dog" / "x.jpg").write_text("no picture")
    found = inspect_images(pets)
    assert [item.place.image for item in found.broken] == ["train/cat/01.png", "test/dog/x.jpg"]
    assert found.classes == (ClassCount("cat", 3, 2), ClassCount("dog", 4, 2))
    assert ["can't be read: 2;" in problem for problem in found.problems] == [True]
    text = inspection_text(found)
    assert "\nCan't be read (2):\n  train/cat/01.png: " in text
    assert text.startswith(f"PROBLEM: {found.problems[0]}\n")


def test_classes_have_the_order_and_the_gaps_of_the_labels_file(pets: Path) -> None:
    (pets / "labels.txt").write_text("dog\nelk\ncat\n")
    shutil.copy(pets / "train" / "dog" / "00.png", pets / "train" / "dog" / "again.png")
    found = inspect_images(pets)
    assert found.classes == (ClassCount("dog", 5, 2), ClassCount("elk", 0, 0), ClassCount("cat", 4, 2))
    assert found.problems[0].startswith("classes without training images: 1;")
    assert {place.label for place in found.repeated[0].places} == {"dog"}


def test_a_part_that_is_read_as_a_class_is_a_problem(pets: Path) -> None:
    (pets / "train" / "cat").rename(pets / "cat")
    (pets / "train" / "dog").rename(pets / "dog")
    shutil.rmtree(pets / "train")
    (pets / "test").rename(pets / "Validation")
    (problem,) = inspect_images(pets).problems
    assert "part of a dataset: 1;" in problem


def test_pictures_of_a_kind_that_is_not_read_are_a_problem(pets: Path) -> None:
    for name in ("a.HEIC", "b.dng", "notes.txt"):
        (pets / "train" / "cat" / name).write_bytes(b"x")
    (problem,) = inspect_images(pets).problems
    assert "is not read: 2;" in problem


def test_a_folder_without_a_picture_that_is_read_is_no_error(tmp_path: Path) -> None:
    for label in ("cat", "dog"):
        (tmp_path / "pets" / label).mkdir(parents=True)
        (tmp_path / "pets" / label / "1.heic").write_bytes(b"ftypheic")
    assert any("is not read: 2;" in problem for problem in inspect_images(tmp_path / "pets").problems)


def test_other_files_are_named_whole(pets: Path) -> None:
    names = [f"note {number} of what was seen in the garden.txt" for number in range(7)]
    for name in names:
        (pets / "train" / "cat" / name).touch()
    text = " ".join(inspect_images(pets).to_text().split())
    assert f"7 other files or folders: {', '.join(f'train/cat/{name}' for name in names[:5])}, and others" in text


def test_the_same_pixels_in_train_and_test_are_a_leak_whatever_the_files_are(pets: Path) -> None:
    picture = Image.open(pets / "train" / "dog" / "03.png")
    picture.convert("RGBA").save(pets / "test" / "dog" / "copy.webp", lossless=True)
    found = inspect_images(pets)
    places = (Place("train", "dog", "train/dog/03.png"), Place("test", "dog", "test/dog/copy.webp"))
    assert [group.places for group in found.leaked] == [places]
    assert (found.conflicting, found.repeated) == ((), ())
    assert ["both train and test: 1;" in problem for problem in found.problems] == [True]
    assert "test (1):\n  train/dog/03.png = test/dog/copy.webp" in inspection_text(found)


def test_one_pixel_more_is_another_picture(pets: Path) -> None:
    pixels = np.asarray(Image.open(pets / "train" / "dog" / "03.png")).copy()
    pixels[5, 5, 1] ^= 1
    Image.fromarray(pixels).save(pets / "test" / "dog" / "copy.png")
    # The same bytes of pixels in another shape.
    Image.fromarray(pixels.reshape(8, 10, 3)).save(pets / "test" / "dog" / "other.png")
    found = inspect_images(pets)
    assert (found.problems, found.repeated) == ((), ())


def test_the_same_pixels_in_two_classes_conflict_and_in_one_repeat(pets: Path) -> None:
    shutil.copy(pets / "train" / "dog" / "03.png", pets / "train" / "cat" / "dog.png")
    shutil.copy(pets / "test" / "cat" / "00.png", pets / "test" / "cat" / "again.png")
    shutil.copy(pets / "test" / "cat" / "00.png", pets / "test" / "cat" / "again2.png")
    found = inspect_images(pets)
    assert [group.places for group in found.conflicting] == [
        (Place("train", "cat", "train/cat/dog.png"), Place("train", "dog", "train/dog/03.png"))
    ]
    assert [[place.image for place in group.places] for group in found.repeated] == [
        ["test/cat/00.png", "test/cat/again.png", "test/cat/again2.png"]
    ]
    assert found.leaked == ()
    assert [problem.partition(";")[0] for problem in found.problems] == ["pictures in several classes: 1"]
    assert "test/cat/00.png = test/cat/again.png and 1 " in inspection_text(found)


def test_a_class_that_a_part_lacks_is_a_problem_not_an_error(pets: Path) -> None:
    (pets / "test" / "elk").mkdir()
    shutil.rmtree(pets / "test" / "dog")
    found = inspect_images(pets)
    assert found.classes == (ClassCount("cat", 4, 2), ClassCount("dog", 4, 0), ClassCount("elk", 0, 0))
    said = [problem.partition(";")[0] for problem in found.problems]
    assert said == ["classes without training images: 1", "classes without test images: 2"]


def test_nothing_to_read_is_said_without_numbers(pets: Path) -> None:
    for path in pets.rglob("*.png"):
        path.write_text("no picture")
    found = inspect_images(pets)
    assert (found.sizes, found.pixels, len(found.broken)) == (None, None, 12)
    assert "  and 7 more" in inspection_text(found)


def test_mean_and_std_are_of_the_training_pixels_and_each_image_counts_the_same(tmp_path: Path) -> None:
    colours = {"train/a/0": (0, 30, 255), "train/b/0": (255, 30, 0), "test/a/0": (7, 7, 7), "test/b/0": (9, 9, 9)}
    for side, (name, colour) in enumerate(colours.items(), start=5):
        (tmp_path / name).parent.mkdir(parents=True)
        Image.new("RGB", (20 * side, side * side), colour).save(tmp_path / f"{name}.png")
    pixels = inspect_images(tmp_path).pixels
    assert pixels is not None
    assert (pixels.lowest, pixels.highest) == (0, 255)
    assert pixels.mean == pytest.approx((0.5, 30 / 255, 0.5))
    assert pixels.std == pytest.approx((0.5, 0, 0.5), abs=1e-7)


def test_mean_and_std_are_numpys_over_more_pixels_than_are_counted_at_a_time(tmp_path: Path) -> None:
    for name in ("train/a", "train/b", "test/a", "test/b"):
        (tmp_path / name).mkdir(parents=True)
        noise = np.random.default_rng(list(name.encode())).integers(3, 251, (300, 301, 3)).astype(np.uint8)
        Image.fromarray(noise).save(tmp_path / name / "0.png")
    pixels = inspect_images(tmp_path).pixels
    training = np.stack([read_pixels(tmp_path / "train" / name / "0.png", "")[0] for name in "ab"]) / 255
    assert pixels is not None
    assert (pixels.lowest, pixels.highest) == (3, 250)
    assert pixels.mean == pytest.approx(training.mean(axis=(0, 1, 2)))
    assert pixels.std == pytest.approx(training.std(axis=(0, 1, 2)))


def test_grey_files_have_one_mean_and_sizes_are_ordered_by_area(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number, size in enumerate([(40, 3), (10, 10), (11, 11), (12, 12), (20, 20)]):
            Image.fromarray(rng.integers(0, 256, size).astype(np.uint8)).save(tmp_path / name / f"{number}.png")
    found = inspect_images(tmp_path, FolderOptions(test_share=0.4, split_seed=3))
    assert (found.channels, found.split_off) == (1, SplitOff(0.4, 3))
    assert found.classes == (ClassCount("a", 3, 2), ClassCount("b", 3, 2))
    assert found.pixels is not None
    assert len(found.pixels.mean) == 1
    assert found.sizes == Sizes((10, 10), (11, 11), (20, 20), 5)
    assert all(part in inspection_text(found) for part in ("test images are split off:", "40% of each class", "split seed 3"))


def test_a_grey_picture_saved_in_colour_is_the_same_picture(tmp_path: Path) -> None:
    grey = Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 9)).astype(np.uint8))
    for name, picture in (("train/a", grey), ("test/a", grey.convert("RGB"))):
        (tmp_path / name).mkdir(parents=True)
        picture.save(tmp_path / name / "0.png")
    assert len(inspect_images(tmp_path).leaked) == 1


def test_rows_of_arrays_are_inspected_as_files_are(idx_folder: Path, npz: Path) -> None:
    arrays = dict(np.load(npz))
    train = arrays["x_train"]
    arrays["x_test"][7] = train[3]
    np.savez(npz, **arrays)
    found = inspect_images(npz)
    label = str(arrays["y_train"][3]), str(arrays["y_test"][7])
    assert [group.places for group in found.leaked] == [(Place("train", label[0], "3"), Place("test", label[1], "7"))]
    assert found.pixels is not None
    assert found.pixels.mean == pytest.approx((train.mean() / 255,))
    assert found.pixels.std == pytest.approx((train.std() / 255,))
    assert f"  train 3 ({label[0]}) = test 7 ({label[1]})" in inspection_text(found)
    assert inspect_images(idx_folder).problems == ()


def test_options_for_files_are_refused_for_arrays(idx_folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"channels applies only to .*images"):
        inspect_images(idx_folder, FolderOptions(channels=1))


def test_the_text_of_the_worst_folder_fits_100_columns(tmp_path: Path) -> None:
    name, path = "a very long name of a class " * 4, tmp_path / ("long " * 20)
    for number in range(60):
        for part in ("train", "test"):
            folder = path / part / f"{name}{number}"
            folder.mkdir(parents=True)
            Image.new("RGB", (5 + number, 5)).save(folder / f"{name}.png")
            (folder / f"{name}.jpg").write_text("no picture")
            (folder / f"{name}.txt").touch()
            shutil.copy(folder / f"{name}.png", folder / f"{name}2.png")
    shutil.copy(folder / f"{name}.png", path / "train" / f"{name}0" / "3.png")
    found = inspect_images(path)
    assert len(found.problems) == 3
    text = inspection_text(found)
    assert max(map(len, text.splitlines())) <= 100
    assert "20 more, which the JSON" in text


def test_json_has_all_of_it(pets: Path) -> None:
    shutil.copy(pets / "train" / "dog" / "03.png", pets / "test" / "cat" / "dog.png")
    found: Inspection = inspect_images(pets)
    read = json.loads(to_json(found))
    assert read["classes"][0] == {"name": "cat", "train": 4, "test": 3, "val": None}
    assert read["leaked"][0]["places"][1] == {"part": "test", "label": "cat", "image": "test/cat/dog.png"}
    assert len(read["problems"]) == 2
