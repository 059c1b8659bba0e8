"""Models that edgecnn did not train: what they need said, and what is kept of it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import pytest

from edgecnn.convert.export.config import ExportConfig
from edgecnn.convert.export.export import export
from edgecnn.edge.data.dataset import Dataset, load_dataset
from edgecnn.edge.data.splits import ArraySplit
from edgecnn.edge.errors import ArtifactError, ConfigError, ConversionError
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.manifest import Manifest
from edgecnn.edge.model.interface import SCHEMES, Interface
from edgecnn.edge.model_file import read_model
from tests.onnx_text import onnx_model

UNIT = Interface(SCHEMES["unit"])
SHAPE = (12, 12, 1)
BOTH = ExportConfig(precisions=("float32", "int8"))


def foreign(folder: Path, *layers: Any, entry: Any = None) -> Path:
    """Save a model that was trained elsewhere: a few random filters, so that no two images give the same."""
    keras.utils.set_random_seed(0)
    path = folder / "base.keras"
    start = keras.Input(SHAPE) if entry is None else entry
    keras.Sequential([start, *layers]).save(path)
    return path


def cnn(outputs: int = 3, activation: str | None = "softmax") -> list[Any]:
    # Seeds of their own: an initializer takes its seed where it is made, which is before foreign sets one.
    # Wide enough that the images differ by more than a step of int8.
    return [
        keras.layers.Conv2D(4, 3, activation="relu", kernel_initializer=keras.initializers.GlorotUniform(1)),
        keras.layers.Flatten(),
        keras.layers.Dense(outputs, activation=activation, kernel_initializer=keras.initializers.RandomNormal(0, 0.3, 2)),
    ]


def test_a_model_from_elsewhere_gets_a_folder_and_a_manifest_of_its_own(
    idx_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    dataset = replace(load_dataset(idx_folder), class_names=("low", "middle", "high"))
    path = foreign(tmp_path, *cnn())
    export(path, dataset, ExportConfig(("tflite",), ("int8",)), UNIT, trust=("json",))  # Whose code it does not need.
    folder = Path("artifacts/base")
    manifest = Manifest.load(folder)
    assert (folder / "model.keras").read_bytes() == path.read_bytes()
    assert [artifact.path for artifact in manifest.artifacts] == ["model.keras", "float32.tflite", "int8.tflite"]
    assert manifest.class_names == dataset.class_names
    assert (manifest.preprocessing, manifest.output, manifest.trusted) == (UNIT.preprocessing, "probabilities", ())
    assert (manifest.provenance.train_config, manifest.provenance.versions) == ({}, {"keras": keras.__version__})
    assert manifest.dataset == dataset.record()
    for artifact in manifest.artifacts:
        assert read_model(folder / artifact.path).unverified is None
    # Again, from where it was: the earlier files stay.
    again = export(path, dataset, ExportConfig(("onnx",), ("float32",)), UNIT)
    assert [artifact.path for artifact in again.artifacts][1:] == ["float32.tflite", "int8.tflite", "float32.onnx"]
    assert again.provenance.created == manifest.provenance.created
    assert [file.path for file in again.for_programs] == ["labels.txt"]
    assert (folder / "labels.txt").read_text() == "low\nmiddle\nhigh\n"
    # With other preprocessing, files calibrated with the former one are no longer verified.
    other = export(path, dataset, ExportConfig(("onnx",), ("float32",)), Interface(SCHEMES["tf"]))
    assert [artifact.path for artifact in other.artifacts][1:] == ["float32.onnx"]
    # Files of another model become stale.
    export(foreign(tmp_path, *cnn()), dataset, ExportConfig(("tflite",), ("float32",)), UNIT)
    assert read_model(folder / "float32.tflite").unverified is None
    with pytest.raises(ArtifactError, match=r"float32\.onnx is stale.*earlier model"):
        read_model(folder / "float32.onnx")


def test_what_a_manifest_says_is_not_said_again(exported: Path, idx_folder: Path) -> None:
    dataset = load_dataset(idx_folder)
    with pytest.raises(ConfigError, match=r"manifest.*model\.keras defines.*preprocessing.*: omit preprocess"):
        export(exported / "model.keras", dataset, BOTH, UNIT)
    with pytest.raises(ConfigError, match=r"model\.keras has a manifest.*omit out"):
        export(exported / "model.keras", dataset, BOTH, out=exported / "other")


def test_a_trained_model_is_not_replaced_by_one_from_elsewhere(artifacts: Path, idx_folder: Path, tmp_path: Path) -> None:
    before = (artifacts / "model.keras").read_bytes()
    with pytest.raises(ConfigError, match=r"model that edgecnn trained:.* out"):
        export(foreign(tmp_path, *cnn()), load_dataset(idx_folder), BOTH, UNIT, artifacts)
    assert (artifacts / "model.keras").read_bytes() == before


@pytest.mark.parametrize(
    ("layers", "interface", "error", "message"),
    [
        (cnn(4), UNIT, ConfigError, r"base\.keras has 4 classes, not 3 names: give labels"),
        (cnn(3, None), UNIT, ArtifactError, "is not class probabilities, .* use logits if it ends before that"),
        (cnn(), Interface(SCHEMES["unit"], "logits"), ArtifactError, "is already probabilities .*: omit logits"),
        (cnn(), Interface(SCHEMES["torch"]), ConfigError, "mean has 3 values, the images have 1 channel"),
    ],
)
def test_a_model_that_does_not_fit_what_is_said_of_it_is_refused(
    layers: list[Any], interface: Interface, error: type[Exception], message: str, idx_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        export(foreign(tmp_path, *layers), load_dataset(idx_folder), BOTH, interface, tmp_path / "out")
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_images_that_were_fitted_in_another_way_are_refused(idx_folder: Path, tmp_path: Path) -> None:
    dataset = replace(load_dataset(idx_folder), fit="crop")
    with pytest.raises(ConfigError, match=r"bars .*by crop.*base\.keras .*letterbox: use"):
        export(foreign(tmp_path, *cnn()), dataset, BOTH, UNIT, tmp_path / "out")


def test_a_model_that_takes_four_images_at_a_time_is_refused(idx_folder: Path, tmp_path: Path) -> None:
    image = keras.Input(SHAPE, batch_size=4)
    model = keras.Model(image, keras.layers.Dense(3, activation="softmax")(keras.ops.reshape(image, (4, 144))))
    model.save(tmp_path / "base.keras")
    with pytest.raises(ArtifactError, match=r"base\.keras takes 4 images.*: build"):
        export(tmp_path / "base.keras", load_dataset(idx_folder), BOTH, UNIT, tmp_path / "out")


def two_classes(dataset: Dataset) -> Dataset:
    parts = [
        ArraySplit(part.images(range(len(part.labels))), part.labels.clip(max=1)) for part in (dataset.train, dataset.test)
    ]
    return replace(dataset, class_names=("no", "yes"), train=parts[0], test=parts[1])


@pytest.mark.parametrize(
    ("layers", "entry", "interface"),
    [
        (cnn(3, None), None, Interface(SCHEMES["unit"], "logits")),
        (cnn(1, "sigmoid"), None, UNIT),
        (cnn(1, None), None, Interface(SCHEMES["unit"], "logits")),
        ([keras.layers.Rescaling(1 / 255), *cnn()], lambda: keras.Input(SHAPE, dtype="uint8"), Interface(SCHEMES["raw"])),
        ([keras.layers.Reshape(SHAPE), *cnn()], lambda: keras.Input(SHAPE[:2]), UNIT),
        (cnn(), lambda: keras.Input(SHAPE, batch_size=2), UNIT),
    ],
)
def test_what_a_model_takes_and_gives_is_kept_in_every_file(
    layers: list[Any], entry: Any, interface: Interface, idx_folder: Path, tmp_path: Path
) -> None:
    dataset = load_dataset(idx_folder)
    if layers[-1].units == 1:
        dataset = two_classes(dataset)
    path = foreign(tmp_path, *layers, entry=entry and entry())
    manifest = export(path, dataset, BOTH, interface, tmp_path / "out")
    assert manifest.output == interface.output
    model = manifest.source()
    for artifact in manifest.artifacts[1:]:
        assert artifact.parity is not None
        assert artifact.parity.same_class >= (60 if artifact.precision == "float32" else 55)
        assert artifact.input.shape[1:] == model.input.shape[1:]
        if model.input.dtype == "uint8" or artifact.precision == "float32":
            assert artifact.input.dtype == model.input.dtype
        found = Classifier.load(tmp_path / "out" / artifact.path).split_probabilities(dataset.test)
        assert found.shape == (60, len(dataset.class_names))


def test_a_model_without_a_batch_is_exported_for_one_image_at_a_time_alone(idx_folder: Path, tmp_path: Path) -> None:
    image = keras.Input(batch_shape=SHAPE)
    scores = keras.layers.Dense(3, activation="softmax")(keras.ops.reshape(image, (1, 144)))
    keras.Model(image, keras.ops.reshape(scores, (3,))).save(tmp_path / "base.keras")
    manifest = export(tmp_path / "base.keras", load_dataset(idx_folder), BOTH, UNIT, tmp_path / "out")
    assert manifest.source().input.shape == SHAPE
    assert [artifact.input.shape for artifact in manifest.artifacts[1:]] == [(1, *SHAPE)] * 4
    with pytest.raises(ConfigError, match=r"base\.keras takes one image.*omit batch"):
        export(tmp_path / "base.keras", load_dataset(idx_folder), ExportConfig(batch="dynamic"), UNIT, tmp_path / "free")
    assert not (tmp_path / "free").exists()


def test_an_onnx_file_without_a_batch_axis_is_evaluated_and_not_exported(idx_folder: Path, tmp_path: Path) -> None:
    nodes = "flat = Reshape (x, row) scores = MatMul (flat, w) y = Softmax (scores)"
    text = f"(float[12, 12] x) => (float[1, 3] y) {{{nodes}}}"
    onnx.save(onnx_model(text, w=np.eye(144, 3, dtype=np.float32), row=np.array([1, 144])), tmp_path / "a.onnx")
    only = ExportConfig(formats=("onnx",), precisions=("float32",))
    assert Classifier.load(tmp_path / "a.onnx", interface=UNIT).probabilities(np.zeros((2, *SHAPE), np.uint8)).shape == (2, 3)
    with pytest.raises(ConversionError, match="no batch axis"):
        export(tmp_path / "a.onnx", load_dataset(idx_folder), only, UNIT, tmp_path / "out")


def test_own_code_is_exported_with_trust_and_the_manifest_says_so(
    idx_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_export.py").write_text(
        "import keras\nclass Tripled(keras.layers.Layer):\n    def call(self, x):\n        return x * 3\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    module: Any = __import__("own_export")
    path = foreign(tmp_path, module.Tripled(), *cnn())
    dataset, config = load_dataset(idx_folder), ExportConfig(precisions=("float32",))
    with pytest.raises(ArtifactError, match=r"base\.keras: .*class Tripled of.*own_export: .*trust=MODULE"):
        export(path, dataset, config, UNIT, tmp_path / "out")
    manifest = export(path, dataset, config, UNIT, tmp_path / "out", trust=("own_export",))
    assert manifest.trusted == ("own_export",)
