"""How images are varied during training."""

import numpy as np
import pytest
from numpy.typing import NDArray

from edgecnn.convert.training.fit.augmentation import varied, vary_digits, vary_photos

SIDE = 28


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


def test_colours_move_together_and_the_border_is_repeated() -> None:
    image = np.zeros((8, 20, 12, 3), np.uint8)
    image[...] = (200, 100, 50)
    assert np.array_equal(vary_digits(image, np.random.default_rng(0)), image)


def test_the_word_says_how_images_are_varied() -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, 12, 16, 3)).astype(np.uint8)
    as_digits = varied("digit", images, np.random.default_rng(0))
    assert np.array_equal(as_digits, vary_digits(images, np.random.default_rng(0)))
    assert np.array_equal(varied("none", images, np.random.default_rng(0)), images)
    assert np.array_equal(varied("photo", images, np.random.default_rng(0)), vary_photos(images, np.random.default_rng(0)))
    assert not np.array_equal(varied("photo", images, np.random.default_rng(0)), as_digits)
