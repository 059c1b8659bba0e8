"""Models of one's own: found, checked before an hour of training, and trained with what they bring."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from convert.dataset import load_dataset
from convert.keras_runtime import load_from_bytes
from convert.own_model import compile_model, needed_modules, new_model, open_fitting, resolved
from convert.train import train
from convert.train_records import TrainConfig
from edge.errors import ArtifactError, ConfigError
from edge.interface import SCHEMES
from edge.manifest import Manifest
from edge.splits import ArraySplit

SHAPE = (12, 12, 1)
UNIT, RAW = SCHEMES["unit"], SCHEMES["raw"]
CONFIG = TrainConfig(epochs=2, recipe="notebook", batch_size=32, augment=False, learning_rate=0.003)

MODULE = """
import keras
from keras import layers

def own(shape, classes):
    model = keras.Sequential([layers.Rescaling(1 / 255), layers.Flatten(), layers.Dense(classes, activation="softmax")])
    model.compile(keras.optimizers.SGD(0.05))
    return model

def logits(shape, classes):
    return keras.Sequential([keras.Input(shape), layers.Flatten(), layers.Dense(classes)])

def binary(shape, classes):
    return keras.Sequential([keras.Input(shape), layers.Flatten(), layers.Dense(1, activation="sigmoid")])

def grey(shape, classes):
    return keras.Sequential([keras.Input(shape[:2]), layers.Flatten(), layers.Dense(classes, activation="softmax")])

def any_size(shape, classes):
    image = keras.Input((None, None, shape[2]))
    features = layers.GlobalAveragePooling2D()(layers.BatchNormalization()(layers.Conv2D(4, 3)(image)))
    model = keras.Model(image, layers.Dense(classes, activation="softmax")(features))
    model.compile(keras.optimizers.SGD(0.05))
    return model

class Net(keras.Model):
    def __init__(self, classes, **named):
        super().__init__(**named)
        self.classes = classes
        self.flatten = layers.Flatten()
        self.dense = layers.Dense(classes, activation="softmax")

    def call(self, image):
        return self.dense(self.flatten(image))

    def get_config(self):
        return {**super().get_config(), "classes": self.classes}

def subclassed(shape, classes):
    return Net(classes)

class Mute(keras.Model):
    def __init__(self, thing):
        super().__init__()
        self.flatten = layers.Flatten()
        self.dense = layers.Dense(3, activation="softmax")

    def call(self, image):
        return self.dense(self.flatten(image))

def mute(shape, classes):
    return Mute(object())

def inside(shape, classes):
    class Hidden(Net):
        pass
    return Hidden(classes)

def one_too_many(shape, classes):
    return logits(shape, classes + 1)

def other_size(shape, classes):
    return logits((8, 8, 1), classes)

def fixed(shape, classes):
    image = keras.Input(shape, batch_size=4)
    return keras.Model(image, layers.Dense(classes)(keras.ops.reshape(image, (4, 144))))

def two(shape, classes):
    image = keras.Input(shape)
    return keras.Model(image, [layers.Flatten()(image), layers.Flatten()(image)])

def number(shape, classes):
    return 3

def shape_alone(shape):
    return None

def fails(shape, classes):
    raise RuntimeError("no such\\nlayer")

not_a_function = 3
"""


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory with `own_nets.py`."""
    (tmp_path / "own_nets.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    sys.modules.pop("own_nets", None)
    yield tmp_path / "own_nets.py"
    sys.modules.pop("own_nets", None)


def opened(name: str, **settings: Any) -> Any:
    config = TrainConfig(model=f"own_nets:{name}", **settings)
    model = new_model(config, SHAPE, 3, ())
    open_fitting(model, config, SHAPE, 3, ("own_nets",))
    return model


def saved(model: Any, name: str = "base.keras") -> str:
    model.save(name)
    return name


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ("own_nets", "--model own_nets is neither module:function, as my_module:build, nor a .keras file: name one"),
        ("own_nets:", "--model own_nets: is neither"),
        ("nowhere.nets:own", "--model nowhere.nets:own: no module nowhere.nets in .* or on Python's path"),
        ("own_nets:nothing", "--model own_nets:nothing: own_nets has no function nothing: write one of"),
        ("own_nets:not_a_function", "own_nets has no function not_a_function"),
        ("own_nets:number", "--model own_nets:number returns int, not a keras.Model: return the model"),
        ("own_nets:shape_alone", r"fails for images of \(12, 12, 1\) and 3 classes \(TypeError: shape_alone"),
        ("own_nets:fails", r"--model own_nets:fails fails for .* \(RuntimeError: no such layer\): mend it"),
        ("own_nets:one_too_many", r"one_too_many gives \(None, 4\), the images have 3 classes: end it in Dense\(3\)"),
        ("own_nets:other_size", r"other_size takes \(None, 8, 8, 1\), these images are \(12, 12, 1\): name others"),
        ("own_nets:fixed", "fixed takes .4, 12, 12, 1., and training takes batches of any size: build it with a free batch"),
        ("own_nets:binary", r"binary gives \(None, 1\), the images have 3 classes"),
    ],
)
def test_a_model_that_does_not_come_or_does_not_fit_is_refused(named: str, message: str, idx_folder: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        train(load_dataset(idx_folder), replace(CONFIG, model=named), Path("out"), UNIT)
    assert not list(Path("out").glob("**/*.keras"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "a:b", "transfer": "c.keras"}, "--model and --transfer both name what to start from: give one"),
        ({"transfer": "a:b"}, "--transfer a:b is not a .keras file: name one"),
        ({"model": "a:b", "dropout": 0.2}, "--dropout is of edgecnn.s own CNN, not of a:b: leave it away"),
        ({"fine_tune": True}, "--fine-tune is for a transferred model: name one with --transfer"),
        ({"model": "a:b", "fine_tune": True}, "--fine-tune is for a transferred model"),
    ],
)
def test_settings_that_exclude_each_other_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TrainConfig(**settings)


