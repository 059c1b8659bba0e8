"""Folders of images: which layouts are known, how one folder is split, and who says the classes and the rule."""

import os
import shutil
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image

from edgecnn.edge.data.folder_options import NO_OPTIONS, FolderOptions, ModelImages, read_labels
from edgecnn.edge.data.image_file import read_image
from edgecnn.edge.data.image_folder import has_parts, list_images, load_image_folder
from edgecnn.edge.errors import ArtifactError, ConfigError
from edgecnn.edge.manifest import Background, Fit, Preprocessing, SplitOff
from tests.edge.data.drawn.image_folders import SIZE, TEST_ONLY, write


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        ("training", "test", r"test/ and training/, but no train/: "),
        ("train", "val", r"train/ and val/, but no test/: "),
        ("Train", "Test", r"Test/ and Train/, but no train/: "),
        ("train", ".test", r"train/, but no test/: "),
    ],
)
def test_parts_of_other_names_are_refused_with_the_right_ones(parts: Path, train: str, test: str, message: str) -> None:
    (parts / "train").rename(parts / train)
    (parts / "test").rename(parts / test)
    with pytest.raises(ConfigError, match=rf"pets has {message}.*train/.*test/.*val/"):
        load_image_folder(parts, NO_OPTIONS, None)


def test_a_class_without_images_in_a_part_is_named(parts: Path) -> None:
    for path in (parts / "test" / "cat").iterdir():
        path.unlink()
    with pytest.raises(ConfigError, match=r"class cat .*no image.*for test:"):
        load_image_folder(parts, NO_OPTIONS, None)


@pytest.mark.parametrize(("part", "other"), [("train", "test"), ("test", "train")])
def test_a_class_that_only_one_part_has_is_named(parts: Path, part: str, other: str) -> None:
    write(parts / part / "elk", 2)
    with pytest.raises(ConfigError, match=f"class elk .*no image.*for {other}:"):
        load_image_folder(parts, NO_OPTIONS, None)


def test_a_class_with_one_image_cannot_be_split(classes: Path) -> None:
    (classes / "c" / "00.png").unlink()
    with pytest.raises(ConfigError, match=r"class c of .*letters has one image.*need two"):
        load_image_folder(classes, NO_OPTIONS, None)


def test_a_linked_folder_inside_a_class_is_passed_over_and_listed(classes: Path, tmp_path: Path) -> None:
    write(tmp_path / "more", 3)
    (classes / "a" / "more").symlink_to(tmp_path / "more")
    listing = list_images(classes, NO_OPTIONS)
    assert listing.ignored == ("a/more",)
    assert sum(len(names) for names in listing.names.values()) == 17


def test_a_folder_without_classes_is_refused(tmp_path: Path) -> None:
    Image.new("L", (5, 5)).save(tmp_path / "lonely.png")
    with pytest.raises(ConfigError, match=r"neither IDX files nor .*folder"):
        load_image_folder(tmp_path, NO_OPTIONS, None)


def test_a_class_called_train_is_a_class(tmp_path: Path) -> None:
    for name in ("train", "plane"):
        write(tmp_path / name, 3)
    assert not has_parts(tmp_path)
    assert load_image_folder(tmp_path, NO_OPTIONS, None).class_names == ("plane", "train")


def test_a_class_called_test_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    for name in ("test", "plane"):
        write(tmp_path / name, 3)
    with pytest.raises(ConfigError, match="has a test/ among its classes"):
        load_image_folder(tmp_path, NO_OPTIONS, None)


def test_numpy_s_numbers_of_a_size_are_the_same_record(classes: Path) -> None:
    sizes = ((8, 10), (np.int64(8), np.int64(10)))
    hashes = {load_image_folder(classes, FolderOptions(size=cast(Any, size)), None).splits["test"].sha256 for size in sizes}
    assert len(hashes) == 1


