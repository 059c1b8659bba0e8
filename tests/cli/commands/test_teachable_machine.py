"""What Teachable Machine exports is taken as it comes out of its .zip file."""

import shutil
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from edgecnn.convert.export import source
from edgecnn.convert.keras import runtime
from edgecnn.edge.manifest import Manifest
from edgecnn.edge.sandbox.unverified import remember_made

KEPT = Path(__file__).parents[2] / "kept" / "keras2"


@pytest.fixture
def photos(monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with pictures of two classes, in a folder with what Teachable Machine exports."""
    rng = np.random.default_rng(0)
    for name, colour in (("cat", 0), ("white dog", 2)):
        folder = Path("photos", name)
        folder.mkdir(parents=True)
        for number in range(10):
            pixels = rng.integers(0, 100, (40, 60, 3), np.uint8)
            pixels[..., colour] += 150
            Image.fromarray(pixels).save(folder / f"{number}.png")
    shutil.copy(KEPT / "keras_model.h5", ".")
    # It is read and tried in this process: tests of strangers' files have the others, which import TensorFlow each time.
    remember_made(Path("keras_model.h5").read_bytes())
    for module in (source, runtime):
        monkeypatch.setattr(module, "run_in_child", lambda call, *named: call())
    Path("labels.txt").write_text("0 cat\n1 white dog\n")
    with zipfile.ZipFile("converted_keras.zip", "w") as archive:
        archive.write("keras_model.h5")
        archive.write("labels.txt")
    return Path("photos")


def test_its_keras_model_is_exported_with_its_labels(photos: Path, terminal: Any) -> None:
    given = "--labels", "labels.txt", "--data", photos, "--format", "tflite", "--quantize", "float32"
    terminal.passes("export", "keras_model.h5", *given)
    assert "pixels go in as 0.00784314 * pixel - 1, crop, as its layers say" in " ".join(terminal.err.split())
    manifest = Manifest.load(Path("artifacts/keras_model"))
    taken = manifest.preprocessing
    assert (taken.scale, taken.mean, taken.fit, manifest.output) == (1 / 127.5, (1.0,), "crop", "probabilities")
    assert manifest.class_names == ("cat", "white dog")
    assert (manifest.provenance.source, manifest.provenance.versions) == ("keras_model.h5", {"keras": "2.21.0"})
    assert manifest.artifacts[0].path == "model.keras"
    # The .zip file holds the same model, with its labels: what is exported of it goes into the same folder.
    before = manifest.source().sha256
    terminal.passes("export", "converted_keras.zip", "--data", photos, *given[4:], "--out", "artifacts/keras_model")
    assert Manifest.load(Path("artifacts/keras_model")).source().sha256 == before


def test_its_zip_file_is_a_model_with_class_names(photos: Path, terminal: Any) -> None:
    text = " ".join(terminal.passes("predict", "converted_keras.zip", photos / "cat/0.png").split())
    assert "white dog" in text
    assert "no manifest.json in it; pixels go in as 0.00784314 * pixel - 1" in text
    terminal.passes("summary", "converted_keras.zip")


def of_its_names() -> Any:
    """A small network whose layers have the names of Teachable Machine's."""
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((224, 224, 3)),
            layers.Conv2D(16, 3, 32, name="Conv1"),
            layers.Conv2D(4096, 1, name="block_16_project"),
            layers.GlobalAveragePooling2D(name="global_average_pooling2d_GlobalAveragePooling2D1"),
            layers.Dense(100, "relu", name="dense_Dense1"),
            layers.Dense(2, "softmax", use_bias=False, name="dense_Dense2"),
        ],
        name="sequential_1",
    )


def test_its_tflite_file_is_known_by_its_tensors_and_taken_out_of_its_zip_file(photos: Path, terminal: Any) -> None:
    converter = tf.lite.TFLiteConverter.from_keras_model(of_its_names())
    with zipfile.ZipFile("converted_tflite.zip", "w") as archive:
        archive.writestr("model_unquant.tflite", converter.convert())
        archive.write("labels.txt")
    text = " ".join(terminal.passes("predict", "converted_tflite.zip", photos / "cat/0.png").split())
    assert "pixels go in as 0.00784314 * pixel - 1" in text
    int8 = "--format", "tflite", "--quantize", "int8"
    terminal.passes("export", "converted_tflite.zip", "--data", photos, *int8, "--out", "out")
    manifest = Manifest.load(Path("out"))
    assert (manifest.preprocessing.fit, manifest.class_names) == ("crop", ("cat", "white dog"))
    # Its quantized files take pixels in another way.
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    Path("quantized.tflite").write_bytes(converter.convert())
    assert "--preprocess" in terminal.fails(2, "predict", "quantized.tflite", photos / "cat/0.png")


def test_another_preprocessing_contradicts_its_layers(photos: Path, terminal: Any) -> None:
    line = terminal.fails(2, "export", "keras_model.h5", "--data", photos, "--preprocess", "unit")
    assert "keras_model.h5 takes pixels as 0.00784314 * pixel - 1" in line
    assert "omit --preprocess" in line


def test_a_damaged_zip_file_is_no_bundle_either(photos: Path, terminal: Any) -> None:
    with zipfile.ZipFile("converted_keras.zip", "w") as archive:
        archive.writestr("keras_model.h5", b"no model")
    line = terminal.fails(4, "summary", "converted_keras.zip")
    assert "converted_keras.zip/keras_model.h5 is not a Keras file (no HDF5 mark)" in line