def test_a_model_that_can_not_be_saved_is_refused_before_it_is_trained(idx_folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"^--model own_nets:mute can't be saved \(.*\): give its classes a get_config\(\)$"):
        train(load_dataset(idx_folder), replace(CONFIG, model="own_nets:mute"), Path("out"), UNIT)


def test_two_outputs_are_refused_by_name() -> None:
    with pytest.raises(ArtifactError, match="--model own_nets:two: the Keras model has 2 outputs"):
        opened("two")


def test_a_model_that_could_not_be_loaded_again_is_refused_before_it_is_trained(idx_folder: Path) -> None:
    with pytest.raises(ArtifactError, match="--model own_nets:inside: Keras does not know its class Hidden of module own_nets"):
        train(load_dataset(idx_folder), replace(CONFIG, model="own_nets:inside"), Path("out"), UNIT)
    assert not list(Path("out").glob("**/*.keras"))


@pytest.mark.parametrize(
    ("name", "output", "message"),
    [
        ("logits", "probabilities", "own_nets:logits: output .* is not class probabilities, .* say --logits if it ends before"),
        ("grey", "logits", "own_nets:grey: output .* is probabilities already, each row sums to 1: leave --logits away"),
    ],
)
def test_what_the_outputs_are_is_seen_before_training(name: str, output: str, message: str, idx_folder: Path) -> None:
    with pytest.raises(ArtifactError, match=message):
        train(load_dataset(idx_folder), replace(CONFIG, model=f"own_nets:{name}"), Path("out"), UNIT, output)
    assert not list(Path("out").glob("**/*.keras"))


@pytest.mark.parametrize(
    ("name", "output", "optimizer", "trusted"),
    [
        ("own", "probabilities", "SGD, learning rate 0.05", ()),
        ("logits", "logits", "Adam, learning rate 0.003", ()),
        ("grey", "probabilities", "Adam, learning rate 0.003", ()),
        ("any_size", "probabilities", "SGD, learning rate 0.05", ()),
        ("subclassed", "probabilities", "Adam, learning rate 0.003", ("own_nets",)),
    ],
)
def test_an_own_model_is_trained_and_recorded(
    name: str, output: str, optimizer: str, trusted: tuple[str, ...], idx_folder: Path
) -> None:
    said: list[str] = []
    config = replace(CONFIG, model=f"own_nets:{name}")
    preprocessing = RAW if name == "own" else UNIT
    result = train(load_dataset(idx_folder), config, Path("out"), preprocessing, output, on_text=said.append)
    own = ", as the model was compiled; the loss is the labels' cross-entropy" if optimizer.startswith("SGD") else ""
    assert f"Optimizer: {optimizer}{own}" in said
    assert result.optimizer == optimizer
    assert result.history[1].loss != result.history[0].loss
    manifest = Manifest.load(Path("out"))
    assert (manifest.output, manifest.trusted, manifest.preprocessing) == (output, trusted, preprocessing)
    settings = manifest.provenance.train_config
    assert settings["model"] == f"own_nets:{name}"
    assert settings["source_sha256"] == resolved(config).source_sha256
    assert "dropout" not in settings
    assert manifest.keras_model().input.shape == ((None, 12, 12) if name == "grey" else (None, *SHAPE))


