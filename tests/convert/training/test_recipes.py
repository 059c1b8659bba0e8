"""Recipes: the optimizer and its schedule."""

import keras
import pytest

from edgecnn.convert.training.config import TrainConfig
from edgecnn.convert.training.model.custom_model import resolved
from edgecnn.convert.training.model.networks import build_cnn
from edgecnn.convert.training.recipes import (
    RECIPES,
    Augment,
    RecipeName,
    is_of_recipe,
    new_optimizer,
    optimizer_text,
    usual_augment,
)
from edgecnn.edge.errors import ArtifactError
from edgecnn.edge.records import from_json, to_json
from tests.drawings import blank_split


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


def test_an_optimizer_that_keras_wraps_for_float16_is_told_as_it_is() -> None:
    wrapped = keras.optimizers.LossScaleOptimizer(new_optimizer("cosine", 0.01, 100))
    assert optimizer_text(wrapped) == "AdamW, learning rate up to 0.01 by CosineDecay"
    assert [is_of_recipe(one) for one in (wrapped, keras.optimizers.AdamW(0.01))] == [True, False]


def test_notebook_is_adam_at_one_rate() -> None:
    optimizer = new_optimizer("notebook", 0.01, 1000)
    assert optimizer_text(optimizer) == "Adam, learning rate 0.01"
    assert (RECIPES["notebook"].batch_size, RECIPES["notebook"].augment) == (128, False)


def test_a_run_of_one_step_has_a_rate() -> None:
    assert float(new_optimizer("cosine", 0.01, 1)._learning_rate(0)) == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("recipe", "channels", "augment"), [("cosine", 3, "photo"), ("cosine", 1, "digit"), ("notebook", 3, "none")]
)
def test_colour_images_are_varied_as_photos_and_grey_ones_as_digits(
    recipe: RecipeName, channels: int, augment: Augment
) -> None:
    assert usual_augment(recipe, channels) == augment
    assert resolved(TrainConfig(recipe=recipe), blank_split(channels)).variation == augment
    assert resolved(TrainConfig(recipe=recipe, augment="digit"), blank_split(channels)).variation == "digit"


def test_true_and_false_of_earlier_releases_are_digit_and_none() -> None:
    assert (TrainConfig(augment=True).augment, TrainConfig(augment=False).augment) == ("digit", "none")
    text = to_json(resolved(TrainConfig(augment="digit"), blank_split()))
    for word, augment in (("true", "digit"), ("false", "none"), ('"photo"', "photo"), ("null", None)):
        assert from_json(TrainConfig, text.replace('"augment": "digit"', f'"augment": {word}'), "train.json").augment == augment
    for wrong in ('"flip"', "1"):
        with pytest.raises(ArtifactError, match=r"augment.*photo or photo-mirror or digit or none"):
            from_json(TrainConfig, text.replace('"augment": "digit"', f'"augment": {wrong}'), "train.json")
