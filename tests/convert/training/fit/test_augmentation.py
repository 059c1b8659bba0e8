"""How images are varied during training."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray

from edgecnn.convert.training.fit.augmentation import _crops, varied, vary_digits, vary_photos
from edgecnn.convert.training.recipes import Augment

SIDE = 28
HEIGHT, WIDTH = 30, 40


def dot(row: int, column: int, count: int) -> NDArray[np.uint8]:
    """Return images (count, 28, 28, 1), black except for a soft dot."""
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    image = 255 * np.exp(-((y - row) ** 2 + (x - column) ** 2) / 8)
    return np.repeat(image.astype(np.uint8)[np.newaxis, ..., np.newaxis], count, axis=0)


def centres(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return (n, 2): each image's centre of mass."""
    mass = images[..., 0].astype(float)
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    return np.stack([(mass * axis).sum((1, 2)) / mass.sum((1, 2)) for axis in (y, x)], axis=1)


def test_a_dot_in_the_middle_moves_by_the_shift_alone() -> None:
    images = vary_digits(dot(14, 14, 400), np.random.default_rng(0))
    assert images.dtype == np.uint8
    # The middle of 28 pixels is at 13.5: rotating and scaling move the dot by a tenth of a pixel. The shift is scaled too.
    moved = centres(images) - centres(dot(14, 14, 1))
    assert moved.min(axis=0) == pytest.approx([-2 / 0.9, -2 / 0.9], abs=0.25)
    assert moved.max(axis=0) == pytest.approx([2 / 0.9, 2 / 0.9], abs=0.25)


def test_a_dot_far_out_is_turned_by_up_to_ten_degrees_and_scaled_by_up_to_ten_percent() -> None:
    images = vary_digits(dot(14, 22, 2000), np.random.default_rng(1)).astype(np.float64)
    middle = vary_digits(dot(14, 14, 2000), np.random.default_rng(1)).astype(np.float64)
    arm = centres(images.astype(np.uint8)) - centres(middle.astype(np.uint8))
    angles, lengths = np.degrees(np.arctan2(arm[:, 0], arm[:, 1])), np.hypot(arm[:, 0], arm[:, 1])
    assert (angles.min(), angles.max()) == pytest.approx((-10, 10), abs=0.5)
    assert (lengths.min(), lengths.max()) == pytest.approx((8 / 1.1, 8 / 0.9), abs=0.15)


def test_variations_follow_from_the_generator_alone() -> None:
    images = dot(10, 18, 5)
    first = vary_digits(images, np.random.default_rng(3))
    assert np.array_equal(first, vary_digits(images, np.random.default_rng(3)))
    assert not np.array_equal(first, vary_digits(images, np.random.default_rng(4)))
    assert not np.array_equal(first[0], first[1])
    assert np.array_equal(images, dot(10, 18, 5))


def test_colours_move_together_and_the_word_says_how_images_are_varied() -> None:
    image = np.zeros((8, 20, 12, 3), np.uint8)
    image[...] = (200, 100, 50)
    assert np.array_equal(vary_digits(image, np.random.default_rng(0)), image)
    images = np.random.default_rng(0).integers(0, 256, (4, 12, 16, 3)).astype(np.uint8)
    as_digits = varied("digit", images, np.random.default_rng(0))
    assert np.array_equal(as_digits, vary_digits(images, np.random.default_rng(0)))
    assert np.array_equal(varied("none", images, np.random.default_rng(0)), images)
    assert np.array_equal(varied("photo", images, np.random.default_rng(0)), vary_photos(images, np.random.default_rng(0)))
    assert not np.array_equal(varied("photo", images, np.random.default_rng(0)), as_digits)


