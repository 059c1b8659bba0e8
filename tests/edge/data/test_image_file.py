"""Image files of any kind become images like those the model was trained on."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from edgecnn.edge.data.image_file import background, read_image
from edgecnn.edge.errors import ArtifactError, MissingDependency
from edgecnn.edge.manifest import Background, Preprocessing
from tests.edge.data.drawn.pictures import BAR, SHAPE

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


@pytest.mark.parametrize(("trained_on", "expected"), [("dark", BAR), ("any", 255 - BAR), ("light", 255 - BAR)])
def test_a_light_picture_is_inverted_only_for_a_model_of_dark_ones(
    trained_on: Background, expected: NDArray[np.uint8], tmp_path: Path
) -> None:
    Image.fromarray(255 - BAR).save(tmp_path / "paper.png")
    image = read_image(tmp_path / "paper.png", SHAPE, Preprocessing(1 / 255, "letterbox", trained_on))
    np.testing.assert_array_equal(image[..., 0], expected)


def test_the_cameras_orientation_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # The top of the scene is the right edge of the stored pixels.
    Image.fromarray(np.rot90(BAR)).save(tmp_path / "photo.png", exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "photo.png", SHAPE, PLAIN)[..., 0], BAR)


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
