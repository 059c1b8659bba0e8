"""MediaPipe's ImageClassifier answers as edgecnn does, or refuses the file: make mediapipe."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import edgecnn as ec
from edgecnn.convert.integrations.rpicam_apps import colour_weights, scaled
from edgecnn.edge.model.interface import SCHEMES
from tests.convert.integrations.test_rpicam_apps import CLASSES, coloured

PYTHON = os.environ.get("MEDIAPIPE_PYTHON")
NAMES = ("red", "green", "blue", "white")
pytestmark = pytest.mark.skipif(not PYTHON, reason="MediaPipe brings OpenCV, 650 MB: make mediapipe has an environment for it")
PROGRAM = """
import json, sys
import numpy as np, mediapipe as mp
from mediapipe.tasks.python import BaseOptions, vision
names, found = json.loads(sys.argv[3]), []
try:
    base = BaseOptions(model_asset_path=sys.argv[1])
    classifier = vision.ImageClassifier.create_from_options(vision.ImageClassifierOptions(base_options=base))
except (RuntimeError, ValueError) as error:
    print(json.dumps(str(error)))
    sys.exit()
for image in np.load(sys.argv[2]):
    (answer,) = classifier.classify(mp.Image(image_format=mp.ImageFormat.SRGB, data=image)).classifications
    scores = {one.category_name: one.score for one in answer.categories}
    found.append([scores.get(name, 0) for name in names])
classifier.close()
print(json.dumps(found))
"""


@pytest.fixture(scope="module", params=["unit", "tf", "torch", "caffe"])
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path, Any]:
    """The name of a preprocessing, a folder exported with uint8 files, and its test images."""
    scheme, folder = request.param, tmp_path_factory.mktemp("rgb")
    keras.utils.set_random_seed(1)
    layers = keras.layers
    body = [layers.Conv2D(8, 3, strides=2, activation="relu"), layers.GlobalAveragePooling2D()]
    model = keras.Sequential([keras.Input((64, 64, 3)), *body, layers.Dense(CLASSES, activation="softmax")])
    (images, labels), test = coloured(160, (64, 64, 3), 0), coloured(40, (64, 64, 3), 1)
    np.savez(folder / "set.npz", x_train=images, y_train=labels, x_test=test[0], y_test=test[1])
    kernel, bias = colour_weights(SCHEMES[scheme], 3)
    model.compile(keras.optimizers.Adam(0.02), "sparse_categorical_crossentropy")
    model.fit((images @ kernel[0, 0] + bias).astype(np.float32), labels, batch_size=16, epochs=2, verbose=0)
    model.save(folder / "own.keras")
    ec.export(
        folder / "own.keras", folder / "set.npz", formats=["tflite"], precisions=["int8", "float16", "dynamic"], io="uint8",
        targets=["rpicam-apps"], interface=ec.Interface(SCHEMES[scheme], class_names=NAMES), out=folder / "out",
    )  # fmt: skip
    return scheme, folder / "out", test[0]


def mediapipe(model: Path, images: Any, scratch: Path) -> Any:
    """Return MediaPipe's scores of the images (n, classes), or its error."""
    np.save(scratch / "images.npy", images)
    command = [str(PYTHON), "-c", PROGRAM, str(model), str(scratch / "images.npy"), json.dumps(NAMES)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    return found if isinstance(found, str) else np.array(found)


@pytest.mark.parametrize("name", ["float32", "float16", "dynamic", "int8"])
def test_it_answers_as_edgecnn_does_or_refuses_the_file(name: str, trained: tuple[str, Path, Any], tmp_path: Path) -> None:
    scheme, folder, images = trained
    found = mediapipe(folder / f"{name}.tflite", images, tmp_path)
    if scheme == "caffe":
        assert "Only RGB color space" in found  # Blue first.
    elif scheme == "torch" and name != "int8":
        assert "Per-channel image normalization is not" in found
    elif isinstance(found, str):
        assert name == "int8"
        assert "Only RGB color space" in found  # Its bytes are not pixels.
    else:
        ours = ec.Classifier.load(folder / f"{name}.tflite").predict(images).probabilities
        assert np.abs(found - ours).max() < (0.01 if name == "int8" else 1e-6)
        assert np.ptp(ours) > 0.5


def test_a_file_with_a_front_is_taken_whatever_the_preprocessing(trained: tuple[str, Path, Any], tmp_path: Path) -> None:
    _, folder, images = trained
    found = mediapipe(folder / "rpicam-apps.tflite", scaled(images), tmp_path)
    keras_answers = np.load(folder / "reference.npy").argmax(axis=1)
    assert (found.argmax(axis=1) == keras_answers).mean() >= 0.95
