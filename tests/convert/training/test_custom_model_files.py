""".keras files to go on with: trained further, resumed, or transferred to other classes."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from edgecnn.convert.keras.runtime import load_from_bytes
from edgecnn.convert.training.config import TrainConfig
from edgecnn.convert.training.model.custom_model import compile_model, new_model, open_fitting
from edgecnn.convert.training.model.networks import NetworkName
from edgecnn.edge.data.dataset import Dataset
from edgecnn.edge.errors import ArtifactError, ConfigError
from edgecnn.edge.manifest import Manifest
from tests.convert.training.own_nets import CONFIG, MODULE, RAW, SHAPE, UNIT, opened, saved
from tests.convert.training.runs import stop_at, train

pytestmark = pytest.mark.usefixtures("module")


def test_a_keras_file_is_trained_further_with_its_optimizer(bars: Dataset) -> None:
    first = train(bars, replace(CONFIG, epochs=1, model="own_nets:own"), Path("first"), RAW)
    result = train(bars, replace(CONFIG, model="first/model.keras"), Path("out"), RAW)
    assert result.optimizer == "SGD, learning rate 0.05"
    assert result.history[0].loss < first.history[0].loss
    with pytest.raises(ArtifactError, match=r"nowhere\.keras does not exist"):
        train(bars, replace(CONFIG, model="nowhere.keras"), Path("out"), RAW)


def test_a_file_that_takes_any_size_is_fixed_to_the_images_and_keeps_its_weights_and_optimizer() -> None:
    image = keras.Input((None, None, 1))
    features = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3)(image))
    base = keras.Model(image, keras.layers.Dense(3, activation="softmax")(features))
    base.compile(keras.optimizers.SGD(0.05), loss="mse")
    model = new_model(TrainConfig(model=saved(base)), SHAPE, 3, ())
    assert model.input_shape == (None, *SHAPE)
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), base.get_weights(), strict=True))
    assert float(model.optimizer.learning_rate) == pytest.approx(0.05)


@pytest.mark.parametrize("network", ["cnn", "strided", "residual"])
def test_an_own_network_that_shall_give_logits_computes_what_is_before_its_softmax(network: NetworkName) -> None:
    config, images = TrainConfig(network=network, filters=(4, 4, 4)), np.random.default_rng(0).random((5, *SHAPE), np.float32)
    plain, logits = new_model(config, SHAPE, 3, ()), new_model(config, SHAPE, 3, (), "logits")
    logits.set_weights(plain.get_weights())
    found = np.asarray(logits(images))
    assert np.abs(found.sum(axis=1) - 1).max() > 0.01
    assert np.allclose(keras.ops.softmax(found), plain(images), atol=1e-6)


def test_a_keras_file_with_own_code_needs_trust(bars: Dataset) -> None:
    config = replace(CONFIG, model="net.keras")
    saved(opened("subclassed"), "net.keras")
    sys.modules.pop("own_nets")
    with pytest.raises(ArtifactError, match=r"net\.keras:.*not know.*class Net of.*own_nets: name"):
        train(bars, config, Path("out"), UNIT)
    train(bars, config, Path("out"), UNIT, trust=("own_nets",))
    assert Manifest.load(Path("out")).trusted == ("own_nets",)


def test_an_own_run_is_resumed_only_with_the_same_code(bars: Dataset, module: Path) -> None:
    config = replace(CONFIG, model="own_nets:subclassed")
    unbroken = train(bars, config, Path("unbroken"), UNIT)
    train(bars, replace(config, epochs=1), Path("out"), UNIT)
    resumed = train(bars, config, Path("out"), UNIT, resume=True)
    assert [epoch.loss for epoch in resumed.history] == [epoch.loss for epoch in unbroken.history]
    with pytest.raises(ConfigError, match=r"resume: out .*model=own_nets:subclassed, not own_nets:logits"):
        train(bars, replace(config, epochs=3, model="own_nets:logits"), Path("out"), UNIT, resume=True)
    module.write_text(MODULE + "\n")
    with pytest.raises(ConfigError, match=r"own_nets\.py.* has changed since"):
        train(bars, replace(config, epochs=3), Path("out"), UNIT, resume=True)
    sys.modules.pop("own_nets")
    with pytest.raises(ConfigError, match=r"resume: own_nets:subclassed has changed:.* resume"):
        train(bars, replace(config, epochs=3), Path("out"), UNIT, resume=True)


@pytest.mark.parametrize("fine_tune", [False, True])
def test_a_transfer_moves_the_base_only_when_it_is_fine_tuned(fine_tune: bool, bars: Dataset) -> None:
    base = opened("any_size")
    config = replace(CONFIG, transfer=saved(base), fine_tune=fine_tune)
    result = train(bars, config, Path("out"), UNIT)
    model = load_from_bytes(Path("out/model.keras").read_bytes(), "model.keras")
    convolution = 9 * 4 + 4
    # Frozen, a batch normalisation keeps its mean and variance too.
    unchanged = [
        all(np.array_equal(a, b) for a, b in zip(base.layers[index].get_weights(), layer.get_weights(), strict=True))
        for index, kind in ((1, "Conv2D"), (2, "BatchNormalization"))
        for layer in model._flatten_layers()
        if type(layer).__name__ == kind
    ]
    assert unchanged == [not fine_tune, True]
    assert result.trainable_parameters == (convolution if fine_tune else 0) + 4 * 3 + 3
    assert Manifest.load(Path("out")).provenance.train_config["transfer"] == "base.keras"


def test_a_transfer_is_resumed_between_and_within_its_phases(bars: Dataset) -> None:
    config = replace(CONFIG, epochs=4, transfer=saved(opened("any_size")), fine_tune=True)
    unbroken = train(bars, config, Path("unbroken"), UNIT)
    for finished in (1, 2):
        stop = stop_at(finished + 1)
        assert train(bars, config, Path("out"), UNIT, resume=finished > 1, on_batch=stop).interrupted
    with pytest.raises(ConfigError, match=r"out.*planned.* 4 epochs, not 3"):  # The phases would begin elsewhere.
        train(bars, replace(config, epochs=3), Path("out"), UNIT, resume=True)
    resumed = train(bars, config, Path("out"), UNIT, resume=True)
    assert [epoch.loss for epoch in resumed.history] == [epoch.loss for epoch in unbroken.history]
    assert len(list(Path("unbroken/logs").iterdir())) == 2


@pytest.mark.parametrize(
    "end",
    [
        [keras.layers.Flatten(), keras.layers.Dense(5, activation="softmax")],
        [keras.layers.Flatten(), keras.layers.Dense(5), keras.layers.Activation("softmax")],
        [keras.layers.Flatten(), keras.layers.Dense(5), keras.layers.Softmax()],
        [keras.layers.GlobalMaxPooling2D()],
        [keras.layers.ReLU()],
    ],
)
def test_a_transfer_replaces_what_follows_the_features(end: list[Any]) -> None:
    base = keras.Sequential([keras.Input(SHAPE), keras.layers.Conv2D(4, 3), *end])
    config = TrainConfig(transfer=saved(base))
    model = new_model(config, SHAPE, 3, ())
    open_fitting(model, config, SHAPE, 3, ())
    kept = "Flatten" if len(end) > 1 else "GlobalMaxPooling2D" if end[0].name.startswith("global") else "GlobalAveragePooling2D"
    assert [type(layer).__name__ for layer in model.layers][-2:] == [kept, "Dense"]


@pytest.mark.parametrize(
    ("base", "message"),
    [
        (
            lambda: keras.Sequential([keras.Input(SHAPE), keras.layers.Flatten(), keras.layers.ReLU()]),
            "has no Dense layer at its end",
        ),
        (
            lambda: new_model(TrainConfig(model="own_nets:subclassed"), SHAPE, 3, ()),
            "is a subclassed model, whose layers have no order",
        ),
        (
            lambda: new_model(TrainConfig(model="own_nets:grey"), (8, 8, 1), 3, ()),
            r"takes \(None, 8, 8\), but these images are \(12, 12, 1\)",
        ),
    ],
)
def test_a_base_that_has_nothing_to_transfer_is_refused(base: Any, message: str, bars: Dataset) -> None:
    config = replace(CONFIG, transfer=saved(base()))
    with pytest.raises(ConfigError, match=f"base.keras {message}"):
        train(bars, config, Path("out"), UNIT, trust=("own_nets",))


def test_a_compiled_loss_is_replaced_by_that_of_integer_labels() -> None:
    model = opened("own")
    model.compile(keras.optimizers.SGD(0.05), loss="mse")
    compile_model(model, 3, model.optimizer, "probabilities")
    assert model.loss.name == "sparse_categorical_crossentropy"
    assert float(model.optimizer.learning_rate) == pytest.approx(0.05)
