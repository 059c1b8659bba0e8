"""Image files and pictures in memory become images like those the model was trained on, however they are stored."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFile, ImageOps

from edgecnn.edge.data.image_file import ImageRule, background, fit_image, image_header, read_image, read_pixels
from edgecnn.edge.data.splits import FileSplit
from edgecnn.edge.errors import ArtifactError, MissingDependency
from edgecnn.edge.manifest import Fit, Preprocessing
from tests.edge.data.drawn.pictures import BAR, SHAPE, photo

PLAIN = Preprocessing(scale=1 / 255, fit="letterbox", background="dark")
ANY = Preprocessing(scale=1 / 255, fit="letterbox", background="any")
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
    with pytest.raises(ArtifactError, match=r"picture\.png .*not an image.*\(.+\).*PNG.*JPEG"):
        read_image(path, SHAPE, PLAIN)


def test_without_pillow_the_message_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingDependency, match=r"Pillow.+not installed: pip install 'pillow>=[0-9.]+'"):
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


@pytest.mark.parametrize(
    ("picture", "expected"),
    [(Image.fromarray(INK_ONLY).convert("1"), INK_ONLY), (Image.fromarray(BAR.astype(np.uint16) * 257), BAR)],
)
def test_one_bit_and_sixteen_bit_pictures_keep_their_greys(
    picture: Image.Image, expected: NDArray[np.uint8], tmp_path: Path
) -> None:
    picture.save(tmp_path / "picture.png")
    np.testing.assert_array_equal(read_image(tmp_path / "picture.png", SHAPE, PLAIN)[..., 0], expected)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_a_transparent_ground_is_paper(mode: str, tmp_path: Path) -> None:
    transparent(mode).save(tmp_path / "ink.png")
    np.testing.assert_array_equal(read_image(tmp_path / "ink.png", SHAPE, PLAIN)[..., 0], INK_ONLY)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (PLAIN, BAR),
        (ANY, 255 - BAR),
        (Preprocessing(1 / 255, "letterbox", "light"), 255 - BAR),
        (ImageRule("letterbox"), 255 - BAR),
    ],
    ids=["dark", "any", "light", "training"],
)
def test_a_light_picture_is_inverted_only_for_a_model_of_dark_ones(
    rule: ImageRule | Preprocessing, expected: NDArray[np.uint8], tmp_path: Path
) -> None:
    Image.fromarray(255 - BAR).save(tmp_path / "paper.png")
    np.testing.assert_array_equal(read_image(tmp_path / "paper.png", SHAPE, rule)[..., 0], expected)


def test_colour_stays_colour_for_a_model_of_three_channels(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 5, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "colour.png")
    np.testing.assert_array_equal(read_image(tmp_path / "colour.png", (6, 5, 3), ANY), pixels)


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


@pytest.mark.parametrize("fit", ["letterbox", "crop", "stretch"])
@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "bmp"])
@pytest.mark.parametrize("channels", [1, 3])
def test_what_is_predicted_has_the_pixels_that_were_trained_on(fit: Fit, suffix: str, channels: int, tmp_path: Path) -> None:
    path, shape = photo(300, 450, suffix, tmp_path, orientation=6), (24, 32, channels)
    trained = FileSplit(tmp_path, (path.name,), np.zeros(1, np.int64), shape, fit).images([0])[0]
    predicted = read_image(path, shape, Preprocessing(1 / 255, fit, "any"))
    np.testing.assert_array_equal(predicted, trained)
    assert trained.shape == shape


def test_crop_takes_the_middle_and_stretch_the_whole(tmp_path: Path) -> None:
    stripes = np.repeat(np.array([10, 90, 170, 250], np.uint8), 20)
    Image.fromarray(np.tile(stripes, (40, 1))).save(tmp_path / "stripes.png")
    crop, stretch, letterbox = (
        read_image(tmp_path / "stripes.png", (20, 20, 1), ImageRule(fit))[..., 0].astype(int)
        for fit in ("crop", "stretch", "letterbox")
    )
    assert (crop[10, 2], crop[10, 17], stretch[10, 2], stretch[10, 17]) == (90, 170, 10, 250)
    assert letterbox[10, 2] == 10
    assert letterbox[0, 2] == letterbox[19, 2] != 10


@pytest.mark.parametrize("fit", ["letterbox", "crop", "stretch"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_large_jpeg_is_decoded_small_and_looks_as_if_it_had_not_been(
    fit: Fit, orientation: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path, shape = photo(1200, 2400, "jpg", tmp_path, orientation), (48, 64, 3)
    decoded: list[tuple[int, int]] = []
    load = ImageFile.ImageFile.load

    def seen(file: ImageFile.ImageFile) -> Any:
        if file.fp:  # Otherwise it is already decoded.
            decoded.append(file.size)
        return load(file)

    monkeypatch.setattr(ImageFile.ImageFile, "load", seen)
    small = read_image(path, shape, ImageRule(fit)).astype(int)
    # An eighth is at least 3 times the needed size, except where 1200 pixels become 64 columns: there a quarter is.
    assert decoded == [(600, 300) if orientation == 6 and fit != "letterbox" else (300, 150)]
    monkeypatch.setattr("PIL.JpegImagePlugin.JpegImageFile.draft", lambda *arguments: None)
    whole = read_image(path, shape, ImageRule(fit)).astype(int)
    assert decoded[1] == (2400, 1200)
    assert np.abs(small - whole).max() <= 3


def test_a_jpeg_of_the_models_size_keeps_its_pixels(tmp_path: Path) -> None:
    path = photo(48, 64, "jpg", tmp_path)
    np.testing.assert_array_equal(read_image(path, (48, 64, 3), ImageRule("crop")), np.asarray(Image.open(path)))


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


@pytest.mark.parametrize("read", [image_header, read_pixels])
def test_what_is_no_image_is_said_with_the_remedy_and_without_the_library_s_own_names(
    read: Callable[[Path, str], Any], tmp_path: Path
) -> None:
    (tmp_path / "note.png").write_text("no picture")
    with pytest.raises(ArtifactError, match=r"note\.png .*not.*image.*of no known image format.*take it away$") as caught:
        read(tmp_path / "note.png", "take it away")
    assert str(caught.value).count("note.png") == 1


@pytest.mark.parametrize("orientation", range(10))
def test_each_orientation_is_turned_as_pillow_turns_it(orientation: int, tmp_path: Path) -> None:
    path = photo(30, 50, "png", tmp_path, orientation)
    with Image.open(path) as file:
        expected = np.asarray(ImageOps.exif_transpose(file))
    np.testing.assert_array_equal(read_pixels(path, "fix")[0], expected)


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow has many warnings about damaged EXIF data.
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
def test_a_picture_in_memory_becomes_what_its_file_becomes(tmp_path: Path, fit: Fit, channels: int, mode: str) -> None:
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
    with pytest.raises(ValueError, match=r"pixels.*uint8.*height, width, 1 or 3\)"):
        fit_image(pixels, (28, 28, 1), Preprocessing(1.0, "letterbox", "any"))


def test_an_empty_picture_in_memory_is_refused_by_its_name() -> None:
    with pytest.raises(ArtifactError, match="frame 7 shows nothing"):
        fit_image(np.zeros((40, 40, 3), np.uint8), (28, 28, 1), Preprocessing(1.0, "digit", "dark"), "frame 7")