def test_a_folder_that_can_t_be_read_is_named(classes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (classes / "a" / "closed").mkdir()
    read = Path.iterdir

    def refusing(path: Path) -> Any:
        if path.name == "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return read(path)

    monkeypatch.setattr(Path, "iterdir", refusing)
    with pytest.raises(ConfigError, match="closed can't be read"):
        list_images(classes, NO_OPTIONS)


def test_only_visible_image_files_count_and_subfolders_belong_to_their_class(parts: Path) -> None:
    cats = parts / "train" / "cat"
    kinds = ("a.JPG", "b.Jpeg", "c.bmp", "d.gif", "e.webp", "h.tif", "i.jfif", "j.ppm", "old/f.PNG")
    for name in kinds:
        (cats / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (8, 10)).save(cats / name)
    for name in ("note.txt", ".hidden.png", "g.heic"):
        (cats / name).touch()
    write(parts / "train" / ".cache", 1)
    write(cats / ".trash", 1)
    write(parts / "more" / "cat", 1)
    (parts / "labels.txt").write_text("Ant\ncat\ndog\n")
    (parts / "README.md").touch()
    listing = list_images(parts, NO_OPTIONS)
    assert [name for name in listing.names["train"] if "/cat/" in name] == [
        *(f"train/cat/{number:02}.png" for number in range(6)),
        *(f"train/cat/{name}" for name in kinds),
    ]
    assert listing.ignored == ("README.md", "more/", "train/cat/g.heic", "train/cat/note.txt")
    assert load_image_folder(parts, NO_OPTIONS, None).splits["train"].images([10]).shape == (1, 10, 8, 3)


def test_a_split_takes_the_share_of_each_class_and_repeats_with_its_seed(classes: Path) -> None:
    first, again, other = (load_image_folder(classes, FolderOptions(split_seed=seed), None) for seed in (None, 0, 1))
    counts = {part: np.bincount(split.labels).tolist() for part, split in first.splits.items()}
    assert counts == {"train": [8, 4, 1], "test": [2, 1, 1]}
    assert not set(first.splits["train"].names) & set(first.splits["test"].names)
    assert sorted(first.splits["train"].names + first.splits["test"].names) == [
        f"{name}/{number:02}.png" for name, count in (("a", 10), ("b", 5), ("c", 2)) for number in range(count)
    ]
    assert first.splits["test"].names == again.splits["test"].names != other.splits["test"].names
    # As every release has drawn them: a record holds the seed alone.
    assert first.splits["test"].names == ("a/04.png", "a/06.png", "b/00.png", "c/01.png")
    assert (first.split_off, other.split_off) == (SplitOff(0.2, 0), SplitOff(0.2, 1))
    alone = load_image_folder(classes, NO_OPTIONS, None, TEST_ONLY).splits
    assert list(alone) == ["test"]
    assert alone["test"].sha256 == first.splits["test"].sha256


@pytest.mark.parametrize(("share", "test"), [(0.5, [5, 2, 1]), (0.99, [9, 4, 1]), (0.01, [1, 1, 1])])
def test_each_side_of_a_split_has_every_class(classes: Path, share: float, test: list[int]) -> None:
    splits = load_image_folder(classes, FolderOptions(test_share=share), None).splits
    assert np.bincount(splits["test"].labels).tolist() == test
    assert np.bincount(splits["train"].labels).tolist() == [10 - test[0], 5 - test[1], 2 - test[2]]


def test_a_share_of_1_is_all_for_the_test_and_nothing_to_train_on(classes: Path) -> None:
    options = FolderOptions(test_share=1)
    assert len(load_image_folder(classes, options, None, TEST_ONLY).splits["test"].labels) == 17
    with pytest.raises(ConfigError, match="test_share=1 leaves no training images"):
        load_image_folder(classes, options, None)


@pytest.mark.parametrize("options", [FolderOptions(test_share=0.3), FolderOptions(split_seed=3)])
def test_a_folder_with_a_test_of_its_own_is_not_split(parts: Path, options: FolderOptions) -> None:
    with pytest.raises(ConfigError, match=r"test/: omit test_share and split_seed"):
        load_image_folder(parts, options, None)


def test_a_list_names_the_test_images_and_the_others_are_for_training(classes: Path, tmp_path: Path) -> None:
    write(classes / "c", 4)
    named = tmp_path / "test.txt"
    named.write_text("./b/03.png\n\na/01.png\nc/00.png\r\na/09.png\n")
    options = FolderOptions(test_list=named)
    found = load_image_folder(classes, options, None)
    assert found.splits["test"].names == ("a/01.png", "a/09.png", "b/03.png", "c/00.png")
    assert len(found.splits["train"].names) == 15
    assert not {*found.splits["test"].names} & {*found.splits["train"].names}
    assert (found.splits["test"].listed, found.splits["train"].listed) == (True, False)
    assert found.split_off is None
    spelled = FolderOptions(test_list=cast(Any, str(named)))  # As Python's users give paths.
    assert load_image_folder(classes, spelled, None).splits["test"].names == found.splits["test"].names
    alone = load_image_folder(classes, FolderOptions(test_list=found.splits["test"].names), None, TEST_ONLY).splits["test"]
    assert alone.sha256 == found.splits["test"].sha256
    validated = load_image_folder(classes, FolderOptions(test_list=named, val_share=0.5, split_seed=1), None).splits
    assert {part: len(split.names) for part, split in validated.items()} == {"test": 4, "train": 7, "val": 8}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\n \n", r"test\.txt names no test image"),
        ("a/01.png\nd/1.png\n../a/02.png\n", r"names 2 files not among .*, such as \.\./a/02\.png: .*relative"),
        ("a/01.png\nb/03.png\n", "class c .*no image for test"),
    ],
)
def test_a_list_that_names_no_test_image_of_a_class_or_what_is_not_there_is_refused(
    text: str, message: str, classes: Path, tmp_path: Path
) -> None:
    named = tmp_path / "test.txt"
    named.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_image_folder(classes, FolderOptions(test_list=named), None)


