"""Digits as a camera sees them: where the ink is, and which side of the paper's brightness it is on."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from edgecnn.edge.data.digit import Polarity
from edgecnn.edge.data.image_file import fit_image, read_image
from edgecnn.edge.data.named_sets import load_shipped
from edgecnn.edge.errors import ArtifactError
from edgecnn.edge.manifest import Preprocessing, Side
from edgecnn.edge.model.preprocess import Images
from tests.digit_photos.photo import HELD_OUT, TUNED, Kinds, photo

DIGITS = Path(__file__).parents[2] / "kept" / "public" / "digits"
DIGIT = Preprocessing(scale=1 / 255, fit="digit", background="dark")


def digit_picture(size: tuple[int, int], corner: tuple[int, int], paper: int, ink: int) -> Image.Image:
    """A tall, lopsided stroke, 40 wide and 100 high, like a 6."""
    picture = Image.new("L", size, paper)
    draw, (x, y) = ImageDraw.Draw(picture), corner
    draw.rectangle((x, y, x + 11, y + 99), fill=ink)
    draw.rectangle((x, y + 60, x + 39, y + 99), fill=ink)
    return picture


@pytest.mark.parametrize("level", [0, 200, 255])
def test_a_blank_page_is_no_digit(level: int, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"picture\.png shows nothing"):
        read(Image.new("L", (100, 80), level), tmp_path)


@pytest.mark.parametrize(("paper", "ink"), [(255, 0), (230, 60), (0, 255), (30, 140)])
@pytest.mark.parametrize("size_and_corner", [((400, 300), (300, 10)), ((120, 600), (3, 480)), ((101, 101), (1, 1))])
@pytest.mark.parametrize("side", [28, 56])
def test_a_digit_anywhere_is_scaled_to_its_box_and_centred_by_its_mass(
    side: int, size_and_corner: tuple[tuple[int, int], tuple[int, int]], paper: int, ink: int, tmp_path: Path
) -> None:
    digit_picture(*size_and_corner, paper, ink).save(tmp_path / "digit.png")
    image = read_image(tmp_path / "digit.png", (side, side, 1), DIGIT)[..., 0]
    rows, columns = np.flatnonzero(image.any(axis=1)), np.flatnonzero(image.any(axis=0))
    box = side * 20 // 28
    assert len(rows) == rows[-1] - rows[0] + 1 == box
    assert columns[-1] - columns[0] + 1 == round(box * 40 / 100)
    assert image.max() >= 250
    for axis in (0, 1):
        centre = np.average(np.arange(side) + 0.5, weights=image.sum(axis=1 - axis))
        assert centre == pytest.approx(side / 2, abs=0.5)
    assert image[: rows[0]].max() == 0


@pytest.mark.parametrize("turns", range(4))
def test_a_digit_with_all_its_ink_at_one_end_stays_whole_inside_the_picture(turns: int, tmp_path: Path) -> None:
    page = np.full((300, 300), 255, np.uint8)
    page[100:200, 149:152] = page[180:200, 100:200] = 0
    image = np.rot90(read(Image.fromarray(np.rot90(page, turns)), tmp_path)[0][..., 0], -turns)
    rows, columns = np.flatnonzero(image.any(axis=1)), np.flatnonzero(image.any(axis=0))
    assert (rows[0], rows[-1]) == (0, 19)
    assert columns[-1] - columns[0] + 1 == 20


@pytest.mark.parametrize(("paper", "ink"), [(150, 20), (110, 250)])
def test_on_grey_paper_the_ink_is_what_stands_out_more(paper: int, ink: int, tmp_path: Path) -> None:
    grey, clear = (read(digit_picture((300, 200), (40, 30), *levels), tmp_path)[0] for levels in ((paper, ink), (0, 255)))
    assert np.array_equal(grey, clear)


def test_specks_that_vanish_at_the_models_size_are_no_digit(tmp_path: Path) -> None:
    specks = np.zeros((4000, 4000), np.uint8)
    specks[1, 1] = specks[3998, 3998] = 255
    with pytest.raises(ArtifactError, match=r"picture\.png shows nothing"):
        read(Image.fromarray(specks), tmp_path)


def test_light_from_one_side_and_noise_are_no_ink(tmp_path: Path) -> None:
    digit_picture((640, 480), (200, 150), 0, 255).save(tmp_path / "clear.png")
    lamp = np.linspace(120, 215, 640)[np.newaxis] + np.random.default_rng(0).normal(0, 8, (480, 640))
    stroke = np.asarray(digit_picture((640, 480), (200, 150), 0, 255)) > 0
    photo = np.where(stroke, 40, lamp).clip(0, 255).astype(np.uint8)
    Image.fromarray(photo).save(tmp_path / "photo.jpg")
    clear, lit = (read_image(tmp_path / name, (28, 28, 1), DIGIT).astype(int) for name in ("clear.png", "photo.jpg"))
    assert np.corrcoef(clear.reshape(-1), lit.reshape(-1))[0, 1] > 0.95


def test_the_table_around_a_page_is_not_read(tmp_path: Path) -> None:
    table, page = Image.new("L", (640, 480), 30), digit_picture((560, 400), (200, 150), 230, 20)
    table.paste(page, (40, 40))
    (found, doubts), (alone, _) = read(table, tmp_path), read(page, tmp_path)
    assert doubts == []
    assert np.corrcoef(found.reshape(-1), alone.reshape(-1))[0, 1] > 0.95


def test_a_picture_without_paper_around_the_ink_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"picture\.png has no ink on even paper.*: crop it"):
        read(Image.fromarray(np.pad(np.zeros((90, 90), np.uint8), 3, constant_values=255)), tmp_path)


def test_a_thin_stroke_keeps_full_brightness(tmp_path: Path) -> None:
    picture = Image.new("L", (640, 480), 255)
    ImageDraw.Draw(picture).line((300, 100, 340, 380), fill=0, width=3)
    assert read(picture, tmp_path)[0].max() == 255


def stroke(image: Images) -> float:
    """Return the mean width of strokes in pixels: twice the area by the perimeter."""
    mask = np.pad(np.kron(image, np.ones((8, 8))) >= 128, 1)
    edges = sum(int(np.count_nonzero(np.diff(mask, axis=axis))) for axis in (0, 1))
    return 2 * int(np.count_nonzero(mask)) / edges / 8


def test_most_of_mnists_digits_have_strokes_of_at_least_one_and_a_half_pixels() -> None:
    images = load_shipped("test").images(range(500))[..., 0]
    assert np.mean([stroke(image) >= 1.5 for image in images]) > 0.75


@pytest.mark.parametrize("width", [3, 6, 60])
def test_a_thin_pens_strokes_become_as_thick_as_most_in_mnist(width: int, tmp_path: Path) -> None:
    picture = Image.new("L", (640, 640), 255)
    ImageDraw.Draw(picture).line([(220, 120), (420, 120), (300, 520)], fill=0, width=width, joint="curve")
    image, doubts = read(picture, tmp_path)
    assert 1.2 <= stroke(image[..., 0]) <= max(1.8, width * 20 / 400 * 1.2)
    assert not doubts


@pytest.mark.parametrize("path", sorted(DIGITS.rglob("*.png")), ids=lambda path: path.name)
def test_a_public_photo_of_thin_ink_is_read_with_thick_strokes(path: Path) -> None:
    image = read_image(path, (28, 28, 1), DIGIT)[..., 0]
    assert stroke(image) >= 1.2


def in_pencil() -> Image.Image:
    """A 0, its right half weak."""
    picture = Image.new("L", (400, 400), 255)
    for begin, level in ((90, 60), (270, 175)):
        ImageDraw.Draw(picture).arc((120, 80, 280, 320), begin, begin + 180, level, 14)
    return picture


def test_the_half_that_a_pencil_left_weak_belongs_to_the_digit(tmp_path: Path) -> None:
    image = read(in_pencil(), tmp_path)[0][..., 0]
    columns = np.flatnonzero(image.any(axis=0))
    assert len(columns) == pytest.approx(20 * 160 / 240, abs=1)
    assert image[:, columns[-1]].max() > 60


def form_cell() -> Image.Image:
    """A 2 in a cell of a form, whose lines are as thick as the pen's."""
    picture = Image.new("L", (216, 176), 250)
    draw = ImageDraw.Draw(picture)
    for x, y in ((14, 14), (200, 160)):
        draw.line((0, y, 216, y), 30, 7)
        draw.line((x, 0, x, 176), 30, 7)
    draw.line([(60, 50), (110, 34), (140, 60), (70, 138), (150, 136)], 40, 7, "curve")
    return picture


