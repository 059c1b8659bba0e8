"""The settings of a training, how its epochs are shared, which epoch is kept, and when it stops early.

What the phases train: `test_backbones.py` and `test_custom_model_files.py`.
"""

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import pytest

from edgecnn.convert.training.checkpoint import is_out_of_patience, kept_epoch
from edgecnn.convert.training.config import Phase, TrainConfig, phase_at, phases_of
from edgecnn.convert.training.model.custom_model import HEAD, choose_layers
from edgecnn.convert.training.records import DecoderLost, Diverged, Epoch, OtherRun, UnusableCheckpoint
from edgecnn.edge.errors import ConfigError, EdgeCnnError

THREE = TrainConfig(epochs=3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"recipe": "fast"}, "recipe must be cosine or notebook, got fast"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"learning_rate": float("nan")}, "learning_rate must be above 0, got nan"),
        ({"dropout": 1.0}, "dropout must be at least 0 and below 1, got 1"),
        ({"filters": (32, 32)}, "filters must be three numbers, .*, got 32,32"),
        ({"filters": 8}, "filters must be .*, got 8$"),
        ({"filters": "8,8,8"}, "filters must be .*, got 8,8,8$"),
        ({"filters": (8, 0, 8)}, "filters must be at least 1, got 8,0,8"),
        ({"filters": (8, 8, 8), "model": "a:b"}, "filters applies to edgecnn's own networks, not to a:b: omit it"),
        ({"network": "separable", "model": "a:b"}, "network applies to edgecnn's own networks, not to a:b: omit it"),
        ({"network": "resnet"}, "network must be cnn, strided, separable or residual, got resnet"),
        ({"seed": -1}, "seed must be 0 to 4,294,967,295"),
        ({"patience": 0}, "patience must be at least 1, got 0"),
        ({"augment": "flip"}, "augment must be photo, photo-mirror, digit or none, got flip"),
        ({"keep": "first"}, "keep must be best or last, got first"),
        ({"class_weights": "even"}, "class_weights must be none or balanced, got even"),
        ({"model": "a:b", "transfer": "c.keras"}, "model and transfer both name a starting model: give one"),
        ({"transfer": "a:b"}, "transfer=a:b is not a .keras file: name one"),
        ({"model": "a:b", "dropout": 0.2}, "dropout applies to edgecnn.s own networks, not to a:b: omit it"),
        ({"fine_tune": True}, "fine_tune applies to a transferred model: name one with transfer"),
        ({"model": "a:b", "fine_tune": True}, "fine_tune applies to a transferred model"),
        ({"model": "a:b", "arguments": ("width",)}, "^arguments must be name=value, .*, for example width=16, got width$"),
        ({"model": "a:b", "arguments": ("=3",)}, "got =3"),
        ({"model": "a:b", "arguments": ("w=3", "w=4")}, "each name once, .* got w=3"),
        ({"arguments": ("w=3",)}, "^arguments applies to model=module:function, not to the CNN: omit it$"),
        ({"model": "a.keras", "arguments": ("w=3",)}, "not to a.keras: omit it"),
        ({"transfer": "a.keras", "arguments": ("w=3",)}, "not to a.keras: omit it"),
    ],
)
def test_a_setting_out_of_range_or_that_excludes_another_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TrainConfig(**settings)


@pytest.mark.parametrize(
    ("name", "others"), [("teacher", {}), ("model", {}), ("transfer", {}), ("weights", {"transfer": "mobilenet-0.25"})]
)
def test_a_path_is_recorded_as_text(name: str, others: dict[str, Any]) -> None:
    given: Any = {name: Path("a.keras"), **others}
    assert TrainConfig(**given) == TrainConfig(**{**given, name: "a.keras"})
    assert isinstance(getattr(TrainConfig(**given), name), str)


def epochs(*losses: float) -> list[Epoch]:
    return [Epoch(number, 0.1 * loss, 0.5, 1.0, loss, 0.5) for number, loss in enumerate(losses, start=1)]


