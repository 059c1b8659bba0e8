"""Folders of images whose classes and rule a labels file or a model says."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgecnn.edge.data.folder_options import NO_OPTIONS, FolderOptions, ModelImages
from edgecnn.edge.data.image_file import read_image
from edgecnn.edge.data.image_folder import load_image_folder
from edgecnn.edge.errors import ConfigError
from edgecnn.edge.manifest import Background, Fit, Preprocessing
from tests.edge.data.drawn.image_folders import SIZE, TEST_ONLY, write


def test_a_labels_file_gives_the_order_and_may_name_more(parts: Path) -> None:
    (parts / "labels.txt").write_text("dog\nelk\ncat\nAnt\n")
    own = load_image_folder(parts, NO_OPTIONS, None)
    assert own.class_names == ("dog", "elk", "cat", "Ant")
    assert own.splits["test"].labels.tolist() == [3, 3, 2, 2, 0, 0]
    (parts / "names").write_text("cat\ndog\nAnt\n")
    assert load_image_folder(parts, FolderOptions(labels=parts / "names"), None).class_names == ("cat", "dog", "Ant")


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
