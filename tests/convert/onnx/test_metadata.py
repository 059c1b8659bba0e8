"""ONNX properties say what the file is, to ONNX Runtime as well, and change nothing that it computes."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

import edgecnn as ec
from edgecnn.convert.export.program_files import Description
from edgecnn.convert.onnx.convert import described
from edgecnn.edge.data.splits import Split
from edgecnn.edge.manifest import Manifest
from edgecnn.edge.runtimes import opener_for


@pytest.fixture
def description(exported: Path) -> Description:
    manifest = Manifest.load(exported)
    return Description("bars", ("a", "b", "ç"), manifest.preprocessing, "probabilities", "ab" * 32, "0.1.0", 60, 57)


@pytest.mark.parametrize("name", ["float32.onnx", "int8.onnx"])
def test_outputs_are_the_same_bit_for_bit(name: str, exported: Path, description: Description, test_split: Split) -> None:
    model = onnx.load(exported / name)
    del model.metadata_props[:]
    data = model.SerializeToString()
    found = described(data, description)
    assert found.startswith(data)
    assert found == described(data, description)
    onnx.checker.check_model(onnx.load_from_string(found))
    before, after = (opener_for("onnx").open_model(one, 1) for one in (data, found))
    for call in ec.Classifier.load(exported / name).singles(test_split.images(range(60))):
        assert np.array_equal(before.run(call), after.run(call))


def test_onnxruntime_reads_labels_preprocessing_author_licence_and_accuracy(exported: Path, description: Description) -> None:
    said = replace(description, author="Jane Doe", license="MIT")
    found = onnxruntime.InferenceSession(described((exported / "int8.onnx").read_bytes(), said)).get_modelmeta()
    properties = found.custom_metadata_map
    assert (properties["model_author"], properties["model_license"]) == ("Jane Doe", "MIT")
    assert json.loads(properties["edgecnn.labels"]) == ["a", "b", "ç"]
    assert json.loads(properties["edgecnn.preprocessing"])["scale"] == description.preprocessing.scale
    assert (properties["edgecnn.correct"], properties["edgecnn.test_images"]) == ("57", "60")
    assert (properties["edgecnn.version"], properties["edgecnn.source_sha256"]) == ("0.1.0", "ab" * 32)
    assert "right on 57 of 60" in found.description


def test_an_author_that_nobody_named_is_not_in_it(exported: Path, description: Description) -> None:
    found = onnx.load_from_string(described((exported / "int8.onnx").read_bytes(), description))
    assert not {"model_author", "model_license"} & {item.key for item in found.metadata_props}
