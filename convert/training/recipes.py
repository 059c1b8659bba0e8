"""Recipes: an optimizer and its learning rate over the run."""

from dataclasses import dataclass
from typing import Any, Literal

from edgecnn.convert.keras.load import load_keras

RecipeName = Literal["cosine", "notebook"]
Augment = Literal["photo", "photo-mirror", "digit", "none"]
COSINE: RecipeName = "cosine"
_COSINE_NAME = f"{COSINE}_recipe"
NOTEBOOK: RecipeName = "notebook"

# Chosen on the last 5,000 training images of MNIST, never on test images: docs/explanation/training.md.
_WEIGHT_DECAY = 0.01
_WARM_UP = 0.2


@dataclass(frozen=True)
class Recipe:
    """The settings of a recipe, unless the user sets them.

    Attributes:
        batch_size: Images per step.
        augment: Whether each image is varied a little, again in each epoch.
        dropout: Dropout rate before the last layer of the cnn.
    """

    batch_size: int
    augment: bool
    dropout: float


RECIPES: dict[RecipeName, Recipe] = {
    COSINE: Recipe(64, augment=True, dropout=0.3),
    NOTEBOOK: Recipe(128, augment=False, dropout=0.5),
}


def usual_augment(recipe: RecipeName, channels: int) -> Augment:
    """Return how a recipe varies images, unless the user says it: colour images as photos, grey ones as digits."""
    if not RECIPES[recipe].augment:
        return "none"
    return "photo" if channels == 3 else "digit"


def usual_dropout(recipe: RecipeName, network: str) -> float:
    """Return the dropout of one of edgecnn's own networks, unless the user says it."""
    # The others fit too little, not too much: docs/explanation/training.md has the measurement.
    return RECIPES[recipe].dropout if network == "cnn" else 0.0


def new_optimizer(recipe: RecipeName, learning_rate: float, steps: int) -> Any:
    """Return a recipe's Keras optimizer.

    `cosine` is AdamW (Loshchilov and Hutter, Decoupled Weight Decay Regularization, 2019) with decay on kernels only. Its
    learning rate rises from zero over the first fifth of the steps (the warm-up) and falls to zero along a cosine. `notebook`
    is Adam with a constant learning rate. The peak is `learning_rate`, the whole run has `steps` steps.
    """
    optimizers = load_keras().optimizers
    if recipe == NOTEBOOK:
        return optimizers.Adam(learning_rate)
    warm_up = int(steps * _WARM_UP)
    rate = optimizers.schedules.CosineDecay(
        0.0, max(1, steps - warm_up), alpha=0.0, warmup_target=learning_rate, warmup_steps=warm_up
    )
    # Keras saves this name; otherwise Keras appends a counter to the name.
    optimizer = optimizers.AdamW(rate, weight_decay=_WEIGHT_DECAY, name=_COSINE_NAME)
    # Decay pulls towards zero, which is no better a value for an offset or a scale than others.
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def is_of_recipe(optimizer: Any) -> bool:
    """Return whether the cosine recipe made a model's optimizer, whose learning rate ends at 0 with its training."""
    return bool(_unwrapped(optimizer).name == _COSINE_NAME)


def _unwrapped(optimizer: Any) -> Any:
    """Return the optimizer itself: Keras wraps it where a model has float16 layers, to scale the loss."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def resumed_optimizer(model: Any, fresh: Any) -> Any:
    """Return the optimizer with which a loaded model continues: its own, or `fresh` with its state in its place.

    Keras saves everything about an optimizer except which weights do not decay.
    """
    own = _unwrapped(model.optimizer)
    if own.get_config() != fresh.get_config():
        return model.optimizer
    fresh.build(model.trainable_variables)
    for variable, saved in zip(fresh.variables, own.variables, strict=True):
        variable.assign(saved)
    if own is model.optimizer:
        return fresh
    model.optimizer.inner_optimizer = fresh  # What wraps it keeps the scale of the loss.
    return model.optimizer


def optimizer_text(optimizer: Any) -> str:
    """Return a Keras optimizer's name, its learning rate and, if it has one, its schedule."""
    optimizer = _unwrapped(optimizer)
    schedule = optimizer.get_config()["learning_rate"]
    name = type(optimizer).__name__
    if not isinstance(schedule, dict):
        return f"{name}, learning rate {float(schedule):g}"
    highest = schedule["config"].get("warmup_target") or schedule["config"].get("initial_learning_rate")
    rate = "a learning rate" if highest is None else f"learning rate up to {highest:g}"
    return f"{name}, {rate} by {schedule['class_name']}"
