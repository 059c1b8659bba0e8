"""The fused operator trains like Keras's own layers, and leaves no trace in saved files."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from edgecnn.convert.training.model.networks import build_cnn
from edgecnn.convert.training.model.normalization import fuse_batch_normalization

RNG = np.random.default_rng(0)
IMAGES, LABELS = RNG.random((64, 12, 12, 1), np.float32), RNG.integers(0, 3, 64)


def network(**settings: Any) -> Any:
    keras.utils.set_random_seed(1)
    norm = keras.layers.BatchNormalization(**settings)
    return keras.Sequential([keras.layers.Input((4, 4, 3)), norm])


def trained(fuse: bool) -> Any:
    keras.utils.set_random_seed(1)
    model = build_cnn((12, 12, 1), 3, dropout=0.0, filters=(4, 4, 4))
    assert not fuse or fuse_batch_normalization(model) == 3
    model.compile(keras.optimizers.SGD(0.01), "sparse_categorical_crossentropy", jit_compile=False)
    model.fit(IMAGES, LABELS, batch_size=16, epochs=2, shuffle=False, verbose=0)
    return model


def test_it_trains_to_the_same_weights_but_for_rounding() -> None:
    plain, fused = trained(False).get_weights(), trained(True).get_weights()
    for one, other in zip(plain, fused, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-4, atol=1e-5)


def test_a_single_step_gives_keras_s_outputs_and_averages() -> None:
    plain, fused = network(epsilon=0.01, momentum=0.7), network(epsilon=0.01, momentum=0.7)
    assert fuse_batch_normalization(fused) == 1
    batch = 3 + 2 * RNG.standard_normal((2, 4, 4, 3)).astype(np.float32)  # Few values, so that n and n - 1 differ by 3 %.
    np.testing.assert_allclose(fused(batch, training=True), plain(batch, training=True), atol=1e-5)
    for one, other in zip(plain.get_weights(), fused.get_weights(), strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(fused(batch, training=False), plain(batch, training=False), atol=1e-5)


def test_a_frozen_layer_stays_as_it_is() -> None:
    model = network()
    fuse_batch_normalization(model)
    model.layers[0].trainable = False
    before = model.get_weights()
    batch = RNG.random((2, 4, 4, 3), np.float32)
    np.testing.assert_array_equal(model(batch, training=True), model(batch, training=False))
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "settings",
    [{"axis": 1}, {"scale": False}, {"center": False}, {"synchronized": True}, {"epsilon": 1e-6}, {"dtype": "mixed_bfloat16"}],
    ids=lambda settings: next(iter(settings)),
)
def test_what_the_operator_can_not_do_is_left_to_keras(settings: dict[str, Any]) -> None:
    assert fuse_batch_normalization(network(**settings)) == 0


def test_a_dense_network_s_and_a_subclass_are_left_to_keras() -> None:
    class Own(keras.layers.BatchNormalization):  # type: ignore[misc]  # Keras has no types.
        pass

    dense = keras.Sequential([keras.layers.Input((5,)), keras.layers.BatchNormalization()])
    own = keras.Sequential([keras.layers.Input((4, 4, 3)), Own()])
    assert fuse_batch_normalization(dense) == fuse_batch_normalization(own) == 0


def test_what_is_saved_is_keras_s_own(tmp_path: Path) -> None:
    model = trained(True)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert "call" not in vars(loaded.layers[1])
    np.testing.assert_array_equal(loaded(IMAGES, training=False), model(IMAGES, training=False))
