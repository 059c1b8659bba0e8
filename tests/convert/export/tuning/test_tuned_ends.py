"""A tuned file takes and gives what the plain one does, and states the oldest runtime of the manifest."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from edgecnn.edge.compatibility.tflite import read_needs
from edgecnn.edge.data.dataset import load_dataset
from edgecnn.edge.formats import IoName
from edgecnn.edge.inference.classifier import Classifier
from tests.convert.export.tuning.invented import Invented, tuned


@pytest.mark.parametrize("io", ["int8", "uint8", "float32"])
def test_a_tuned_file_whose_last_layer_is_float_has_the_ends_of_the_plain_one(
    io: IoName, artifacts: Path, idx_folder: Path
) -> None:
    last = "StatefulPartitionedCall"
    machine = Invented(lambda operators: 5.0 + 3 * any(name.startswith(last) for name in operators))
    manifest, _ = tuned(artifacts, idx_folder, machine, io=io)
    artifact, plain = (manifest.artifact(name) for name in ("tuned.tflite", "int8.tflite"))
    assert artifact
    assert plain
    assert artifact.mended
    assert artifact.mended.layers[-1].startswith(last)
    assert artifact.input.dtype == artifact.output.dtype == io
    ours, theirs = (ends(artifacts / name) for name in ("tuned.tflite", "int8.tflite"))
    assert ours == theirs
    assert [dtype for dtype, _ in ours] == [np.dtype(io)] * 2
    test = load_dataset(idx_folder).test
    models = [Classifier.load(artifacts / name) for name in ("tuned.tflite", "model.keras")]
    answers, reference = (model.split_probabilities(test) for model in models)
    assert np.array_equal(answers.argmax(axis=1), reference.argmax(axis=1))
    assert np.abs(answers - reference).max() < 0.05
    for file in (artifact, plain):
        needs = read_needs((artifacts / file.path).read_bytes())
        assert file.oldest_runtime == f"tensorflow-lite>={needs.written}"


def ends(path: Path) -> list[tuple[Any, tuple[float, int]]]:
    """Return the type, and the scale and zero point, of a file's input and output, as LiteRT reads them."""
    interpreter = Interpreter(path)
    details = (*interpreter.get_input_details(), *interpreter.get_output_details())
    return [(np.dtype(one["dtype"]), one["quantization"]) for one in details]