def test_the_lines_of_a_form_around_a_digit_do_not_cut_it(tmp_path: Path) -> None:
    image, doubts = read(form_cell(), tmp_path)
    assert not doubts
    alone, _ = read(form_cell().crop((25, 20, 190, 155)), tmp_path)
    assert likeness(image, alone) > 0.95


def in_frame(*bars: tuple[int, int, int, int]) -> Image.Image:
    """A 7, whose long stroke reaches into the lower one of these bars of a cell's frame."""
    picture = Image.new("L", (280, 280), 230)
    draw = ImageDraw.Draw(picture)
    for bar in bars:
        draw.rectangle(bar, 40)
    draw.line([(90, 100), (180, 92), (150, 254)], 60, 12, "curve")
    return picture


FRAME = (0, 250, 279, 266), (14, 0, 30, 279)
BARS = (14, 0, 30, 279), (20, 46, 279, 60)  # The second one ends at the first.


def test_a_digit_that_touches_the_frame_of_its_cell_is_read(tmp_path: Path) -> None:
    (image, _), (alone, _) = read(in_frame(*FRAME), tmp_path), read(in_frame(), tmp_path)
    assert likeness(image, alone) > 0.95


def test_a_bar_that_ends_at_the_frame_of_a_cell_is_no_digit_cut_by_the_border(tmp_path: Path) -> None:
    _, doubts = read(in_frame(*BARS), tmp_path)
    assert doubts == []


