"""Users' own models: found, checked before an hour of training, and trained with their own settings."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from edgecnn.convert.training.model.custom_model import needed_modules, resolved
from edgecnn.edge.data.dataset import Dataset
from edgecnn.edge.data.splits import ArraySplit
from edgecnn.edge.errors import ArtifactError, ConfigError
from edgecnn.edge.manifest import Manifest, Output
from tests.convert.training.own_nets import CONFIG, RAW, SHAPE, UNIT, opened
from tests.convert.training.runs import train

pytestmark = pytest.mark.usefixtures("module")


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ("own_nets", "model=own_nets is neither module:function, .*, nor a .keras file: name one"),
        ("own_nets:", "model=own_nets: is neither"),
        ("nowhere.nets:own", "model=nowhere.nets:own: no module nowhere.nets in .* or on Python's path"),
        ("own_nets:nothing", "model=own_nets:nothing: own_nets has no function nothing: write one"),
        ("own_nets:not_a_function", "own_nets has no function not_a_function"),
        ("own_nets:number", "model=own_nets:number returns int, not a keras.Model: return the model"),
        ("own_nets:shape_alone", r"fails for images of \(12, 12, 1\) and 3 classes \(TypeError: shape_alone"),
        ("own_nets:fails", r"model=own_nets:fails fails for .* \(RuntimeError: no such layer\): fix it"),
        ("own_nets:one_too_many", r"one_too_many gives \(None, 4\), but the images have 3 classes: end it in Dense\(3\)"),
        ("own_nets:other_size", r"other_size takes \(None, 8, 8, 1\), but these images are \(12, 12, 1\): name others"),
        ("own_nets:fixed", "fixed takes .4, 12, 12, 1., but training uses batches of any size: build it with a free batch"),
        ("own_nets:binary", r"binary gives \(None, 1\), but the images have 3 classes"),
    ],
)
def test_a_model_that_does_not_come_or_does_not_fit_is_refused(named: str, message: str, bars: Dataset) -> None:
    with pytest.raises(ConfigError, match=message):
        train(bars, replace(CONFIG, model=named), Path("out"), UNIT)
    assert not list(Path("out").glob("**/*.keras"))


def test_a_model_that_can_not_be_saved_or_loaded_again_is_refused_before_it_is_trained(bars: Dataset) -> None:
    with pytest.raises(ConfigError, match=r"^own_nets:mute can't be saved .*get_config\(\)$"):
        train(bars, replace(CONFIG, model="own_nets:mute"), Path("out"), UNIT)
    with pytest.raises(ArtifactError, match=r"^own_nets:inside:.*not know.*class Hidden of.*own_nets"):
        train(bars, replace(CONFIG, model="own_nets:inside"), Path("out"), UNIT)
    assert not list(Path("out").glob("**/*.keras"))


def test_two_outputs_are_refused_by_name() -> None:
    with pytest.raises(ArtifactError, match=r"^own_nets:two: .*has 2 outputs"):
        opened("two")


@pytest.mark.parametrize(
    ("name", "output", "message"),
    [
        ("logits", "probabilities", "own_nets:logits: output .* is not class probabilities, .* use logits if it ends before"),
        ("grey", "logits", "own_nets:grey: output .* is already probabilities .*: omit logits"),
    ],
)
def test_what_the_outputs_are_is_seen_before_training(name: str, output: Output, message: str, bars: Dataset) -> None:
    with pytest.raises(ArtifactError, match=message):
        train(bars, replace(CONFIG, model=f"own_nets:{name}"), Path("out"), UNIT, output)
    assert not list(Path("out").glob("**/*.keras"))


OWN: dict[str, tuple[Output, str, tuple[str, ...]]] = {
    "own": ("probabilities", "SGD, learning rate 0.05", ()),
    "logits": ("logits", "Adam, learning rate 0.003", ()),
    "grey": ("probabilities", "Adam, learning rate 0.003", ()),
    "any_size": ("probabilities", "SGD, learning rate 0.05", ()),
    "subclassed": ("probabilities", "Adam, learning rate 0.003", ("own_nets",)),
}


def test_own_models_are_trained_and_recorded(bars: Dataset) -> None:
    results = {}
    for name, (output, optimizer, trusted) in OWN.items():
        said: list[str] = []
        config = replace(CONFIG, model=f"own_nets:{name}")
        preprocessing = RAW if name == "own" else UNIT
        result = train(bars, config, Path(name), preprocessing, output, on_text=said.append)
        own = ", as compiled with the model; the loss is the labels' cross-entropy" if optimizer.startswith("SGD") else ""
        assert f"Optimizer: {optimizer}{own}" in said
        assert result.optimizer == optimizer
        assert result.history[1].loss != result.history[0].loss
        manifest = Manifest.load(Path(name))
        assert (manifest.output, manifest.trusted, manifest.preprocessing) == (output, trusted, preprocessing)
        settings = manifest.provenance.train_config
        assert settings["model"] == f"own_nets:{name}"
        assert settings["source_sha256"] == resolved(config, bars.train).source_sha256
        assert "dropout" not in settings
        assert manifest.source().input.shape == ((None, 12, 12) if name == "grey" else (None, *SHAPE))
        results[name] = result
    # Logits and the probabilities of the same network have the same loss.
    assert results["logits"].history[-1].loss == pytest.approx(results["grey"].history[-1].loss, rel=1e-4)


def test_a_model_that_edgecnn_trained_learns_on_with_a_rate_of_its_own(bars: Dataset) -> None:
    first = replace(CONFIG, model="own_nets:any_size", recipe="cosine")
    train(bars, replace(first, model=None, network="strided", filters=(2, 2, 2)), Path("first"), UNIT)
    train(bars, replace(first, model="first/model.keras"), Path("again"), UNIT)
    before, after = (keras.models.load_model(f"{name}/model.keras").trainable_variables for name in ("first", "again"))
    assert all(np.abs(old.numpy() - new.numpy()).max() > 1e-4 for old, new in zip(before, after, strict=True))


@pytest.mark.parametrize(("name", "message"), [("frozen", "no weight of it is trainable"), ("ended", "ended at 0")])
def test_a_model_that_can_learn_nothing_is_refused(name: str, message: str, bars: Dataset) -> None:
    with pytest.raises(ConfigError, match=f"own_nets:{name}: .*{message}"):
        train(bars, replace(CONFIG, model=f"own_nets:{name}"), Path("out"), UNIT, "logits")


def test_one_output_is_the_probability_of_the_second_of_two_classes(bars: Dataset) -> None:
    parts = [ArraySplit(part.images(range(len(part.labels))), part.labels.clip(max=1)) for part in (bars.train, bars.test)]
    dataset = replace(bars, class_names=("first", "other"), train=parts[0], test=parts[1])
    result = train(dataset, replace(CONFIG, epochs=8, model="own_nets:binary"), Path("out"), UNIT)
    assert result.test_accuracy > 0.9  # Always guessing the more frequent class gives 0.67.
    assert result.history[-1].accuracy > 0.9


def test_only_classes_and_functions_of_ones_own_need_a_module() -> None:
    image = keras.Input(SHAPE)
    flat = keras.layers.Flatten()(image)
    # A Keras operation is stored like a user's class.
    keras.Model(image, keras.layers.Dense(3, activation="softmax")(flat + keras.ops.relu(flat))).save("plain.keras")
    assert needed_modules(Path("plain.keras").read_bytes(), ("own_nets",)) == ()

    def steep(x: Any) -> Any:
        return keras.ops.sigmoid(3 * x)

    keras.Sequential([keras.Input(SHAPE), keras.layers.Conv2D(3, 3, activation=steep)]).save("own.keras")
    assert needed_modules(Path("own.keras").read_bytes(), ("own_nets",)) == ("own_nets",)
    assert needed_modules(Path("own.keras").read_bytes(), ()) == ()


def test_a_module_that_is_called_like_keras_is_not_keras(monkeypatch: pytest.MonkeyPatch) -> None:
    def steep(x: Any) -> Any:
        return keras.ops.sigmoid(3 * x)

    monkeypatch.setattr(steep, "__module__", "keras_of_mine")
    keras.Sequential([keras.Input(SHAPE), keras.layers.Conv2D(3, 3, activation=steep)]).save("own.keras")
    assert needed_modules(Path("own.keras").read_bytes(), ("keras_of_mine",)) == ("keras_of_mine",)