def test_a_list_beside_a_draw_or_a_test_folder_is_refused(parts: Path, classes: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="test_list names the test images: omit test_share"):
        FolderOptions(test_list=tmp_path / "test.txt", test_share=0.5)
    with pytest.raises(ConfigError, match="test_list names the test images: omit split_seed"):
        FolderOptions(test_list=tmp_path / "test.txt", split_seed=3)
    with pytest.raises(ConfigError, match="its own test/: omit test_list"):
        load_image_folder(parts, FolderOptions(test_list=("cat/00.png",)), None)
    with pytest.raises(ArtifactError, match=r"gone\.txt"):
        load_image_folder(classes, FolderOptions(test_list=tmp_path / "gone.txt"), None)


def test_a_test_folder_alone_is_enough_to_measure(parts: Path) -> None:
    whole = load_image_folder(parts, NO_OPTIONS, None).splits["test"]
    shutil.rmtree(parts / "train")
    assert load_image_folder(parts, NO_OPTIONS, None, TEST_ONLY).splits["test"].sha256 == whole.sha256


@pytest.mark.parametrize(
    ("others", "side"),
    [((40, 33), 32), ((300, 250), 96), ((12, 90), 16), ((9, 200), 16), ((70, 64), 64), ((64, 63), 48)],
)
def test_files_of_several_sizes_get_a_round_one_near_the_median_of_their_shorter_sides(
    parts: Path, others: tuple[int, int], side: int
) -> None:
    write(parts / "train" / "cat", 40, others)  # More than half of all files.
    found = load_image_folder(parts, NO_OPTIONS, None)
    assert found.splits["train"].shape == found.splits["test"].shape == (side, side, 3)
    assert all(part in found.sized for part in (f"{side}x{side}", "10x8", f"median of the shorter side {min(others)}"))
    stated = load_image_folder(parts, FolderOptions(size=(7, 5)), None)
    assert (stated.splits["train"].shape, stated.sized) == ((7, 5, 3), "")


@pytest.mark.parametrize(("size", "shape"), [((128, 100), (128, 100, 3)), ((129, 100), (96, 96, 3)), ((10, 8), (10, 8, 3))])
def test_files_of_one_size_keep_it_unless_it_is_large(tmp_path: Path, size: tuple[int, int], shape: tuple[int, ...]) -> None:
    for name in ("a", "b"):
        write(tmp_path / name, 3, size)
    found = load_image_folder(tmp_path, NO_OPTIONS, None)
    assert found.splits["train"].shape == shape
    assert bool(found.sized) == (shape[:2] != size)


@pytest.mark.parametrize(("channels", "found"), [(None, 3), (1, 1)])
def test_one_colour_image_makes_all_colour_unless_grey_is_asked_for(parts: Path, channels: int | None, found: int) -> None:
    for path in parts.rglob("*.png"):
        Image.open(path).convert("L").save(path)
    assert load_image_folder(parts, NO_OPTIONS, None).splits["test"].shape == (*SIZE, 1)
    write(parts / "train" / "dog", 1)
    assert load_image_folder(parts, FolderOptions(channels=channels), None).splits["test"].shape == (*SIZE, found)