@pytest.mark.parametrize(
    ("losses", "patience", "out"),
    [
        ((3.0, 2.0, 1.0), 1, False),
        ((3.0, 1.0, 2.0), 1, True),
        ((3.0, 1.0, 2.0), 2, False),
        ((3.0, 1.0, 2.0, 1.0), 2, True),  # The same is no improvement.
        ((1.0,), 1, False),
        ((), 1, False),
        ((1.0, 2.0, 3.0), None, False),
    ],
)
def test_patience_counts_epochs_since_the_best(losses: tuple[float, ...], patience: int | None, out: bool) -> None:
    assert is_out_of_patience(epochs(*losses), TrainConfig(epochs=9, patience=patience)) is out


@pytest.mark.parametrize(
    ("losses", "out"),
    [
        ((1.0, 2.0, 3.0), False),  # The new last layer has three of nine epochs, and may spend all of them.
        ((1.0, 2.0, 3.0, 6.0, 5.0, 4.0), False),  # Worse than the last layer alone, and better from epoch to epoch.
        ((3.0, 2.0, 1.0, 4.0, 5.0), False),
        ((3.0, 2.0, 1.0, 4.0, 5.0, 6.0), True),
    ],
)
def test_patience_counts_only_epochs_of_all_layers_of_a_transferred_model(losses: tuple[float, ...], out: bool) -> None:
    config = TrainConfig(epochs=9, transfer="mobilenetv2", fine_tune=True, patience=2)
    assert is_out_of_patience(epochs(*losses), config) is out


def test_what_is_kept_follows_from_the_history() -> None:
    found, plain = epochs(3.0, 1.0, 2.0), [Epoch(number, loss, 0.5, 1.0) for number, loss in enumerate((0.2, 0.1, 0.4), 1)]
    last, more = replace(THREE, keep="last"), replace(THREE, epochs=4)
    assert kept_epoch(THREE, found) == kept_epoch(more, found) == (2, "lowest_validation_loss")
    assert kept_epoch(THREE, plain) == (3, "last_epoch")
    assert kept_epoch(more, plain) == (2, "lowest_training_loss")  # Interrupted: an epoch is left.
    assert kept_epoch(last, found) == kept_epoch(replace(more, keep="last"), found) == (3, "last_epoch")
    # Stopped early, and interrupted while that epoch was saved: nothing is left.
    assert kept_epoch(replace(more, patience=1, keep="last"), found) == (3, "last_epoch")


def test_phases_share_the_epochs() -> None:
    assert phases_of(TrainConfig(epochs=9)) == (Phase(0, 9),)
    first, second = phases_of(TrainConfig(epochs=9, transfer="mobilenetv2", fine_tune=True))
    assert (first.start, first.end, second.start, second.end) == (0, 3, 3, 9)
    assert second.rate < first.rate
    assert phase_at(TrainConfig(epochs=9, transfer="mobilenetv2", fine_tune=True), 3) == second
    # One epoch is for the new last layer: the gradients of a random one would spoil the others.
    assert phases_of(TrainConfig(epochs=1, transfer="mobilenetv2", fine_tune=True)) == (Phase(0, 1, name=first.name),)
    assert len(phases_of(TrainConfig(epochs=2, transfer="mobilenetv2", fine_tune=True))) == 2


def test_a_single_epoch_trains_the_new_last_layer_alone() -> None:
    layers = [keras.layers.Dense(3), keras.layers.BatchNormalization(), keras.layers.Dense(2, name=HEAD)]
    model = keras.Sequential([keras.layers.Input((4,)), *layers])
    for epochs, number, trained in ((1, 0, [False, False, True]), (2, 0, [False, False, True]), (2, 1, [True, False, True])):
        config = TrainConfig(epochs=epochs, transfer="mobilenetv2", fine_tune=True)
        choose_layers(model, config, phases_of(config)[number])
        assert [layer.trainable for layer in layers] == trained


@pytest.mark.parametrize(
    "error",
    [ConfigError("a: b"), OtherRun("a", "b"), UnusableCheckpoint("a"), DecoderLost("was killed"), Diverged("loss", 3.0, 2)],
)
def test_an_error_comes_back_whole_from_another_process(error: EdgeCnnError) -> None:
    error.renamed["resume"] = "again"
    found = pickle.loads(pickle.dumps(error))
    assert (type(found), str(found), vars(found)) == (type(error), str(error), vars(error))
