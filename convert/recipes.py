"""How the weights are moved: an optimizer and its learning rate over the run, and how images are varied."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.tensorflow import load_keras, load_tensorflow
from edge.preprocess import Images

COSINE, NOTEBOOK = "cosine", "notebook"

# Chosen on the last 5,000 training images of MNIST, never on test images: docs/training.md.
_WEIGHT_DECAY = 0.01
_WARM_UP = 0.2
_ROTATION_DEGREES = 10.0
_ZOOM = 0.1
_SHIFT = 2 / 28


@dataclass(frozen=True)
class Recipe:
    """The settings that a recipe changes, where the user does not.

    Attributes:
        batch_size: Images a step.
        augment: Whether each image is turned, scaled and shifted a little, anew in each epoch.
        dropout: Share of the features before the last layer of edgecnn's CNN that is dropped.
    """

    batch_size: int
    augment: bool
    dropout: float


RECIPES = {COSINE: Recipe(64, augment=True, dropout=0.3), NOTEBOOK: Recipe(128, augment=False, dropout=0.5)}


def new_optimizer(recipe: str, learning_rate: float, steps: int) -> Any:
    """Return a recipe's Keras optimizer.

    `cosine` is AdamW (Loshchilov and Hutter, Decoupled Weight Decay Regularization, 2019) with decay on kernels alone. Its
    learning rate rises from nothing over the first fifth of the steps and falls to nothing along a cosine. `notebook` is Adam
    at one rate.

    Args:
        recipe: One of `RECIPES`.
        learning_rate: The highest.
        steps: Of the whole run.
    """
    optimizers = load_keras().optimizers
    if recipe == NOTEBOOK:
        return optimizers.Adam(learning_rate)
    warm_up = int(steps * _WARM_UP)
    rate = optimizers.schedules.CosineDecay(
        0.0, max(1, steps - warm_up), alpha=0.0, warmup_target=learning_rate, warmup_steps=warm_up
    )
    # A name of its own, which Keras saves: it would number the optimizers of a process.
    optimizer = optimizers.AdamW(rate, weight_decay=_WEIGHT_DECAY, name=f"{COSINE}_recipe")
    # Decay pulls towards zero, which is no better for an offset or a scale than another number.
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def resumed_optimizer(model: Any, fresh: Any) -> Any:
    """Return what goes on as the optimizer of a loaded model did: its own or, if it is a recipe's, `fresh` in its state.

    Keras saves all of an optimizer but which weights do not decay.
    """
    if model.optimizer.get_config() != fresh.get_config():
        return model.optimizer
    fresh.build(model.trainable_variables)
    for variable, saved in zip(fresh.variables, model.optimizer.variables, strict=True):
        variable.assign(saved)
    return fresh


def optimizer_text(optimizer: Any) -> str:
    """Return a Keras optimizer's name, its learning rate and, where that has one, its schedule."""
    schedule = optimizer.get_config()["learning_rate"]
    name = type(optimizer).__name__
    if not isinstance(schedule, dict):
        return f"{name}, learning rate {float(schedule):g}"
    highest = schedule["config"].get("warmup_target") or schedule["config"].get("initial_learning_rate")
    rate = "a learning rate" if highest is None else f"learning rate up to {highest:g}"
    return f"{name}, {rate} by {schedule['class_name']}"


def augment(images: Images, rng: np.random.Generator) -> Images:
    """Return images uint8 (n, h, w, c), each turned, scaled and shifted a little.

    By up to 10 degrees, 10 %, and 7 % of a side, drawn evenly. What comes in from outside repeats the border.
    """
    count, height, width, _ = images.shape
    moved = load_tensorflow().raw_ops.ImageProjectiveTransformV3(
        images=images.astype(np.float32),  # Of uint8 the op would drop the fractions.
        transforms=_transforms(count, height, width, rng),
        output_shape=(height, width),
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="NEAREST",
    )
    rounded: Images = np.rint(moved.numpy()).astype(np.uint8)
    return rounded


def _transforms(count: int, height: int, width: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return (n, 8): from where in the input a pixel of the output comes, about the middle, as the TensorFlow op wants it."""
    angle = np.deg2rad(rng.uniform(-_ROTATION_DEGREES, _ROTATION_DEGREES, count))
    scale = rng.uniform(1 - _ZOOM, 1 + _ZOOM, count)
    right, down = rng.uniform(-_SHIFT, _SHIFT, (2, count)) * np.array([[width], [height]])
    cos, sin = np.cos(angle) * scale, np.sin(angle) * scale
    x, y = (width - 1) / 2, (height - 1) / 2
    transforms = np.zeros((count, 8), np.float32)
    transforms[:, 0], transforms[:, 1], transforms[:, 2] = cos, -sin, x - cos * x + sin * y + right
    transforms[:, 3], transforms[:, 4], transforms[:, 5] = sin, cos, y - sin * x - cos * y + down
    return transforms
