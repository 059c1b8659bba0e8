"""Keras files run no code of their own, and their input is not guessed."""

import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from edgecnn.convert.keras.runtime import KerasRuntime, load_from_bytes
from edgecnn.edge.errors import ArtifactError, ConfigError
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.model.interface import SCHEMES, Interface
from edgecnn.edge.runtimes import opener_for
from edgecnn.edge.sandbox.unverified import remember_made

SHAPE = (12, 12, 1)
UNIT = Interface(SCHEMES["unit"])
IMAGES = np.random.default_rng(0).integers(0, 256, (30, *SHAPE)).astype(np.uint8)


def save(folder: Path, *layers: Any) -> Path:
    path = folder / "model.keras"
    keras.Sequential(list(layers)).save(path)
    return path


def head() -> list[Any]:
    return [keras.layers.Flatten(), keras.layers.Dense(3, activation="softmax")]


def load(path: Path, interface: Interface = UNIT) -> Classifier:
    return Classifier.load(path, interface=interface)


@pytest.fixture(params=["registered", "plain"])
def own_parts(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory with a module that defines a layer and an activation, and a model saved with them."""
    decorator = "@keras.saving.register_keras_serializable('own')" if request.param == "registered" else ""
    (tmp_path / "own_parts.py").write_text(
        f"""import keras
{decorator}
class Doubled(keras.layers.Layer):
    def call(self, x):
        return x * 2
def steep(x):
    return keras.ops.sigmoid(3 * x)
"""
    )
    monkeypatch.chdir(tmp_path)
    before = dict(keras.saving.get_custom_objects())
    sys.path.insert(0, str(tmp_path))
    import own_parts as module  # type: ignore[import-not-found]  # noqa: PLC0415 - Written a moment ago.

    save(tmp_path, keras.Input(SHAPE), module.Doubled(), keras.layers.Conv2D(2, 3, activation=module.steep), *head())
    sys.path.remove(str(tmp_path))
    forget(before)
    yield tmp_path / "model.keras"
    forget(before)


def forget(registered: dict[str, Any]) -> None:
    """Make this process one that never saw the module."""
    sys.modules.pop("own_parts", None)
    keras.saving.get_custom_objects().clear()
    keras.saving.get_custom_objects().update(registered)


def test_a_keras_file_on_the_workstation_is_loaded_as_any_other(exported: Path) -> None:
    assert Classifier.load(exported / "model.keras").runtime.name == "keras"


def test_a_file_with_code_inside_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path, keras.Input(SHAPE), keras.layers.Lambda(lambda image: image * 2), *head())
    with pytest.raises(ArtifactError, match=r"model\.keras: .*Lambda layer.*never run: .*trust=MODULE"):
        load(path)


def test_a_damaged_file_is_named_and_not_its_temporary_copy(tmp_path: Path) -> None:
    path = save(tmp_path, keras.Input(SHAPE), *head())
    whole = path.read_bytes()
    filled = whole[:100] + b"\xff" * (len(whole) - 100)
    remember_made(filled)  # The other one is tried in a child process.
    for damaged in (whole[: len(whole) // 2], filled):
        path.write_bytes(damaged)
        with pytest.raises(ArtifactError, match=rf"^{path}: .*can't load.*safe mode") as caught:
            load(path)
        assert str(caught.value).count("model.keras") == 1


def test_a_class_that_keras_does_not_know_is_named_with_its_module_whatever_else_is_trusted(own_parts: Path) -> None:
    with pytest.raises(ArtifactError, match=r"class Doubled of.* own_parts: .*trust=MODULE"):
        load(own_parts)
    assert "own_parts" not in sys.modules
    with pytest.raises(ArtifactError, match=r"class Doubled of.* own_parts,.*json lacks"):
        Classifier.load(own_parts, runtime=opener_for("keras", ("json",)), interface=UNIT)


def test_a_trusted_module_is_found_in_the_working_directory_alone(own_parts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opener = pickle.loads(pickle.dumps(opener_for("keras", ("own_parts",))))
    path = list(sys.path)
    assert Classifier.load(own_parts, runtime=opener, interface=UNIT).probabilities(IMAGES).shape == (30, 3)
    assert sys.path == path
    forget({})
    monkeypatch.chdir("/")
    with pytest.raises(ConfigError, match=r"trust=own_parts: no module.*in / .*`import"):
        Classifier.load(own_parts, runtime=opener, interface=UNIT)


def test_a_trusted_module_that_fails_is_told_from_one_that_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_broken.py").write_text("import own_nowhere")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"trust=own_broken: importing.* fails \(ModuleNotFoundError: .*'own_n"):
        load_from_bytes(b"", "model.keras", ("own_broken",))


def test_an_integer_input_gets_pixels_as_they_are_and_no_scaled_ones(tmp_path: Path) -> None:
    path = save(tmp_path, keras.Input(SHAPE, dtype="uint8"), keras.layers.Rescaling(1 / 255), *head())
    with pytest.raises(ArtifactError, match=r"uint8 without.*scale.*zero point"):
        load(path)
    raw = load(path, Interface(SCHEMES["raw"]))
    assert raw.runtime.input_spec.dtype == "uint8"
    assert np.allclose(raw.probabilities(IMAGES), keras.models.load_model(path)(IMAGES), atol=1e-6)


@pytest.mark.filterwarnings("ignore:You are saving a model that has not yet been built")  # The first case is one.
@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([keras.layers.Dense(3)], "has no input shape: call it on a batch of images before saving it"),
        ([keras.Input((20,)), keras.layers.Dense(3, activation="softmax")], "is not an image"),
        ([keras.Input(SHAPE), keras.layers.Conv2D(3, 3)], r"not \(n, classes\)"),
    ],
)
def test_what_is_no_image_classifier_is_refused(layers: list[Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=message):
        load(save(tmp_path, *layers))


def test_two_inputs_or_outputs_and_a_signature_are_refused(tmp_path: Path) -> None:
    image = keras.Input(SHAPE)
    scores = keras.layers.Dense(3)(keras.layers.Flatten()(image))
    with pytest.raises(ArtifactError, match="has 2 outputs: give"):
        KerasRuntime(keras.Model(image, [scores, scores + 1]))
    other = keras.Input(SHAPE)
    with pytest.raises(ArtifactError, match="has 2 inputs: give"):
        KerasRuntime(keras.Model([image, other], image + other))
    path = save(tmp_path, keras.Input(SHAPE), *head())
    with pytest.raises(ConfigError, match=r"model\.keras: .*no signatures: omit signature"):
        Classifier.load(path, interface=UNIT, signature="serving_default")


def test_logits_are_not_taken_for_probabilities(tmp_path: Path) -> None:
    path = save(tmp_path, keras.Input(SHAPE), keras.layers.Flatten(), keras.layers.Dense(3, bias_initializer="ones"))
    with pytest.raises(ArtifactError, match=r"not class probabilities.*end in softmax"):
        load(path).predict(np.full((2, *SHAPE), 255, np.uint8))


class Own(keras.Model):  # type: ignore[misc]  # Keras has no types.
    """A subclassed model, which does not declare its input."""

    def __init__(self, outputs: int = 3, **named: Any) -> None:
        super().__init__(**named)
        self.convolution = keras.layers.Conv2D(2, 3)
        self.flatten = keras.layers.Flatten()
        self.dense = keras.layers.Dense(outputs, activation="softmax")

    def call(self, image: Any) -> Any:
        return self.dense(self.flatten(self.convolution(image)))


class Closed(keras.Model):  # type: ignore[misc]  # Keras has no types.
    """A subclassed model as many are written: its arguments are not Keras's."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = keras.layers.Dense(3, activation="softmax")

    def call(self, images: Any) -> Any:
        return self.dense(images)


def test_a_class_that_lacks_what_keras_stores_is_said_to_need_it(tmp_path: Path) -> None:
    model = Closed()
    model(np.zeros((1, 4), np.float32))
    model.save(tmp_path / "closed.keras")
    with pytest.raises(ArtifactError, match=r"Closed does not take \w+, .*\*\*kwargs"):
        load_from_bytes((tmp_path / "closed.keras").read_bytes(), "closed.keras", (__name__,))


def test_a_subclassed_model_takes_what_it_was_called_with_in_batches_of_any_size() -> None:
    model = Own()
    with pytest.raises(ArtifactError, match="no input shape: call it"):
        KerasRuntime(model)
    model(np.zeros((4, *SHAPE), np.float32))
    runtime = KerasRuntime(model)
    assert (runtime.input_spec.shape, runtime.input_spec.dtype) == ((None, *SHAPE), "float32")
    assert runtime.output_spec.shape == (None, 3)
    inputs = IMAGES.astype(np.float32)
    assert np.allclose(runtime.run(inputs[:7]), model(inputs[:7]), atol=1e-6)


def test_a_batch_is_fixed_only_where_the_model_needs_it() -> None:
    image = keras.Input(SHAPE, batch_size=4)
    dense = keras.layers.Dense(3, activation="softmax")
    assert KerasRuntime(keras.Model(image, dense(keras.layers.Flatten()(image)))).input_spec.shape == (None, *SHAPE)
    needed = keras.Model(image, dense(keras.ops.reshape(image, (4, 144))))
    assert KerasRuntime(needed).input_spec.shape == (4, *SHAPE)
    assert KerasRuntime(needed).run(np.zeros((4, *SHAPE), np.float32)).shape == (4, 3)


def test_a_model_without_a_batch_keeps_its_shape() -> None:
    image = keras.Input(batch_shape=SHAPE)
    model = keras.Model(image, keras.ops.squeeze(keras.layers.Dense(3)(keras.ops.reshape(image, (1, 144))), 0))
    runtime = KerasRuntime(model)
    assert (runtime.input_spec.shape, runtime.output_spec.shape) == (SHAPE, (3,))


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float16"])
def test_mixed_precision_is_for_training_and_the_results_are_float32(policy: str, tmp_path: Path) -> None:
    keras.config.set_dtype_policy(policy)
    try:
        path = save(tmp_path, keras.Input(SHAPE), keras.layers.Conv2D(4, 3), keras.layers.BatchNormalization(), *head())
    finally:
        keras.config.set_dtype_policy("float32")
    classifier = load(path)
    found = classifier.probabilities(IMAGES)
    assert classifier.runtime.output_spec.dtype == "float32"
    model = keras.models.load_model(path)
    wide = keras.Sequential([keras.Input(SHAPE), keras.layers.Conv2D(4, 3), keras.layers.BatchNormalization(), *head()])
    wide.set_weights(model.get_weights())
    expected = np.asarray(wide(IMAGES.astype(np.float32) / 255, training=False))
    assert np.allclose(found, expected, atol=1e-6 if policy.startswith("mixed") else 1e-2)
    if policy.startswith("mixed"):
        narrow = np.asarray(keras.ops.cast(model(IMAGES.astype(np.float32) / 255, training=False), "float32"))
        assert np.abs(narrow - expected).max() > 1e-6


@pytest.mark.parametrize(
    "ending",
    [
        [keras.layers.Dense(3, activation="softmax")],
        [keras.layers.Dense(3), keras.layers.Softmax()],
        [keras.layers.Dense(3, activation="softmax"), keras.layers.Reshape((3,))],
        [keras.layers.Dense(1, activation="sigmoid")],
    ],
)
def test_a_model_that_ends_in_softmax_or_sigmoid_gives_no_logits(ending: list[Any], tmp_path: Path) -> None:
    path = save(tmp_path, keras.Input(SHAPE), keras.layers.Flatten(), *ending)
    with pytest.raises(ArtifactError, match=r"already probabilities.*in S\w+\): omit logits"):
        load(path, Interface(SCHEMES["unit"], "logits"))


@pytest.mark.parametrize("activation", [None, "swish", "log_softmax"])
def test_a_model_that_ends_before_its_softmax_gives_logits(activation: str | None, tmp_path: Path) -> None:
    path = save(tmp_path, keras.Input(SHAPE), keras.layers.Flatten(), keras.layers.Dense(3, activation=activation))
    assert load(path, Interface(SCHEMES["unit"], "logits")).predict(IMAGES[:1]).probabilities.shape == (1, 3)
