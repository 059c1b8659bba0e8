"""How many images one call of an exported file takes: one, or any number."""

from pathlib import Path

import keras
import numpy as np
import onnx
import pytest
from ai_edge_litert.interpreter import Interpreter

from convert.candidates import Judge
from convert.dataset import load_dataset
from convert.export import ExportConfig, export
from edge.classifier import Classifier
from edge.errors import ConfigError
from edge.interface import SCHEMES, Interface
from edge.preprocess import Floats
from edge.splits import Labels

SHAPE = (12, 12, 1)
SHAPE_ARITHMETIC = {"Shape", "Gather", "Slice", "Concat", "Cast", "SHAPE", "STRIDED_SLICE", "PACK"}
FILES = ["float32.tflite", "float16.tflite", "dynamic.tflite", "int8.tflite", "int16x8.tflite", "float32.onnx", "int8.onnx"]


def operators(path: Path) -> set[str]:
    if path.suffix == ".onnx":
        return {node.op_type for node in onnx.load(path).graph.node}
    return {operator["op_name"] for operator in Interpreter(model_content=path.read_bytes())._get_ops_details()}


def shapes(classifier: Classifier) -> list[tuple[int | None, ...]]:
    return [spec.shape for spec in (classifier.runtime.input_spec, classifier.runtime.output_spec)]


@pytest.mark.parametrize("name", FILES)
def test_a_file_takes_one_image_and_has_no_shape_arithmetic(exported: Path, name: str) -> None:
    assert shapes(Classifier.load(exported / name)) == [(1, *SHAPE), (1, 3)]
    kinds = operators(exported / name)
    assert len(kinds) > 4
    assert not kinds & SHAPE_ARITHMETIC


@pytest.mark.parametrize("name", FILES)
def test_a_file_takes_any_number_if_asked(exported: Path, any_batch: Path, idx_folder: Path, name: str) -> None:
    images = load_dataset(idx_folder).test.images(range(7))
    one_by_one = Classifier.load(exported / name).predict(images).probabilities
    assert np.ptp(one_by_one, axis=0).max() > 0.01  # Rows that differ, so that one in another's place is seen.
    classifier = Classifier.load(any_batch / name)
    assert shapes(classifier) == [(None, *SHAPE), (None, 3)]
    # Each other size sets the buffers of a .tflite up anew.
    for some in (slice(0, 7), slice(3, 4), slice(2, 7), slice(0, 7)):
        assert np.allclose(classifier.predict(images[some]).probabilities, one_by_one[some], atol=1e-6)


@pytest.mark.parametrize("model_format", ["tflite", "onnx"])
def test_layers_go_back_to_float_with_a_free_batch_too(artifacts: Path, idx_folder: Path, model_format: str) -> None:
    judged: list[Floats] = []

    def passes(candidate: Floats, reference: Floats, labels: Labels) -> bool:
        if candidate is not reference:
            judged.append(candidate)
        return candidate is reference or len(judged) == 2

    dataset = load_dataset(idx_folder)
    config = ExportConfig((model_format,), ("int8",), batch="dynamic")
    manifest = export(artifacts / "model.keras", dataset, config, judge=Judge(passes, 0.5, lambda *_: 1.0))
    artifact = manifest.artifact(f"int8.{model_format}")
    assert artifact is not None
    assert artifact.mended is not None
    assert artifact.mended.layers
    classifier = Classifier.load(artifacts / artifact.path)
    assert shapes(classifier) == [(None, *SHAPE), (None, 3)]
    assert np.array_equal(classifier.split_probabilities(dataset.test), judged[-1])


def test_another_batch_is_refused() -> None:
    with pytest.raises(ConfigError, match="--batch 8 is unknown: use 1 or dynamic"):
        ExportConfig(batch="8")


def test_a_model_of_one_image_has_no_free_batch(idx_folder: Path, tmp_path: Path) -> None:
    image = keras.Input(batch_shape=SHAPE)
    scores = keras.layers.Dense(3, activation="softmax")(keras.ops.reshape(image, (1, 144)))
    keras.Model(image, scores).save(tmp_path / "base.keras")
    with pytest.raises(ConfigError, match=r"base\.keras takes one image at a time: build it with a free batch, or leave"):
        export(
            tmp_path / "base.keras",
            load_dataset(idx_folder),
            ExportConfig(batch="dynamic"),
            Interface(SCHEMES["unit"]),
            tmp_path / "out",
        )
    assert not (tmp_path / "out").exists()
