"""What a page without a server makes of a model that is not like MNIST's."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from onnx import helper, numpy_helper
from PIL import Image

from edgecnn.edge.files import sha256
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.manifest import Manifest, Preprocessing, TensorSpec
from edgecnn.edge.model_folder import ModelFolder
from edgecnn.edge.serving.browser_page.export_page import write_page
from edgecnn.edge.serving.browser_page.onnxruntime_web import WebRuntime
from tests.edge.serving.browser_page.static_page import CLASSIFY, awaited, served

pytestmark = pytest.mark.workstation("needs a browser")

if TYPE_CHECKING:
    from tests.edge.serving.browser import Browser


def colour_model(folder: Path) -> None:
    """Make float32.onnx one of four logits of colour images, channels first and blue first, with a mean for each channel."""
    rng = np.random.default_rng(3)
    weights = numpy_helper.from_array(rng.normal(0, 0.02, (3 * 8 * 6, 4)).astype(np.float32), "weights")
    flat = numpy_helper.from_array(np.array([1, -1], np.int64), "flat")
    nodes = [
        helper.make_node("Reshape", ["image", "flat"], ["row"]),
        helper.make_node("MatMul", ["row", "weights"], ["scores"]),
    ]
    shapes = [helper.make_tensor_value_info(name, 1, shape) for name, shape in (("image", (1, 3, 8, 6)), ("scores", (1, 4)))]
    graph = helper.make_graph(nodes, "colours", shapes[:1], shapes[1:], [weights, flat])
    network = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    data = network.SerializeToString()
    (folder / "float32.onnx").write_bytes(data)
    manifest = Manifest.load(folder)
    artifact = manifest.artifact("float32.onnx")
    assert artifact is not None
    image, scores = (TensorSpec(name, shape, "float32") for name, shape in (("image", (1, 3, 8, 6)), ("scores", (1, 4))))
    listed = replace(artifact, size_bytes=len(data), sha256=sha256(data), input=image, output=scores)
    rule = Preprocessing(1 / 255, "stretch", "any", (0.1, 0.2, 0.3), (0.5, 0.25, 0.125), "bgr")
    kept = (manifest.keras_model(), listed)
    replace(manifest, class_names=("a", "b", "c", "d"), preprocessing=rule, output="logits", artifacts=kept).save(folder)


def test_channels_first_blue_first_and_logits_are_read_as_in_python(
    browser: "Browser", artifacts: Path, onnxruntime_web: WebRuntime, tmp_path: Path
) -> None:
    colour_model(artifacts)
    with ModelFolder(artifacts) as models:
        write_page(models, tmp_path / "page", onnxruntime_web)
    pixels = np.random.default_rng(4).integers(0, 256, (20, 8, 6, 3)).astype(np.uint8)
    names = [f"{index}.png" for index in range(20)]
    for name, image in zip(names, pixels, strict=True):
        Image.fromarray(image).save(tmp_path / "page" / name)
    with served(tmp_path / "page") as address:
        browser.open(address)
        browser.driver.set_script_timeout(60)
        found = awaited(browser, CLASSIFY, names)
    python = Classifier.load(artifacts / "float32.onnx").predict(pixels)
    assert len(set(python.labels)) > 1
    answers = [picture["answers"][0] for picture in found]
    assert [answer["label"] for answer in answers] == list(python.labels)
    ours = np.array([answer["probability"] for answer in answers])
    assert np.abs(ours - python.probabilities.max(axis=1)).max() < 1e-6
