"""A figure is a .png file, or none; the contact sheet shows the images, and stays legible."""

import io
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from edgecnn.edge.errors import ConfigError, MissingDependency
from edgecnn.edge.show.pictures import CLASSES, SIDE, _font, contact_sheet, png_figure


def test_without_matplotlib_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingDependency, match="matplotlib"), png_figure(tmp_path / "a.png", 1, 1):
        pass
    assert not list(tmp_path.iterdir())


def test_a_drawing_that_fails_leaves_no_file_and_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), png_figure(tmp_path / "a.png", 1, 1):
        _ = 1 / 0
    with pytest.raises(ConfigError, match="gone"), png_figure(tmp_path / "gone/file/a.png", 1, 1):
        (tmp_path / "gone").touch()
    assert [path.name for path in tmp_path.iterdir()] == ["gone"]


def test_a_users_own_settings_and_names_in_any_script_do_not_change_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn, settings = [], pytest.importorskip("matplotlib").rcParams  # A board has none.
    for width in (1.5, 9.0):
        monkeypatch.setitem(settings, "lines.linewidth", width)
        with png_figure(tmp_path / "a.png", 2, 1) as figure:
            figure.add_subplot(title=r"层 $\frac$").plot([1, 2])
        drawn.append((tmp_path / "a.png").read_bytes())
    assert drawn[0] == drawn[1]
    assert drawn[0][:8] == b"\x89PNG\r\n\x1a\n"
    assert (int.from_bytes(drawn[0][16:20]), int.from_bytes(drawn[0][20:24])) == (240, 120)


def sheet(data: Path) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(contact_sheet(data))).convert("RGB"))


def folder(path: Path, classes: Iterable[int], images: int) -> Path:
    """Each class folder has wide pictures in its own colour."""
    for number in classes:
        (path / f"{number:03}").mkdir(parents=True)
        for image in range(images):
            Image.new("RGB", (90, 30), colour(number)).save(path / f"{number:03}" / f"{image}.png")
    return path


def colour(number: int) -> tuple[int, int, int]:
    return (40 + number % 200, 250 - number % 200, 7 * number % 256)


def squares(pixels: NDArray[np.uint8], number: int) -> float:
    """Return the number of squares in a class's colour."""
    return float((pixels == colour(number)).all(axis=2).sum() / SIDE**2)


def test_each_class_has_its_row_of_training_images(tmp_path: Path) -> None:
    pixels = sheet(folder(tmp_path, range(3), 20))
    assert [squares(pixels, number) for number in range(3)] == [8, 8, 8]
    assert len(np.unique(np.flatnonzero((pixels == colour(1)).all(axis=2).any(axis=1)))) == SIDE


@pytest.mark.parametrize(("images", "shown"), [(2, 1), (6, 5)])
def test_a_small_class_shows_what_it_has_and_no_test_image(images: int, shown: int, tmp_path: Path) -> None:
    assert squares(sheet(folder(tmp_path, range(2), images)), 0) == shown


def test_broken_files_are_passed_over(tmp_path: Path) -> None:
    for path in sorted(folder(tmp_path, range(2), 30).glob("000/*.png"))[::2]:
        path.write_text("no picture")
    pixels = sheet(tmp_path)
    assert 0 < squares(pixels, 0) <= 8
    assert squares(pixels, 1) == 8


def test_300_classes_are_shown_and_no_more_on_a_sheet_that_is_not_a_ribbon(tmp_path: Path) -> None:
    folder(tmp_path, range(1, CLASSES - 1), 2)
    pixels = sheet(folder(tmp_path, (0, *range(CLASSES - 1, CLASSES + 5)), 5))
    assert [squares(pixels, number) for number in (0, CLASSES - 1, CLASSES, CLASSES + 4)] == [4, 4, 0, 0]
    height, width = pixels.shape[:2]
    assert 0.6 < height / width < 1.6
    assert max(height, width) < 4000
    # The note about the others is below all squares.
    assert (pixels[-30:] < 100).any()


def test_rows_of_arrays_are_drawn_too(idx_folder: Path) -> None:
    pixels = sheet(idx_folder)
    # Bars of 3 classes in grey, 8 of each.
    dark = (pixels.max(axis=2) < 60).sum() / SIDE**2
    assert 24 * 0.5 < dark < 24


def test_a_long_class_name_stays_in_its_column(tmp_path: Path) -> None:
    for name in ("a" * 200, "b"):
        (tmp_path / name).mkdir()
        for number in range(4):
            Image.new("RGB", (9, 9), (200, 200, 200)).save(tmp_path / name / f"{number}.png")
    pixels = sheet(tmp_path)
    assert (pixels[:, -16:] == 255).all()


@pytest.mark.workstation("the font with such letters comes with matplotlib")
def test_a_name_with_letters_beyond_ascii_is_drawn_with_them() -> None:
    font = _font(14)
    assert bytes(font.getmask("ß")) != bytes(font.getmask("\u0378"))  # U+0378 is no letter: an empty box.


def test_variations_follow_one_picture_of_each_class(tmp_path: Path) -> None:
    data = folder(tmp_path, range(2), 20)
    (data / "001" / "0.png").write_text("no picture")
    pixels = np.asarray(Image.open(io.BytesIO(contact_sheet(data, vary=lambda images: 255 - images))).convert("RGB"))
    for number in range(2):
        inverted = tuple(255 - value for value in colour(number))
        assert squares(pixels, number) == 1
        assert (pixels == inverted).all(axis=2).sum() / SIDE**2 == 7