def small_scan() -> Image.Image:
    """A 4 of few pixels, whose upright stroke is as thin as printed lines are in larger pictures."""
    picture = Image.new("L", (62, 72), 255)
    draw = ImageDraw.Draw(picture)
    draw.line([(14, 20), (12, 40), (44, 40)], 0, 6, "curve")
    draw.line([(39, 8), (39, 66)], 0, 6)
    return picture


def test_an_upright_stroke_of_a_small_scan_is_no_printed_line(tmp_path: Path) -> None:
    image, _ = read(small_scan(), tmp_path)
    large, _ = read(small_scan().resize((310, 360), Image.Resampling.NEAREST), tmp_path)
    assert likeness(image, large) > 0.95


def written(digit: str, size: int, paper: int, ink: int, bold: int = 2) -> Image.Image:
    """A sheet with a digit on it."""
    sheet = Image.new("L", (size * 3 // 4, size), paper)
    middle = (size * 3 // 8, size // 2)
    ImageDraw.Draw(sheet).text(middle, digit, ink, ImageFont.load_default(size // 2), "mm", stroke_width=bold)
    return sheet


def on_table(sheet: Image.Image, table: int, turned: int) -> Image.Image:
    picture = Image.new("L", (640, 640), table)
    turned_sheet = sheet.rotate(turned, expand=True, resample=Image.Resampling.BICUBIC)
    mask = Image.new("L", sheet.size, 255).rotate(turned, expand=True)
    picture.paste(turned_sheet, (60, 70), mask)
    return picture


def read(picture: Image.Image, folder: Path, background: Side | None = None) -> tuple[Images, list[str]]:
    """Return the image and what is doubtful of it."""
    picture.save(folder / "picture.png")
    doubts: list[str] = []
    return read_image(folder / "picture.png", (28, 28, 1), DIGIT, Polarity(background, doubts.append)), doubts


# Of three choices, each with each of the other two together: all of them together would be most of this file's time.
@pytest.mark.parametrize(
    ("digit", "turned", "light"),
    [(str(digit), turned, (digit + place) % 2 == 0) for digit in range(10) for place, turned in enumerate((0, -8, 20))],
)
def test_a_sheet_on_a_table_is_read_as_without_the_table(digit: str, turned: int, light: bool, tmp_path: Path) -> None:
    paper, ink, table = (225, 30, 35) if light else (30, 225, 220)
    sheet = written(digit, 420, paper, ink)
    found, doubts = read(on_table(sheet, table, turned), tmp_path)
    alone, _ = read(sheet.rotate(turned, expand=True, fillcolor=paper), tmp_path)
    assert ["strokes lighter" in doubt for doubt in doubts] in ([], [True])  # The sheet itself looks a little like a stroke.
    # The picture is scaled down less with a table around the sheet, which may move the digit by a pixel.
    assert likeness(found, alone) > 0.85


@pytest.mark.parametrize(
    ("digit", "paper", "ink", "bold"),
    [
        (str(digit), *colours, 8 * ((digit + place) % 2))
        for digit in range(10)
        for place, colours in enumerate([(235, 30), (150, 20), (20, 240), (110, 250)])
    ],
)
def test_a_digit_on_plain_paper_is_not_doubtful(digit: str, paper: int, ink: int, bold: int, tmp_path: Path) -> None:
    found, doubts = read(written(digit, 420, paper, ink, bold), tmp_path)
    assert doubts == []
    stated, _ = read(written(digit, 420, paper, ink, bold), tmp_path, "light" if ink < paper else "dark")
    assert stated.tolist() == found.tolist()


def test_light_and_dark_strokes_on_grey_are_doubtful_and_the_stated_ones_are_read(tmp_path: Path) -> None:
    picture = Image.new("L", (400, 300), 128)
    draw = ImageDraw.Draw(picture)
    draw.rectangle((80, 60, 100, 240), fill=20)
    draw.rectangle((200, 60, 320, 80), fill=235)
    _, doubts = read(picture, tmp_path)
    assert ["picture.png has strokes lighter" in doubt for doubt in doubts] == [True]
    tall, doubts = read(picture, tmp_path, "light")
    assert doubts == []
    assert tall[..., 0].any(axis=1).sum() == 20
    wide, _ = read(picture, tmp_path, "dark")
    assert wide[..., 0].any(axis=0).sum() == 20


def test_a_picture_of_the_models_size_is_taken_as_it_is_where_its_stated_background_is_the_models(tmp_path: Path) -> None:
    pixels = np.full((28, 28), 128, np.uint8)
    pixels[5:20, 10:14] = 250
    as_it_is, _ = read(Image.fromarray(pixels), tmp_path, "dark")
    assert np.array_equal(as_it_is[..., 0], pixels)
    inverted, _ = read(Image.fromarray(255 - pixels), tmp_path, "light")
    assert np.array_equal(inverted[..., 0], pixels)


def likeness(one: Images, other: Images) -> float:
    """Return the correlation of two images, one of which may be moved by a pixel."""
    moved = [np.roll(one, (down, right), (0, 1)).reshape(-1) for down in (-1, 0, 1) for right in (-1, 0, 1)]
    return float(max(np.corrcoef(image, other.reshape(-1))[0, 1] for image in moved))


@pytest.mark.parametrize("kinds", [TUNED, HELD_OUT], ids=["tuned", "held out"])
def test_of_photos_the_digit_is_read_that_was_written(kinds: Kinds) -> None:
    seeds, lost = range(20, 36), list[tuple[str, list[str]]]()
    for seed in seeds:
        taken, doubts = photo(seed, kinds), list[str]()
        clean = fit_image(taken.written[..., np.newaxis], (28, 28, 1), DIGIT)
        found = read_image(taken.jpeg, (28, 28, 1), DIGIT, Polarity(on_doubt=doubts.append), "it")
        if likeness(found, clean) < 0.7:
            lost.append((taken.about, doubts))
    assert len(lost) <= 2, lost
    assert sum(not doubts for _, doubts in lost) <= 1, lost


@pytest.mark.parametrize(
    ("seed", "kinds", "mnist"),
    [
        (30029, HELD_OUT, False),
        (30038, HELD_OUT, False),
        (30044, HELD_OUT, False),
        (30083, TUNED, True),
        (10025, TUNED, True),
        (10305, TUNED, True),
    ],
    ids=["printed squares", "a shadow's corner", "a piece of a stroke", "a sheet with a shadow", "paper in a 0", "thick lines"],
)
def test_what_no_pen_wrote_is_not_read(seed: int, kinds: Kinds, mnist: bool) -> None:
    taken = photo(seed, kinds, mnist)
    clean = fit_image(taken.written[..., np.newaxis], (28, 28, 1), DIGIT)
    assert likeness(read_image(taken.jpeg, (28, 28, 1), DIGIT), clean) > 0.85


def plain(digit: str, height: int, x: int = 300, ink: int = 30) -> Image.Image:
    """A digit on paper, its middle at this place."""
    picture = Image.new("L", (600, 600), 225)
    ImageDraw.Draw(picture).text((x, 300), digit, ink, ImageFont.load_default(height), "mm", stroke_width=height // 40)
    return picture


def cut_off() -> Image.Image:
    """A digit on paper with a hundredth of the picture's height between it and its left border."""
    whole = plain("5", 300)
    box = whole.point(lambda level: 255 * (level < 128)).getbbox()
    assert box
    return whole.crop((box[0] - 6, 0, *whole.size))


def cut_through() -> Image.Image:
    """A 2 of a felt pen that goes on below the picture, where its stroke is as dark all the way to the border."""
    picture = Image.new("L", (700, 408), 225)
    ImageDraw.Draw(picture).text((350, 300), "2", 30, ImageFont.load_default(300), "mm", stroke_width=20)
    return picture


def in_pieces() -> Image.Image:
    """A digit in two strokes that don't touch, of which the second one goes on below the picture."""
    picture = Image.new("L", (600, 600), 225)
    draw = ImageDraw.Draw(picture)
    draw.line([(200, 200), (380, 180), (390, 300), (220, 370), (330, 400)], 30, 30, "curve")
    draw.line([(330, 468), (340, 600)], 30, 30)
    return picture


@pytest.mark.parametrize(
    ("picture", "doubt"),
    [
        (plain("3", 60), "small digit: go nearer"),
        (plain("3", 300, ink=205), "faint digit: use a darker pen"),
        (plain("5", 300, x=12), "touches its border: take a picture of the whole digit"),
        (cut_off(), "touches its border: take a picture of the whole digit"),
        (in_pieces(), "touches its border: take a picture of the whole digit"),
        (cut_through(), "touches its border: take a picture of the whole digit"),
        (plain("4  7", 200), "crop it to one digit"),
    ],
    ids=["small", "faint", "border", "almost at the border", "in pieces", "goes on to the border", "several"],
)
def test_what_may_be_misread_is_doubted_with_what_to_do(picture: Image.Image, doubt: str, tmp_path: Path) -> None:
    _, doubts = read(picture, tmp_path)
    assert [doubt in found for found in doubts[:1]] == [True], doubts


def test_specks_and_ruled_lines_are_no_ink(tmp_path: Path) -> None:
    page = plain("2", 260, x=240)
    clean, _ = read(page, tmp_path)
    draw = ImageDraw.Draw(page)
    for y in range(40, 600, 60):
        draw.line((0, y, 600, y + 15), fill=60, width=2)
    for x in range(30, 600, 97):
        draw.ellipse((x, 20, x + 5, 25), fill=20)
    found, doubts = read(page, tmp_path)
    assert doubts == []
    assert likeness(found, clean) > 0.95


def test_the_box_of_what_was_taken_is_given_in_shares_of_the_picture() -> None:
    boxes: list[tuple[float, float, float, float]] = []
    picture = np.asarray(digit_picture((400, 300), (200, 60), 255, 0))[..., np.newaxis]
    fit_image(picture, (28, 28, 1), DIGIT, polarity=Polarity(on_box=boxes.append))
    assert boxes == [pytest.approx((0.5, 0.2, 0.6, 160 / 300), abs=0.01)]