def test_no_file_is_opened_where_size_and_channels_are_known(parts: Path) -> None:
    (parts / "train" / "dog" / "00.png").write_text("broken")
    with pytest.raises(ArtifactError, match=r"dog/00\.png .*not an image.*edgecnn data"):
        load_image_folder(parts, NO_OPTIONS, None)
    load_image_folder(parts, FolderOptions(size=SIZE, channels=3), None)


def test_the_rule_for_digits_is_not_for_colour(classes: Path) -> None:
    with pytest.raises(ConfigError, match=r"letters .*colours.*fit=digit .*channels=1"):
        load_image_folder(classes, FolderOptions(fit="digit"), None)
    assert load_image_folder(classes, FolderOptions(fit="digit", channels=1), None).fit == "digit"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": (0, 5)}, "size must be at least 1, got 0"),
        ({"size": 96}, "size must be a height and a width, got 96"),
        ({"size": (96, 96, 3)}, "size must be a height and a width, got 96x96x3"),
        ({"keep_together": "no"}, "keep_together must be True or False, got no"),
        ({"channels": 4}, "channels must be 1 or 3, got 4"),
        ({"fit": "pad"}, "fit must be digit, letterbox, crop or stretch, got pad"),
        ({"test_share": 0}, "test_share must be above 0 and at most 1, got 0"),
        ({"test_share": 1.5}, "test_share must be above 0 and at most 1, got 1"),
        ({"split_seed": -1}, "split_seed must be at least 0, got -1"),
        *(({"val_share": bad}, f"val_share must be at least 0 and below 1, got {bad}") for bad in (1, -0.1, float("nan"))),
    ],
)
def test_an_option_out_of_range_is_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        FolderOptions(**options)  # type: ignore[arg-type]  # Each has its own type.


def test_a_labels_file_gives_the_order_and_may_name_more(parts: Path) -> None:
    (parts / "labels.txt").write_text("dog\nelk\ncat\nAnt\n")
    own = load_image_folder(parts, NO_OPTIONS, None)
    assert own.class_names == ("dog", "elk", "cat", "Ant")
    assert own.splits["test"].labels.tolist() == [3, 3, 2, 2, 0, 0]
    (parts / "names").write_text("cat\ndog\nAnt\n")
    assert load_image_folder(parts, FolderOptions(labels=parts / "names"), None).class_names == ("cat", "dog", "Ant")
    spelled = FolderOptions(labels=cast(Any, str(parts / "absent")))  # As Python's users give paths.
    with pytest.raises(ArtifactError, match="absent does not exist"):
        load_image_folder(parts, spelled, None)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("dog\ncat\n", r"class Ant is not among .*labels\.txt \(dog, cat\): rename its folder, or give labels"),
        ("dog\ncat\nAnt\ncat\n", r"class cat is twice in .*labels\.txt"),
    ],
)
def test_a_folder_that_a_labels_file_does_not_name_once_is_refused(parts: Path, names: str, message: str) -> None:
    (parts / "labels.txt").write_text(names)
    with pytest.raises(ConfigError, match=message):
        load_image_folder(parts, NO_OPTIONS, None)


def model(*class_names: str, fit: Fit = "crop", background: Background = "any") -> ModelImages:
    return ModelImages((*SIZE, 3), fit, background, class_names)


def test_a_models_classes_number_the_folders_even_where_some_are_missing(parts: Path) -> None:
    shutil.rmtree(parts / "test" / "Ant")
    shutil.rmtree(parts / "train")
    loaded = load_image_folder(parts, NO_OPTIONS, model("elk", "dog", "cat"), TEST_ONLY)
    assert loaded.splits["test"].labels.tolist() == [2, 2, 1, 1]
    assert loaded.class_names == ("elk", "dog", "cat")


def test_a_model_with_numbers_takes_as_many_folders_in_their_order(parts: Path) -> None:
    assert load_image_folder(parts, NO_OPTIONS, model("0", "1", "2")).class_names == ("Ant", "cat", "dog")
    with pytest.raises(ConfigError, match=r"pets has 3 names.*model 4:.*labels"):
        load_image_folder(parts, NO_OPTIONS, model("0", "1", "2", "3"))
    (parts / "labels.txt").write_text("dog\nelk\ncat\nAnt\n")
    assert load_image_folder(parts, NO_OPTIONS, model("0", "1", "2", "3")).splits["test"].labels.tolist() == [3, 3, 2, 2, 0, 0]


