"""Recipes: what moves the weights, and how images are varied."""

import numpy as np
import pytest
from numpy.typing import NDArray

from convert.model import build_cnn
from convert.recipes import RECIPES, augment, new_optimizer, optimizer_text
from convert.train_records import TrainConfig
from edge.errors import ConfigError

SIDE = 28


def dot(row: int, column: int, count: int) -> NDArray[np.uint8]:
    """Return images (count, 28, 28, 1), black but for a soft dot."""
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    image = 255 * np.exp(-((y - row) ** 2 + (x - column) ** 2) / 8)
    return np.repeat(image.astype(np.uint8)[np.newaxis, ..., np.newaxis], count, axis=0)


def centres(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return (n, 2): each image's centre of mass."""
    mass = images[..., 0].astype(float)
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    return np.stack([(mass * axis).sum((1, 2)) / mass.sum((1, 2)) for axis in (y, x)], axis=1)


def test_an_unknown_recipe_is_refused() -> None:
    with pytest.raises(ConfigError, match="--recipe must be cosine or notebook, got fast"):
        TrainConfig(recipe="fast")


def test_cosine_rises_for_a_fifth_of_the_steps_and_ends_at_nothing() -> None:
    optimizer = new_optimizer("cosine", 0.01, 1000)
    schedule = optimizer._learning_rate
    rates = [float(schedule(step)) for step in (0, 100, 200, 600, 1000)]
    assert rates == pytest.approx([0, 0.005, 0.01, 0.005, 0], abs=1e-6)
    assert type(optimizer).__name__ == "AdamW"
    assert optimizer.weight_decay == pytest.approx(0.01)
    assert optimizer_text(optimizer) == "AdamW, learning rate up to 0.01 by CosineDecay"


def test_only_kernels_decay() -> None:
    model = build_cnn((12, 12, 1), 3)
    optimizer = new_optimizer("cosine", 0.01, 100)
    optimizer.build(model.trainable_variables)
    decaying = {variable.name for variable in model.trainable_variables if optimizer._use_weight_decay(variable)}
    assert decaying == {"kernel"}


def test_notebook_is_adam_at_one_rate() -> None:
    optimizer = new_optimizer("notebook", 0.01, 1000)
    assert optimizer_text(optimizer) == "Adam, learning rate 0.01"
    assert (RECIPES["notebook"].batch_size, RECIPES["notebook"].augment) == (128, False)


def test_a_run_of_one_step_has_a_rate() -> None:
    assert float(new_optimizer("cosine", 0.01, 1)._learning_rate(0)) == pytest.approx(0.01)


def test_a_dot_in_the_middle_moves_by_the_shift_alone() -> None:
    images = augment(dot(14, 14, 400), np.random.default_rng(0))
    assert images.dtype == np.uint8
    # The middle of 28 pixels is at 13.5: turning and scaling move the dot by a tenth of a pixel. The shift is scaled, too.
    moved = centres(images) - centres(dot(14, 14, 1))
    assert moved.min(axis=0) == pytest.approx([-2 / 0.9, -2 / 0.9], abs=0.25)
    assert moved.max(axis=0) == pytest.approx([2 / 0.9, 2 / 0.9], abs=0.25)


def test_a_dot_far_out_is_turned_by_up_to_ten_degrees_and_scaled_by_up_to_ten_percent() -> None:
    images = augment(dot(14, 22, 2000), np.random.default_rng(1)).astype(np.float64)
    middle = augment(dot(14, 14, 2000), np.random.default_rng(1)).astype(np.float64)
    arm = centres(images.astype(np.uint8)) - centres(middle.astype(np.uint8))
    angles, lengths = np.degrees(np.arctan2(arm[:, 0], arm[:, 1])), np.hypot(arm[:, 0], arm[:, 1])
    assert (angles.min(), angles.max()) == pytest.approx((-10, 10), abs=0.5)
    assert (lengths.min(), lengths.max()) == pytest.approx((8 / 1.1, 8 / 0.9), abs=0.15)


def test_variations_follow_from_the_generator_alone() -> None:
    images = dot(10, 18, 5)
    first = augment(images, np.random.default_rng(3))
    assert np.array_equal(first, augment(images, np.random.default_rng(3)))
    assert not np.array_equal(first, augment(images, np.random.default_rng(4)))
    assert not np.array_equal(first[0], first[1])
    assert np.array_equal(images, dot(10, 18, 5))


def test_colours_move_together_and_the_border_is_repeated() -> None:
    image = np.zeros((8, 20, 12, 3), np.uint8)
    image[...] = (200, 100, 50)
    assert np.array_equal(augment(image, np.random.default_rng(0)), image)
