"""How photos are varied during training."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray

from edgecnn.convert.training.fit.augmentation import _crops, vary_photos

HEIGHT, WIDTH = 30, 40


def ramp(count: int) -> NDArray[np.uint8]:
    """Return images (count, 30, 40, 3): red rises to the right, green downwards, blue is even."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    image = np.stack([60 + 2 * x, 60 + 3 * y, np.full_like(x, 90)], axis=2).astype(np.uint8)
    return np.repeat(image[np.newaxis], count, axis=0)


def plain(colour: tuple[int, ...], count: int) -> NDArray[np.uint8]:
    return np.full((count, 4, 6, len(colour)), colour, np.uint8)


def test_half_of_the_photos_are_mirrored_and_none_is_upside_down() -> None:
    images = vary_photos(ramp(1000), np.random.default_rng(0)).astype(float)
    right = images[:, :, -1, 0].mean(axis=1) - images[:, :, 0, 0].mean(axis=1)
    down = images[:, -1, :, 1].mean(axis=1) - images[:, 0, :, 1].mean(axis=1)
    assert 440 < np.count_nonzero(right < 0) < 560
    assert np.abs(right).min() > 10
    assert down.min() > 10


def test_crops_lie_inside_and_have_the_promised_area_and_proportions() -> None:
    top, left, bottom, right = _crops(5000, np.random.default_rng(1)).T
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


def test_variations_follow_from_the_generator_alone_in_any_thread() -> None:
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
