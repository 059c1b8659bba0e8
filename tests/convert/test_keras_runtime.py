"""Keras files run no code of their own, and what they take is not guessed."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from convert.keras_runtime import OPENER
from edge.classifier import Classifier
from edge.errors import ArtifactError

SHAPE = (12, 12, 1)


def save(folder: Path, *layers: Any) -> Path:
    path = folder / "model.keras"
    keras.Sequential(list(layers)).save(path)
    return path


def head() -> list[Any]:
    return [keras.layers.Flatten(), keras.layers.Dense(3, activation="softmax")]


def test_a_file_with_code_inside_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path, keras.Input(SHAPE), keras.layers.Lambda(lambda image: image * 2), *head())
    with pytest.raises(ArtifactError, match=r"model\.keras: .*can't load it in safe mode"):
        Classifier.load(path, opener=OPENER)


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: data[:100] + b"\xff" * (len(data) - 100)])
def test_a_damaged_file_is_named_and_not_its_temporary_copy(damage: Any, tmp_path: Path) -> None:
    path = save(tmp_path, keras.Input(SHAPE), *head())
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ArtifactError) as caught:
        Classifier.load(path, opener=OPENER)
    assert str(caught.value).startswith(f"{path}: the .keras file: Keras can't load it in safe mode")
    assert str(caught.value).count("model.keras") == 1


def test_an_integer_input_is_not_fed_scaled_pixels(tmp_path: Path) -> None:
    path = save(tmp_path, keras.Input(SHAPE, dtype="uint8"), keras.layers.Rescaling(1 / 255), *head())
    with pytest.raises(ArtifactError, match="is uint8 without one scale and zero point"):
        Classifier.load(path, opener=OPENER)


@pytest.mark.filterwarnings("ignore:You are saving a model that has not yet been built")  # The first case is one.
@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([keras.layers.Dense(3)], "has 0 inputs and 0 outputs"),
        ([keras.Input((20,)), keras.layers.Dense(3, activation="softmax")], "is not an image"),
        ([keras.Input(SHAPE), keras.layers.Conv2D(3, 3)], r"not \(n, classes\)"),
        ([keras.Input(SHAPE, batch_size=4), *head()], "takes 4 images at a time"),
    ],
)
def test_what_is_no_image_classifier_is_refused(layers: list[Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=message):
        Classifier.load(save(tmp_path, *layers), opener=OPENER)


def test_logits_are_not_taken_for_probabilities(tmp_path: Path) -> None:
    path = save(tmp_path, keras.Input(SHAPE), keras.layers.Flatten(), keras.layers.Dense(3, bias_initializer="ones"))
    classifier = Classifier.load(path, opener=OPENER)
    with pytest.raises(ArtifactError, match="is not class probabilities: the model must end in softmax"):
        classifier.predict(np.full((2, *SHAPE), 255, np.uint8))