def ramp(count: int) -> NDArray[np.uint8]:
    """Return images (count, 30, 40, 3): red rises to the right, green downwards, blue is even."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    image = np.stack([60 + 2 * x, 60 + 3 * y, np.full_like(x, 90)], axis=2).astype(np.uint8)
    return np.repeat(image[np.newaxis], count, axis=0)


def plain(colour: tuple[int, ...], count: int) -> NDArray[np.uint8]:
    return np.full((count, 4, 6, len(colour)), colour, np.uint8)


@pytest.mark.parametrize(("augment", "least", "most"), [("photo", 0, 0), ("photo-mirror", 440, 560)])
def test_photos_are_mirrored_only_if_asked_and_then_half_of_them_and_none_is_upside_down(
    augment: Augment, least: int, most: int
) -> None:
    images = varied(augment, ramp(1000), np.random.default_rng(0)).astype(float)
    right = images[:, :, -1, 0].mean(axis=1) - images[:, :, 0, 0].mean(axis=1)
    down = images[:, -1, :, 1].mean(axis=1) - images[:, 0, :, 1].mean(axis=1)
    assert least <= np.count_nonzero(right < 0) <= most
    assert np.abs(right).min() > 10
    assert down.min() > 10


def test_crops_lie_inside_and_have_the_promised_area_and_proportions() -> None:
    top, left, bottom, right = _crops(5000, np.random.default_rng(1), mirror=True).T
    width, height = np.abs(right - left), bottom - top
    assert (width * height).min() == pytest.approx(0.5, abs=0.02)
    assert (width * height).max() == pytest.approx(1, abs=0.02)
    assert (width / height).min() == pytest.approx(3 / 4, abs=0.02)
    assert (width / height).max() == pytest.approx(4 / 3, abs=0.02)
    ends = np.stack([top, left, bottom, right])
    assert (ends.min(), ends.max()) == pytest.approx((0, 1), abs=1e-4)
    # Each place is as likely.
    free = 1 - height > 0.05
    assert (top / (1 - height))[free].mean() == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("side", [1, 2, 28, 225])
def test_no_crop_reaches_beyond_the_border(side: int) -> None:
    white = np.full((400, side, side, 1), 255, np.uint8)
    assert vary_photos(white, np.random.default_rng(6)).min() >= 204  # The least brightness; beyond the border it is black.


def test_grey_stays_grey_and_changes_by_its_brightness_alone() -> None:
    images = vary_photos(plain((100, 100, 100), 2000), np.random.default_rng(2))
    assert np.array_equal(images[..., 0], images[..., 1])
    assert np.array_equal(images[..., 0], images[..., 2])
    assert (images.min(), images.max()) == (80, 120)


def test_saturation_brings_colours_nearer_to_their_grey_or_farther() -> None:
    images = vary_photos(plain((150, 100, 50), 2000), np.random.default_rng(3)).astype(float)
    grey = images @ np.array([0.299, 0.587, 0.114])
    share = ((images[..., 0] - grey) / grey)[:, 0, 0] / ((150 - 109.25) / 109.25)
    # Contrast does the same to an even picture: the product of both.
    assert (share.min(), share.max()) == pytest.approx((0.8 * 0.8, 1.2 * 1.2), abs=0.05)


def test_contrast_is_about_the_photo_s_own_mean() -> None:
    halves = np.full((2000, 40, 6, 1), 100, np.uint8)
    halves[:, :20] = 140  # No crop of half the area is all of one half.
    images = vary_photos(halves, np.random.default_rng(4)).astype(float)[..., 0]
    ratio = images.max(axis=(1, 2)) / images.min(axis=(1, 2))
    assert (ratio.min(), ratio.max()) == pytest.approx((1.31, 1.50), abs=0.05)


def test_variations_of_photos_follow_from_the_generator_alone_in_any_thread() -> None:
    images = ramp(64)
    first = vary_photos(images, np.random.default_rng(5))
    assert first.dtype == np.uint8
    assert first.shape == images.shape
    with ThreadPoolExecutor(4) as threads:
        again = list(threads.map(lambda _: vary_photos(images, np.random.default_rng(5)), range(8)))
    assert all(np.array_equal(first, other) for other in again)
    assert not np.array_equal(first, vary_photos(images, np.random.default_rng(6)))
    assert not np.array_equal(first[0], first[1])
    assert np.array_equal(images, ramp(64))
    assert vary_photos(images[..., :1], np.random.default_rng(0)).shape == (64, HEIGHT, WIDTH, 1)
