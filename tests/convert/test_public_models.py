"""Models that others trained and published, exported as their users would: tests/kept/public/README.md says whose."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgecnn as ec
from edgecnn.edge.data.splits import Subset
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.manifest import Preprocessing
from edgecnn.edge.model.interface import Interface
from edgecnn.edge.sandbox.unverified import remember_made
from tests.convert.conftest import save_splits
from tests.digit_photos.__main__ import judged, of_folder

PUBLIC = Path(__file__).parents[1] / "kept" / "public"
IMAGES = 500


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first of MNIST's images."""
    mnist, path = ec.load_dataset("mnist"), tmp_path_factory.mktemp("few") / "mnist.npz"
    first = np.arange(IMAGES)
    return save_splits(path, train=Subset(mnist.train, first), test=Subset(mnist.test, first))


@pytest.mark.parametrize("name", ["mnist.tflite", "mnist_model.keras", "mnist.h5", "lenet.onnx"])
def test_a_public_file_is_exported_and_its_files_give_the_same_classes(name: str, few: Path, tmp_path: Path) -> None:
    if name.endswith(".keras"):
        remember_made((PUBLIC / name).read_bytes())  # Without a trial in a child, which the .h5 file has.
    formats = ["onnx"] if name.endswith(".onnx") else ["tflite", "onnx"]
    precisions, out = ["float32", "int8"], tmp_path / "out"
    manifest: Any = ec.export(PUBLIC / name, few, formats=formats, precisions=precisions, interface="unit", out=out).manifest
    assert manifest.reference.correct >= 0.95 * IMAGES
    assert len(manifest.exported) == 2 * len(formats)
    for artifact in manifest.exported:
        least = IMAGES if artifact.precision == "float32" else 0.98 * IMAGES
        assert artifact.parity.same_class >= least, artifact.path


# An .h5 file becomes a .keras file before anybody asks.
@pytest.mark.parametrize("name", ["mnist.tflite", "mnist_model.keras", "lenet.onnx"])
def test_how_a_public_file_takes_pixels_is_asked_and_never_guessed(name: str, few: Path, tmp_path: Path) -> None:
    with pytest.raises(ec.ConfigError, match=r"how it takes pixels is not known.*unit \d+"):
        ec.export(PUBLIC / name, few, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_public_file_with_integers_is_no_source(few: Path, tmp_path: Path) -> None:
    with pytest.raises(ec.ConfigError, match=r"quantized\.tflite is already quantized .*float32 file"):
        ec.export(PUBLIC / "quantized.tflite", few, interface="unit", out=tmp_path / "out")


def test_a_public_model_reads_public_photos_of_digits() -> None:
    digit = Preprocessing(scale=1 / 255, fit="digit", background="dark")
    interface = Interface(digit, "probabilities", class_names=tuple("0123456789"))
    found = judged(Classifier.load(PUBLIC / "lenet.onnx", interface=interface), of_folder(PUBLIC / "photos"))
    assert found.photos == 306
    # 283 and 8 when this was written; 278 and 9 where a cell's frame is not removed.
    assert found.right >= 281
    assert found.silently_wrong <= 9
