"""Predictions of named images: all classes for machines, the first few for people; small images as pictures of characters."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgecnn.edge.inference.predictions import Predicted, PredictedImage
from edgecnn.edge.show import pictures
from edgecnn.edge.show.predictions import drawn


def predicted(classes: int, side: int = 4, count: int = 1) -> Predicted:
    probabilities = {f"class {i}": (i + 1) / sum(range(classes + 1)) for i in range(classes)}
    image = PredictedImage("photos/cat.png", None, f"class {classes - 1}", probabilities)
    pixels = np.full((side, side, 1), 255, np.uint8)
    return Predicted("int8.tflite", "ai-edge-litert 2.3.0", None, (image,) * count, pixels=(pixels,) * count)


def test_the_most_probable_of_many_classes_are_shown_and_all_of_a_few() -> None:
    lines = predicted(300).to_text().splitlines()
    assert [line.split()[1] for line in lines if line.startswith("  class")] == ["299", "298", "297", "296", "295"]
    assert lines[-3] == "  the 5 most probable of 300 classes"
    lines = replace(predicted(300), top=7).to_text().splitlines()
    assert sum(line.startswith("  class") for line in lines) == 7
    text = predicted(5).to_text()
    assert sum(line.startswith("  class") for line in text.splitlines()) == 5
    assert "most probable of" not in text


@pytest.mark.parametrize(("side", "drawn"), [(32, True), (33, False)])
def test_a_photo_is_not_drawn_with_characters(side: int, drawn: bool) -> None:
    assert predicted(3, side).to_text().startswith("█" if drawn else "photos/cat.png: predicted class 2")


def test_an_image_that_is_doubtful_says_so_beside_its_label() -> None:
    found = predicted(3)
    (image,) = found.images
    text = replace(found, images=(replace(image, doubt="It may be a sheet"),)).to_text()
    assert "predicted class 2 (50.0%), doubtful\n" in text


def test_a_saved_picture_has_a_limit_and_says_what_it_leaves_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "MOST_IMAGES", 7)
    sizes = []
    for count in (1, 5, 6, 7, 8):
        predicted(3, 28, count).save(tmp_path / "digits.png")
        with Image.open(tmp_path / "digits.png") as sheet:
            sizes.append(sheet.size)
    (single, _), (five, row), (six, rows), (_, most), (_, more) = sizes
    assert (single < five, five == six, row < rows) == (True, True, True)
    assert most < more < most + 50


def test_a_name_of_two_lines_is_saved_in_one(tmp_path: Path) -> None:
    found = predicted(3)
    replace(found, images=tuple(replace(image, image="a\nb.png") for image in found.images)).save(tmp_path / "digits.png")
    assert (tmp_path / "digits.png").stat().st_size


def test_pixels_that_were_not_kept_cannot_be_saved(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="keep_pixels"):
        replace(predicted(3), pixels=()).save(tmp_path / "digits.png")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("shape", "rows", "columns"), [((28, 28, 1), 14, 28), ((7, 5, 3), 4, 5), ((130, 200, 3), 17, 50), ((64, 65, 1), 16, 33)]
)
def test_a_drawing_has_half_as_many_rows_and_at_most_64_columns(shape: tuple[int, ...], rows: int, columns: int) -> None:
    lines = drawn(np.full(shape, 255, np.uint8)).split("\n")
    assert len(lines) == rows
    assert {len(line) for line in lines} == {columns}


def test_a_drawing_shows_shades_and_ends_its_lines_without_blanks() -> None:
    image = np.zeros((4, 6, 1), np.uint8)
    image[:2, :5, 0] = [0, 64, 128, 170, 255]
    assert drawn(image) == " ░▒▓█\n"
    assert drawn(image[::-1]) == "\n ░▒▓█"
