"""How many images one call of an exported file takes: one, or any number."""

from pathlib import Path

import numpy as np
import pytest

from edgecnn.convert.export.config import ExportConfig
from edgecnn.convert.export.export import export
from edgecnn.convert.export.keep_accuracy import Judge
from edgecnn.edge.data.dataset import load_dataset
from edgecnn.edge.data.splits import Labels
from edgecnn.edge.errors import ConfigError
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.model.preprocess import Floats
from tests.convert.export.conftest import FILES, entry, operators

SHAPE = (12, 12, 1)
SHAPE_ARITHMETIC = {"Shape", "Gather", "Slice", "Concat", "Cast", "SHAPE", "STRIDED_SLICE", "PACK"}


def shapes(classifier: Classifier) -> list[tuple[int | None, ...]]:
    return [spec.shape for spec in (classifier.runtime.input_spec, classifier.runtime.output_spec)]


@pytest.mark.parametrize("name", FILES)
def test_a_file_takes_one_image_and_has_no_shape_arithmetic(exported: Path, name: str) -> None:
    assert shapes(Classifier.load(exported / name)) == [(1, *SHAPE), (1, 3)]
    kinds = set(operators(exported / name))
    assert len(kinds) > 4
    assert not kinds & SHAPE_ARITHMETIC


@pytest.mark.parametrize("name", FILES)
def test_a_file_takes_any_number_if_asked(exported: Path, any_batch: Path, idx_folder: Path, name: str) -> None:
    images = load_dataset(idx_folder).test.images(range(7))
    one_by_one = Classifier.load(exported / name).predict(images).probabilities
    assert np.ptp(one_by_one, axis=0).max() > 0.01  # The rows differ, so that a swapped one is noticed.
    classifier = Classifier.load(any_batch / name)
    assert shapes(classifier) == [(None, *SHAPE), (None, 3)]
    # Each new size sets up the buffers of a .tflite again.
    for some in (slice(0, 7), slice(3, 4), slice(2, 7), slice(0, 7)):
        assert np.allclose(classifier.predict(images[some]).probabilities, one_by_one[some], atol=1e-6)


@pytest.mark.parametrize("model_format", ["tflite", "onnx"])
def test_layers_go_back_to_float_with_a_free_batch_too(artifacts: Path, idx_folder: Path, model_format: str) -> None:
    judged: list[Floats] = []
    # The plain file, other calibrations, and corrected biases; in 16 bits a file is no faster here.
    without = {"tflite": 8, "onnx": 3}

    def objection(candidate: Floats, reference: Floats, labels: Labels) -> str | None:
        if (candidate != reference).any(axis=1).sum() <= 3:
            return None if len(candidate) == 60 else "too few images"
        judged.append(candidate)
        return None if len(judged) > without[model_format] else "it loses too much"

    dataset = load_dataset(idx_folder)
    config = ExportConfig((model_format,), ("int8",), batch="dynamic")
    manifest = export(artifacts / "model.keras", dataset, config, judge=Judge(objection, 0.5, lambda *_: 1.0))
    artifact = entry(manifest, f"int8.{model_format}")
    assert artifact.mended.layers
    classifier = Classifier.load(artifacts / artifact.path)
    assert shapes(classifier) == [(None, *SHAPE), (None, 3)]
    assert np.array_equal(classifier.split_probabilities(dataset.test), judged[-1])


def test_another_batch_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"batch=8 .*unknown.* 1 or dynamic"):
        ExportConfig(batch="8")  # type: ignore[arg-type]  # It is what is refused.