def test_logits_and_their_probabilities_have_the_same_loss(idx_folder: Path) -> None:
    dataset = load_dataset(idx_folder)
    losses = [
        train(dataset, replace(CONFIG, model=f"own_nets:{name}"), Path(name), UNIT, output).history[-1].loss
        for name, output in (("grey", "probabilities"), ("logits", "logits"))
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_one_output_is_the_probability_of_the_second_of_two_classes(idx_folder: Path) -> None:
    bars = load_dataset(idx_folder)
    parts = [ArraySplit(part.images(range(len(part.labels))), part.labels.clip(max=1)) for part in (bars.train, bars.test)]
    dataset = replace(bars, class_names=("first", "other"), train=parts[0], test=parts[1])
    result = train(dataset, replace(CONFIG, epochs=8, model="own_nets:binary"), Path("out"), UNIT)
    assert result.test_accuracy > 0.9  # Always the more frequent one: 0.67.
    assert result.history[-1].accuracy > 0.9


def test_a_keras_file_is_trained_further_with_its_optimizer(idx_folder: Path) -> None:
    dataset = load_dataset(idx_folder)
    first = train(dataset, replace(CONFIG, epochs=1, model="own_nets:own"), Path("first"), RAW)
    result = train(dataset, replace(CONFIG, model="first/model.keras"), Path("out"), RAW)
    assert result.optimizer == "SGD, learning rate 0.05"
    assert result.history[0].loss < first.history[0].loss
    with pytest.raises(ArtifactError, match=r"nowhere\.keras does not exist"):
        train(dataset, replace(CONFIG, model="nowhere.keras"), Path("out"), RAW)


def test_a_file_that_takes_any_size_is_fixed_to_the_images_and_keeps_its_weights_and_optimizer() -> None:
    image = keras.Input((None, None, 1))
    features = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3)(image))
    base = keras.Model(image, keras.layers.Dense(3, activation="softmax")(features))
    base.compile(keras.optimizers.SGD(0.05), loss="mse")
    model = new_model(TrainConfig(model=saved(base)), SHAPE, 3, ())
    assert model.input_shape == (None, *SHAPE)
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), base.get_weights(), strict=True))
    assert float(model.optimizer.learning_rate) == pytest.approx(0.05)


def test_a_keras_file_with_own_code_needs_trust(idx_folder: Path) -> None:
    dataset, config = load_dataset(idx_folder), replace(CONFIG, model="net.keras")
    saved(opened("subclassed"), "net.keras")
    sys.modules.pop("own_nets")
    with pytest.raises(
        ArtifactError, match=r"net\.keras: Keras does not know its class Net of module own_nets: name the module"
    ):
        train(dataset, config, Path("out"), UNIT)
    train(dataset, config, Path("out"), UNIT, trust=("own_nets",))
    assert Manifest.load(Path("out")).trusted == ("own_nets",)


def test_an_own_run_is_resumed_only_with_the_same_code(idx_folder: Path, module: Path) -> None:
    dataset, config = load_dataset(idx_folder), replace(CONFIG, model="own_nets:subclassed")
    unbroken = train(dataset, config, Path("unbroken"), UNIT)
    train(dataset, replace(config, epochs=1), Path("out"), UNIT)
    resumed = train(dataset, config, Path("out"), UNIT, resume=True)
    assert [epoch.loss for epoch in resumed.history] == [epoch.loss for epoch in unbroken.history]
    with pytest.raises(ConfigError, match="--resume: out was trained with --model own_nets:subclassed, not own_nets:logits"):
        train(dataset, replace(config, epochs=3, model="own_nets:logits"), Path("out"), UNIT, resume=True)
    module.write_text(MODULE + "\n")
    with pytest.raises(ConfigError, match="--resume: own_nets:subclassed has changed: train without --resume"):
        train(dataset, replace(config, epochs=3), Path("out"), UNIT, resume=True)


@pytest.mark.parametrize("fine_tune", [False, True])
def test_a_transfer_moves_the_base_only_when_it_is_fine_tuned(fine_tune: bool, idx_folder: Path) -> None:
    base = opened("any_size")
    config = replace(CONFIG, transfer=saved(base), fine_tune=fine_tune)
    result = train(load_dataset(idx_folder), config, Path("out"), UNIT)
    model = load_from_bytes(Path("out/model.keras").read_bytes(), "model.keras")
    convolution = 9 * 4 + 4
    # Frozen, a batch normalisation keeps its mean and variance too.
    unchanged = [
        all(np.array_equal(a, b) for a, b in zip(base.layers[index].get_weights(), layer.get_weights(), strict=True))
        for index, kind in ((1, "Conv2D"), (2, "BatchNormalization"))
        for layer in model._flatten_layers()
        if type(layer).__name__ == kind
    ]
    assert unchanged == [not fine_tune] * 2
    assert result.trainable_parameters == (convolution + 8 if fine_tune else 0) + 4 * 3 + 3
    assert Manifest.load(Path("out")).provenance.train_config["transfer"] == "base.keras"


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
            r"takes \(None, 8, 8\), these images are \(12, 12, 1\)",
        ),
    ],
)
def test_a_base_that_has_nothing_to_transfer_is_refused(base: Any, message: str, idx_folder: Path) -> None:
    config = replace(CONFIG, transfer=saved(base()))
    with pytest.raises(ConfigError, match=f"--transfer base.keras {message}"):
        train(load_dataset(idx_folder), config, Path("out"), UNIT, trust=("own_nets",))


def test_a_compiled_loss_is_replaced_by_that_of_integer_labels() -> None:
    model = opened("own")
    model.compile(keras.optimizers.SGD(0.05), loss="mse")
    compile_model(model, 3, model.optimizer, "probabilities")
    assert model.loss.name == "sparse_categorical_crossentropy"
    assert float(model.optimizer.learning_rate) == pytest.approx(0.05)


def test_only_classes_and_functions_of_ones_own_need_a_module() -> None:
    image = keras.Input(SHAPE)
    flat = keras.layers.Flatten()(image)
    # An operation of Keras is stored like a class of one's own.
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
