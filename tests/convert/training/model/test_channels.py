"""Channels that are cut together: a model without channels that were zero everywhere computes the same."""

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from edgecnn.convert.training.model.channels import channels_of, importance, without
from edgecnn.convert.training.model.networks import build_network

SHAPE = (12, 12, 3)


def chain() -> Any:
    return build_network("cnn", SHAPE, 4, 0.2, (6, 8, 10))


def residual() -> Any:
    return build_network("residual", SHAPE, 4, 0.0, (6, 8, 10))


def separable() -> Any:
    return build_network("separable", SHAPE, 4, 0.0, (6, 8, 10))


def branches() -> Any:
    image = keras.Input(SHAPE)
    left = layers.Conv2D(5, 3, padding="same", activation="relu")(image)
    right = layers.SeparableConv2D(7, 3, padding="same", activation="relu")(image)
    joined = layers.Concatenate()([left, layers.ZeroPadding2D(0)(right)])
    twice = layers.Conv2D(12, 1, name="shared")
    joined = layers.Maximum()([twice(joined), twice(layers.Dropout(0.1)(joined))])
    joined = layers.Dense(9, activation="relu")(layers.Flatten()(layers.AveragePooling2D(4)(joined)))
    return keras.Model(image, layers.Dense(4, activation="softmax")(joined))


# The channels of each group, and how many layers write it.
MODELS = {
    chain: [(6, 1), (8, 1), (10, 1)],
    residual: [(3, 1), (6, 2), (6, 1), (8, 2), (8, 1), (10, 2), (10, 1)],
    separable: [(6, 1), (8, 1), (10, 1)],
    branches: [(5, 1), (7, 1), (12, 1), (9, 1)],
}


@pytest.fixture(params=MODELS, ids=lambda build: build.__name__)
def model(request: pytest.FixtureRequest) -> Any:
    keras.backend.clear_session()
    made = request.param()
    random = np.random.default_rng(0)
    # Batch normalization of a new network changes nothing, whatever its channels are.
    made.set_weights([random.uniform(0.2, 1.0, weight.shape) * random.choice([-1, 1]) for weight in made.get_weights()])
    for layer in made.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.set_weights([np.abs(weight) for weight in layer.get_weights()])
    made.build_name = request.param
    return made


def zeroed(model: Any, channels: Any, cut: Any) -> None:
    """Make channels zero wherever they are written."""
    gone = {*cut.tolist()}
    for layer in model.layers:
        axes = channels.weights.get(layer.name)
        if axes is None:
            continue
        values = layer.get_weights()
        for value, of in zip(values, axes, strict=True):
            if of[-1] is not None:
                value[..., [root in gone for root in channels.roots(of[-1]).tolist()]] = 0
        layer.set_weights(values)


def test_each_group_has_the_channels_of_the_layers_that_write_them(model: Any) -> None:
    found = [(len(ids), len(name.split("+"))) for name, ids in channels_of(model).groups.items()]
    assert sorted(found) == sorted(MODELS[model.build_name])


def test_without_channels_that_are_zero_a_model_computes_the_same(model: Any) -> None:
    images = np.random.default_rng(1).uniform(0, 1, (5, *SHAPE)).astype(np.float32)
    for ids in channels_of(model).groups.values():
        channels = channels_of(model)
        cut = ids[: len(ids) // 2]
        zeroed(model, channels, cut)
        before = np.asarray(model(images))  # `predict` would compile each of them.
        smaller = without(model, channels, cut)
        assert smaller.count_params() < model.count_params()
        np.testing.assert_allclose(smaller(images), before, atol=1e-5)
        np.testing.assert_array_equal(model(images), before)


def test_a_layer_of_another_kind_and_the_output_keep_their_channels() -> None:
    image = keras.Input(SHAPE)
    scaled = layers.LayerNormalization()(layers.Conv2D(6, 3, name="kept")(image))
    grouped = layers.Conv2D(8, 3, groups=2, name="grouped")(layers.Conv2D(4, 1, name="into")(scaled))
    rows = layers.BatchNormalization(axis=1)(layers.Conv2D(8, 1, name="rows")(grouped))
    free = layers.Conv2D(5, 3, name="free")(rows)
    made = keras.Model(image, layers.Softmax()(layers.GlobalAveragePooling2D()(layers.Conv2D(4, 1, name="last")(free))))
    assert {*channels_of(made).groups} == {"free"}


def test_models_and_wrappers_inside_keep_their_weights() -> None:
    image = keras.Input(SHAPE)
    inner = keras.Sequential([keras.Input(SHAPE), layers.Conv2D(6, 3, name="free")], name="inner")
    maps = layers.Conv2D(5, 3, name="free")(inner(image))  # Of the name of a layer inside.
    rows = layers.Bidirectional(layers.LSTM(2))(layers.Reshape((-1, 4))(layers.Conv2D(4, 1)(maps)))
    made = keras.Model(image, layers.Dense(4, activation="softmax")(rows))
    channels = channels_of(made)
    assert [*channels.groups] == ["free"]
    gradients = [np.ones(weight.shape, np.float32) for weight in made.trainable_weights]
    worth = importance(made, channels, iter([gradients]))[channels.groups["free"]]
    kernel, bias = made.get_layer("free").get_weights()
    np.testing.assert_allclose(worth, (kernel.sum(axis=(0, 1, 2), dtype=np.float64) + bias) ** 2, rtol=1e-4)
    smaller = without(made, channels, channels.groups["free"][:2])
    for kept in ("inner", "bidirectional"):
        pairs = zip(made.get_layer(kept).get_weights(), smaller.get_layer(kept).get_weights(), strict=True)
        assert all(np.array_equal(*pair) for pair in pairs)
    assert smaller.get_layer("free").filters == 3


def test_what_changes_the_loss_most_is_worth_most() -> None:
    made = chain()
    channels = channels_of(made)
    gradients = [np.zeros(weight.shape, np.float32) for weight in made.trainable_weights]
    place = next(at for at, weight in enumerate(made.trainable_weights) if weight is made.layers[0].kernel)
    gradients[place][..., 2] = 1
    worth = importance(made, channels, iter([gradients, gradients]))
    (first, *_) = channels.groups.values()
    kernel = np.asarray(made.layers[0].kernel)
    expected = np.zeros(6)
    expected[2] = 2 * kernel[..., 2].sum(dtype=np.float64) ** 2
    np.testing.assert_allclose(worth[first], expected, rtol=1e-5)
