"""Image files of any kind become what the model was trained on."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFile, ImageOps

from edge.errors import ArtifactError, MissingDependency
from edge.images import background, fit_image, image_header, read_fitted, read_image, read_pixels, to_text
from edge.manifest import Preprocessing
from edge.splits import FileSplit

PLAIN = Preprocessing(scale=1 / 255, fit="letterbox", background="dark")
DIGIT = Preprocessing(scale=1 / 255, fit="digit", background="dark")
ANY = Preprocessing(scale=1 / 255, fit="letterbox", background="any")

# A bright bar on black, of whole 8 x 8 blocks so that JPEG keeps it, and off the middle so that a turn shows.
BAR = np.zeros((24, 16), np.uint8)
BAR[8:16, 8:16] = 255
BAR[16:24, 8:16] = 128
SHAPE = (24, 16, 1)
INK_ONLY = np.where(BAR == 128, 0, BAR)


def from_pixels(array: NDArray[Any], mode: str) -> Image.Image:
    return Image.fromarray(array).convert(mode)


def transparent(mode: str) -> Image.Image:
    """Black ink on a transparent ground, whose hidden colour is black too."""
    picture = Image.new("RGBA", (16, 24), (0, 0, 0, 0))
    picture.putalpha(Image.fromarray(INK_ONLY))
    if mode != "P":
        return picture.convert(mode)
    indices = Image.fromarray((INK_ONLY > 0).astype(np.uint8))
    indices.putpalette([0, 0, 0, 0, 0, 0])
    indices.info["transparency"] = 0
    return indices


def digit_picture(size: tuple[int, int], corner: tuple[int, int], paper: int, ink: int) -> Image.Image:
    """A tall, lopsided stroke, 40 wide and 100 high, like a 6."""
    picture = Image.new("L", size, paper)
    draw, (x, y) = ImageDraw.Draw(picture), corner
    draw.rectangle((x, y, x + 11, y + 99), fill=ink)
    draw.rectangle((x, y + 60, x + 39, y + 99), fill=ink)
    return picture


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("absent.png", "does not exist: name a PNG or JPEG file"),
        ("folder.png", "is a folder: name the PNG or JPEG files in it"),
    ],
)
def test_a_missing_image_or_a_folder_is_named(name: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(ArtifactError, match=f"{name} {message}"):
        read_image(tmp_path / name, SHAPE, PLAIN)


@pytest.mark.parametrize("cut", [None, 0, 30, -40])
def test_what_is_no_whole_image_is_refused(cut: int | None, tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 50)).astype(np.uint8)).save(path)
    path.write_bytes(b"a shopping list\n" if cut is None else path.read_bytes()[:cut])
    with pytest.raises(ArtifactError, match=r"picture\.png is not an image that Pillow reads \(.+\): name a PNG or JPEG file"):
        read_image(path, SHAPE, PLAIN)


@pytest.mark.parametrize("level", [0, 200, 255])
def test_a_blank_page_is_no_digit(level: int, tmp_path: Path) -> None:
    Image.new("L", (100, 80), level).save(tmp_path / "page.png")
    with pytest.raises(ArtifactError, match=r"page\.png shows nothing on its background: name a picture with a digit"):
        read_image(tmp_path / "page.png", (28, 28, 1), DIGIT)


def test_without_pillow_the_message_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingDependency, match=r"Pillow, .+, is not installed: pip install 'edgecnn\[image\]'"):
        read_image(tmp_path / "x.png", SHAPE, PLAIN)


@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize(
    ("mode", "kind", "tolerance"),
    [
        ("L", "png", 0),
        ("RGB", "png", 0),
        ("RGBA", "png", 0),
        ("LA", "png", 0),
        ("P", "png", 0),
        ("L", "jpg", 4),
        ("RGB", "jpg", 4),
    ],
)
def test_every_kind_of_file_gives_the_same_light_ink_on_dark(
    mode: str, kind: str, tolerance: int, inverted: bool, tmp_path: Path
) -> None:
    path = tmp_path / f"picture.{kind}"
    from_pixels(255 - BAR if inverted else BAR, mode).save(path, quality=95)
    image = read_image(path, SHAPE, PLAIN)
    assert image.dtype == np.uint8
    assert image.shape == SHAPE
    np.testing.assert_allclose(image[..., 0].astype(int), BAR, rtol=0, atol=tolerance)


@pytest.mark.parametrize("picture", [Image.fromarray(INK_ONLY).convert("1"), Image.fromarray(INK_ONLY.astype(np.uint16) * 257)])
def test_one_bit_and_sixteen_bit_pictures_keep_black_and_white(picture: Image.Image, tmp_path: Path) -> None:
    picture.save(tmp_path / "picture.png")
    np.testing.assert_array_equal(read_image(tmp_path / "picture.png", SHAPE, PLAIN)[..., 0], INK_ONLY)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_a_transparent_ground_is_paper(mode: str, tmp_path: Path) -> None:
    transparent(mode).save(tmp_path / "ink.png")
    np.testing.assert_array_equal(read_image(tmp_path / "ink.png", SHAPE, PLAIN)[..., 0], INK_ONLY)


@pytest.mark.parametrize(("trained_on", "expected"), [("dark", BAR), ("any", 255 - BAR), ("light", 255 - BAR)])
def test_a_light_picture_is_inverted_only_for_a_model_of_dark_ones(
    trained_on: str, expected: NDArray[np.uint8], tmp_path: Path
) -> None:
    Image.fromarray(255 - BAR).save(tmp_path / "paper.png")
    image = read_image(tmp_path / "paper.png", SHAPE, Preprocessing(1 / 255, "letterbox", trained_on))
    np.testing.assert_array_equal(image[..., 0], expected)


def test_the_cameras_orientation_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # The camera was held so that the top of the scene is the right edge of the stored pixels.
    Image.fromarray(np.rot90(BAR)).save(tmp_path / "photo.png", exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "photo.png", SHAPE, PLAIN)[..., 0], BAR)


def test_colour_stays_colour_for_a_model_of_three_channels(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 5, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "colour.png")
    np.testing.assert_array_equal(read_image(tmp_path / "colour.png", (6, 5, 3), ANY), pixels)


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
    Image.fromarray(np.rot90(page, turns)).save(tmp_path / "digit.png")
    image = np.rot90(read_image(tmp_path / "digit.png", (28, 28, 1), DIGIT)[..., 0], -turns)
    rows, columns = np.flatnonzero(image.any(axis=1)), np.flatnonzero(image.any(axis=0))
    assert (rows[0], rows[-1]) == (0, 19)
    assert columns[-1] - columns[0] + 1 == 20


@pytest.mark.parametrize(
    ("size", "shape", "inside"),
    [
        ((100, 50), (20, 20, 1), (5, 15, 0, 20)),
        ((50, 100), (20, 20, 3), (0, 20, 5, 15)),
        ((30, 30), (10, 40, 3), (0, 10, 15, 25)),
    ],
)
def test_a_letterboxed_picture_keeps_its_aspect_and_is_padded_with_its_border(
    size: tuple[int, int], shape: tuple[int, int, int], inside: tuple[int, int, int, int], tmp_path: Path
) -> None:
    border = (40, 40, 40) if shape[2] == 1 else (20, 120, 220)
    picture = Image.new("RGB", size, border)
    ImageDraw.Draw(picture).rectangle((1, 1, size[0] - 2, size[1] - 2), fill=(250, 250, 250))
    picture.save(tmp_path / "photo.png")
    image = read_image(tmp_path / "photo.png", shape, ANY)
    top, bottom, left, right = inside
    outside = np.ones(shape[:2], bool)
    outside[top:bottom, left:right] = False
    assert image.shape == shape
    np.testing.assert_array_equal(image[outside], np.broadcast_to(border[: shape[2]], image[outside].shape))
    assert (image[top + 1 : bottom - 1, left + 1 : right - 1] > 230).all()


def only_corners(image: NDArray[np.uint8]) -> None:
    image[:, [0, 0, -1, -1], [0, -1, 0, -1]] = 0


@pytest.mark.parametrize(
    ("level", "word"), [(0, "dark"), (85, "dark"), (86, "any"), (170, "any"), (171, "light"), (255, "light")]
)
@pytest.mark.parametrize("disturb", [only_corners, lambda image: image[:, 1:-1, 1:-1].fill(255 - int(image[0, 0, 0, 0]))])
def test_the_background_is_the_median_of_the_outermost_pixels(
    disturb: Callable[[NDArray[np.uint8]], None], level: int, word: str
) -> None:
    images = np.full((3, 10, 8, 1), level, np.uint8)
    disturb(images)
    assert background(images) == word


@pytest.mark.parametrize(
    ("shape", "rows", "columns"), [((28, 28, 1), 14, 28), ((7, 5, 3), 4, 5), ((130, 200, 3), 17, 50), ((64, 65, 1), 16, 33)]
)
def test_a_drawing_has_half_as_many_rows_and_at_most_64_columns(shape: tuple[int, ...], rows: int, columns: int) -> None:
    lines = to_text(np.full(shape, 255, np.uint8)).split("\n")
    assert len(lines) == rows
    assert {len(line) for line in lines} == {columns}


def test_a_drawing_shows_shades_and_ends_its_lines_without_blanks() -> None:
    image = np.zeros((4, 6, 1), np.uint8)
    image[:2, :5, 0] = [0, 64, 128, 170, 255]
    assert to_text(image) == " ░▒▓█\n"
    assert to_text(image[::-1]) == "\n ░▒▓█"


def test_sixteen_bits_a_pixel_keep_their_greys(tmp_path: Path) -> None:
    Image.fromarray(BAR.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    assert np.array_equal(read_image(tmp_path / "deep.png", SHAPE, PLAIN)[..., 0], BAR)


@pytest.mark.parametrize(("paper", "ink"), [(150, 20), (110, 250)])
def test_on_grey_paper_the_ink_is_what_stands_out_more(paper: int, ink: int, tmp_path: Path) -> None:
    digit_picture((300, 200), (40, 30), paper, ink).save(tmp_path / "grey.png")
    digit_picture((300, 200), (40, 30), 0, 255).save(tmp_path / "clear.png")
    grey, clear = (read_image(tmp_path / f"{name}.png", (28, 28, 1), DIGIT) for name in ("grey", "clear"))
    assert np.array_equal(grey, clear)


def test_specks_that_vanish_at_the_models_size_are_no_digit(tmp_path: Path) -> None:
    specks = np.zeros((4000, 4000), np.uint8)
    specks[1, 1] = specks[3998, 3998] = 255
    Image.fromarray(specks).save(tmp_path / "specks.png")
    with pytest.raises(ArtifactError, match=r"specks\.png shows nothing on its background"):
        read_image(tmp_path / "specks.png", (28, 28, 1), DIGIT)


def test_light_from_one_side_and_noise_are_no_ink(tmp_path: Path) -> None:
    digit_picture((640, 480), (200, 150), 0, 255).save(tmp_path / "clear.png")
    lamp = np.linspace(120, 215, 640)[np.newaxis] + np.random.default_rng(0).normal(0, 8, (480, 640))
    stroke = np.asarray(digit_picture((640, 480), (200, 150), 0, 255)) > 0
    photo = np.where(stroke, 40, lamp).clip(0, 255).astype(np.uint8)
    Image.fromarray(photo).save(tmp_path / "photo.jpg")
    clear, lit = (read_image(tmp_path / name, (28, 28, 1), DIGIT).astype(int) for name in ("clear.png", "photo.jpg"))
    assert np.corrcoef(clear.reshape(-1), lit.reshape(-1))[0, 1] > 0.95


def test_a_page_on_a_dark_table_is_no_digit(tmp_path: Path) -> None:
    table = Image.new("L", (640, 480), 30)
    table.paste(digit_picture((560, 400), (200, 150), 230, 20), (40, 40))
    table.save(tmp_path / "table.png")
    with pytest.raises(ArtifactError, match=r"table\.png has no even background .*: crop it to one digit on plain paper"):
        read_image(tmp_path / "table.png", (28, 28, 1), DIGIT)


def test_a_thin_stroke_keeps_full_brightness(tmp_path: Path) -> None:
    picture = Image.new("L", (640, 480), 255)
    ImageDraw.Draw(picture).line((300, 100, 340, 380), fill=0, width=3)
    picture.save(tmp_path / "thin.png")
    assert read_image(tmp_path / "thin.png", (28, 28, 1), DIGIT).max() == 255


def photo(height: int, width: int, suffix: str, path: Path, orientation: int = 1) -> Path:
    """Write smooth colours that differ at every corner."""
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    pixels = np.stack([255 * x, 255 * y, 127 + 120 * np.sin(9 * x + 5 * y)], axis=2).clip(0, 255).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(path / f"photo.{suffix}", exif=exif)
    return path / f"photo.{suffix}"


@pytest.mark.parametrize("fit", ["letterbox", "crop", "stretch"])
@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "bmp"])
@pytest.mark.parametrize("channels", [1, 3])
def test_what_is_predicted_has_the_pixels_that_were_trained_on(fit: str, suffix: str, channels: int, tmp_path: Path) -> None:
    path, shape = photo(300, 450, suffix, tmp_path, orientation=6), (24, 32, channels)
    trained = FileSplit(tmp_path, (path.name,), np.zeros(1, np.int64), shape, fit).images([0])[0]
    predicted = read_image(path, shape, Preprocessing(1 / 255, fit, "any"))
    np.testing.assert_array_equal(predicted, trained)
    assert trained.shape == shape


def test_crop_takes_the_middle_and_stretch_the_whole(tmp_path: Path) -> None:
    stripes = np.repeat(np.array([10, 90, 170, 250], np.uint8), 20)
    Image.fromarray(np.tile(stripes, (40, 1))).save(tmp_path / "stripes.png")
    crop, stretch, letterbox = (
        read_fitted(tmp_path / "stripes.png", (20, 20, 1), fit)[10, :, 0].astype(int)
        for fit in ("crop", "stretch", "letterbox")
    )
    assert (crop[2], crop[17], stretch[2], stretch[17]) == (90, 170, 10, 250)
    assert len(letterbox) == 20
    rows = read_fitted(tmp_path / "stripes.png", (20, 20, 1), "letterbox")[:, 2, 0].astype(int)
    assert rows[10] == 10
    assert rows[0] == rows[19] != 10


def test_an_unknown_light_picture_is_never_inverted_for_training(tmp_path: Path) -> None:
    Image.fromarray(255 - BAR).save(tmp_path / "paper.png")
    np.testing.assert_array_equal(read_fitted(tmp_path / "paper.png", SHAPE, "letterbox")[..., 0], 255 - BAR)


@pytest.mark.parametrize("fit", ["letterbox", "crop", "stretch"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_large_jpeg_is_decoded_small_and_looks_as_if_it_had_not_been(
    fit: str, orientation: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path, shape = photo(1200, 2400, "jpg", tmp_path, orientation), (48, 64, 3)
    decoded: list[tuple[int, int]] = []
    load = ImageFile.ImageFile.load

    def seen(file: ImageFile.ImageFile) -> Any:
        if file.fp:  # Else it is decoded already.
            decoded.append(file.size)
        return load(file)

    monkeypatch.setattr(ImageFile.ImageFile, "load", seen)
    small = read_fitted(path, shape, fit).astype(int)
    # An eighth is at least 3 times what is needed, but where 1200 pixels become 64 columns a quarter is.
    assert decoded == [(600, 300) if orientation == 6 and fit != "letterbox" else (300, 150)]
    monkeypatch.setattr("PIL.JpegImagePlugin.JpegImageFile.draft", lambda *arguments: None)
    whole = read_fitted(path, shape, fit).astype(int)
    assert decoded[1] == (2400, 1200)
    assert np.abs(small - whole).max() <= 3


def test_a_jpeg_of_the_models_size_keeps_its_pixels(tmp_path: Path) -> None:
    path = photo(48, 64, "jpg", tmp_path)
    np.testing.assert_array_equal(read_fitted(path, (48, 64, 3), "crop"), np.asarray(Image.open(path)))


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
@pytest.mark.parametrize(("orientation", "size"), [(1, (30, 50)), (3, (30, 50)), (6, (50, 30)), (8, (50, 30))])
def test_a_header_tells_the_size_as_the_picture_is_seen_without_decoding_it(
    suffix: str, orientation: int, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = photo(30, 50, suffix, tmp_path, orientation)

    def decode(self: Any) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", decode)
    monkeypatch.setattr("PIL.WebPImagePlugin.WebPImageFile.load", decode)
    assert image_header(path, "fix") == (*size, False)
    Image.new("RGB", (50, 30)).save(path)
    assert image_header(path, "fix") == (30, 50, False)


@pytest.mark.parametrize(
    ("mode", "grey"), [("1", True), ("L", True), ("LA", True), ("I;16", True), ("RGB", False), ("RGBA", False), ("P", False)]
)
def test_a_header_tells_grey_from_colour(mode: str, grey: bool, tmp_path: Path) -> None:
    Image.new(mode, (5, 4)).save(tmp_path / "picture.png")
    assert image_header(tmp_path / "picture.png", "fix") == (4, 5, grey)
    assert read_pixels(tmp_path / "picture.png", "fix")[1] == grey


def test_a_file_without_a_header_is_said_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "note.png").write_text("no picture")
    with pytest.raises(ArtifactError, match=r"note\.png is not an image that Pillow reads .*: take it away$"):
        image_header(tmp_path / "note.png", "take it away")


@pytest.mark.parametrize("orientation", range(10))
def test_each_orientation_is_turned_as_pillow_turns_it(orientation: int, tmp_path: Path) -> None:
    path = photo(30, 50, "png", tmp_path, orientation)
    with Image.open(path) as file:
        expected = np.asarray(ImageOps.exif_transpose(file))
    np.testing.assert_array_equal(read_pixels(path, "fix")[0], expected)


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow says in many ways that EXIF data is damaged.
def test_a_picture_with_damaged_exif_data_is_read_or_refused(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x011A] = 6, "Maker", 72.0
    path = tmp_path / "photo.jpg"
    Image.new("RGB", (50, 30)).save(path, exif=exif)
    data = path.read_bytes()
    place = data.index(b"Exif\0\0") + 6
    read = refused = 0
    for offset in range(60):
        for value in (0, 5, 11, 64, 255):
            path.write_bytes(data[: place + offset] + bytes([value]) + data[place + offset + 1 :])
            try:
                image_header(path, "fix")
                assert read_pixels(path, "fix")[0].shape in ((50, 30, 3), (30, 50, 3))
                read += 1
            except ArtifactError:
                refused += 1
    assert read > 100 * refused


@pytest.mark.parametrize("fit", ["digit", "letterbox", "crop", "stretch"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_picture_in_memory_becomes_what_its_file_becomes(tmp_path: Path, fit: str, channels: int, mode: str) -> None:
    pixels = np.full((90, 70, 3), 250, np.uint8)
    pixels[30:60, 30:36] = (10, 60, 30)
    picture = Image.fromarray(pixels).convert(mode)
    picture.save(tmp_path / "a.png")
    rule = Preprocessing(1 / 255, fit, "dark")
    array = np.asarray(picture).reshape(90, 70, -1)
    expected = read_image(tmp_path / "a.png", (28, 28, channels), rule)
    assert np.array_equal(fit_image(array, (28, 28, channels), rule), expected)


@pytest.mark.parametrize("pixels", [np.zeros((9, 9), np.uint8), np.zeros((9, 9, 4), np.uint8), np.zeros((9, 9, 3), np.float32)])
def test_a_picture_of_another_kind_is_our_mistake(pixels: Any) -> None:
    with pytest.raises(ValueError, match=r"pixels must be uint8 \(height, width, 1 or 3\)"):
        fit_image(pixels, (28, 28, 1), Preprocessing(1.0, "letterbox", "any"))


def test_an_empty_picture_in_memory_is_refused_by_its_name() -> None:
    with pytest.raises(ArtifactError, match="frame 7 shows nothing"):
        fit_image(np.zeros((40, 40, 3), np.uint8), (28, 28, 1), Preprocessing(1.0, "digit", "dark"), "frame 7")