def numbered(folder: Path, *names: str, classes: int, known: bool = False, labels: Path | None = None) -> list[int]:
    """Return the labels of the test images of folders with these names, for a model whose classes are numbers."""
    for name in names:
        write(folder / name, 2)
    numbers = model(*map(str, range(classes)))._replace(known=known)
    found: list[int] = load_image_folder(folder, FolderOptions(labels=labels), numbers).splits["test"].labels.tolist()
    return found


def test_folders_of_numbers_are_the_models_numbers_if_their_order_is_known(tmp_path: Path) -> None:
    assert numbered(tmp_path / "known", "10", "2", classes=11, known=True) == [10, 2]
    assert numbered(tmp_path / "ten", "9", "2", classes=10) == [2, 9]  # Up to ten numbers have one order.
    (tmp_path / "order.txt").write_text("\n".join(sorted(map(str, range(11)))))
    assert numbered(tmp_path / "named", "10", "2", classes=11, labels=tmp_path / "order.txt") == [2, 3]


@pytest.mark.parametrize(("names", "classes"), [(("10", "2"), 11), (("1", "2", "10"), 3)])
def test_folders_of_numbers_are_nothing_to_a_model_of_unknown_order(
    names: tuple[str, ...], classes: int, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"\b0, 1, 2.*Keras.*\b0, 1, 10.*model's order with labels"):
        numbered(tmp_path, *names, classes=classes)


def test_a_name_that_no_manifest_could_hold_is_refused(classes: Path) -> None:
    shutil.copytree(classes / "a", os.fsdecode(bytes(classes / "a") + b"\xe9"))
    with pytest.raises(ConfigError, match=r"letters .*not UTF-8 \(a\?/.*\): rename"):
        load_image_folder(classes, NO_OPTIONS, None)


def test_a_folder_that_the_model_does_not_know_is_refused(parts: Path) -> None:
    with pytest.raises(ConfigError, match=r"class Ant.*not among.*model.*\(cat, dog, elk\)"):
        load_image_folder(parts, NO_OPTIONS, model("cat", "dog", "elk"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (FolderOptions(size=(8, 10)), "size=8x10 contradicts the model, .* 10x8: omit it"),
        (FolderOptions(channels=1), "channels=1 contradicts the model, .* 3"),
        (FolderOptions(fit="stretch"), "fit=stretch contradicts the model, .* crop"),
    ],
)
def test_options_do_not_contradict_the_model(parts: Path, options: FolderOptions, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_image_folder(parts, options, model("Ant", "cat", "dog"))


def test_images_for_a_model_are_what_predict_makes_of_them(parts: Path) -> None:
    Image.new("RGB", (50, 40), "white").save(parts / "test" / "Ant" / "00.png")
    split = load_image_folder(parts, NO_OPTIONS, model("Ant", "cat", "dog", fit="letterbox", background="dark"), TEST_ONLY)
    image = split.splits["test"].images([0])[0]
    assert image.max() == 0
    expected = read_image(parts / "test" / "Ant" / "00.png", (*SIZE, 3), Preprocessing(1.0, "letterbox", "dark"))
    np.testing.assert_array_equal(image, expected)


def test_numbers_before_all_names_are_teachable_machine_s(tmp_path: Path) -> None:
    labels = tmp_path / "labels.txt"
    for text, names in (
        ("0 cat\n1 white dog\n", ("cat", "white dog")),
        ("\ufeff0 cat\r\n1 dog\r\n", ("cat", "dog")),
        ("1 cat\n2 dog\n", ("1 cat", "2 dog")),
        ("0 cat\ndog\n", ("0 cat", "dog")),
        ("0 cat\n1\n", ("0 cat", "1")),
        ("0\n1\n", ("0", "1")),
        ("2 euro\n1 euro\n", ("2 euro", "1 euro")),
    ):
        labels.write_bytes(text.encode())
        assert read_labels(labels) == names
    labels.write_text("0 cat\n1 dog\n")
    assert read_labels(labels, ("1 dog", "0 cat")) == ("0 cat", "1 dog")  # As the folders are called.
