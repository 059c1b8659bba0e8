"""A file whose answers depend on more than their image is refused: on the batch, on chance, or on earlier runs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from edgecnn.benchmarks.measure.evaluation import evaluate
from edgecnn.edge.data.splits import ArraySplit
from edgecnn.edge.errors import ArtifactError
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.manifest import DatasetRecord
from edgecnn.edge.model.interface import SCHEMES, Interface
from edgecnn.edge.model_file import ModelFile, read_model
from edgecnn.edge.runtimes import opener_for

UNIT = Interface(SCHEMES["unit"])
RANDOM = ["Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"]
PLACES = ["graph", "branch", "function"]

Saved = Callable[..., Path]


@pytest.fixture
def saved(tmp_path: Path) -> Saved:
    """Return a function that writes an ONNX classifier of 3 classes: the channel means of an image after some nodes."""

    def write(nodes: list[Any], batch: int | str = "n", functions: list[Any] | None = None) -> Path:
        ends = [helper.make_tensor_value_info("x", TensorProto.FLOAT, (batch, 8, 8, 3))]
        ends.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, (batch, 3)))
        nodes = [
            helper.make_node("ReduceMean", ["x"], ["means"], axes=[1, 2], keepdims=0),
            helper.make_node("Mul", ["means", "eight"], ["sharp"]),
            *nodes,
            helper.make_node("Softmax", ["logits"], ["y"]),
        ]
        constants = [onnx.numpy_helper.from_array(np.array(8, np.float32), "eight")]
        constants.append(onnx.numpy_helper.from_array(np.array(True), "yes"))
        graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], constants)
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=8, functions=functions or [])
        onnx.save(model, tmp_path / "model.onnx")
        return tmp_path / "model.onnx"

    return write


@pytest.fixture
def images() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (6, 1, 1, 3)).astype(np.uint8).repeat(8, 1).repeat(8, 2)


@pytest.mark.parametrize("batch", ["n", 4])
@pytest.mark.parametrize("mixing", ["mean", "running sum", "running sum backwards"])
def test_a_batch_that_mixes_its_images_is_refused(
    batch: int | str, mixing: str, saved: Saved, images: NDArray[np.uint8]
) -> None:
    nodes = [
        helper.make_node("ReduceMean", ["sharp"], ["all"], axes=[0]),
        helper.make_node("Sub", ["sharp", "all"], ["logits"]),
    ]
    if mixing != "mean":
        first = helper.make_node("Constant", [], ["axis"], value=onnx.numpy_helper.from_array(np.array(0)))
        nodes = [first, helper.make_node("CumSum", ["sharp", "axis"], ["logits"], reverse=int("backwards" in mixing))]
    classifier = Classifier.load(saved(nodes, batch), interface=UNIT)
    with pytest.raises(ArtifactError, match=r"model\.onnx: .*other images.*batches of 1"):
        classifier.predict(images)


@pytest.mark.parametrize("batch", ["n", 4])
def test_a_batch_that_does_not_is_looked_at_once(
    batch: int | str, saved: Saved, images: NDArray[np.uint8], recording: Callable[..., tuple[Classifier, Any]]
) -> None:
    classifier, runtime = recording(saved([helper.make_node("Identity", ["sharp"], ["logits"])], batch), UNIT)
    classifier.predict(images)
    calls = len(runtime.batches)
    classifier.predict(images)
    assert len(runtime.batches) == 2 * calls - 2


def drawing(name: str) -> Any:
    """A node from `sharp` to `drawn` that draws random numbers."""
    if name in ("RandomNormal", "RandomUniform"):
        return helper.make_node(name, [], ["drawn"], shape=[1, 3])
    return helper.make_node(name, ["sharp"], ["drawn"])


@pytest.mark.parametrize("name", RANDOM)
@pytest.mark.parametrize("place", PLACES)
def test_a_file_that_draws_its_answer_is_refused_wherever_it_does(name: str, place: str, saved: Saved) -> None:
    functions: list[Any] = []
    if place == "graph":
        nodes = [drawing(name)]
    elif place == "branch":
        drawn = helper.make_tensor_value_info("drawn", TensorProto.FLOAT, None)
        branch = helper.make_graph([drawing(name)], "branch", [], [drawn])
        nodes = [helper.make_node("If", ["yes"], ["drawn"], then_branch=branch, else_branch=branch)]
    else:
        opsets = [helper.make_opsetid("", 17)]
        functions = [helper.make_function("own", "Draw", ["sharp"], ["drawn"], [drawing(name)], opsets)]
        nodes = [helper.make_node("Draw", ["sharp"], ["drawn"], domain="own")]
    nodes.append(helper.make_node("Identity", ["sharp"], ["logits"]))
    model = read_model(saved(nodes, 1, functions))
    with pytest.raises(ArtifactError, match=rf"model\.onnx: .*{name}\b.*inference mode"):
        opener_for("onnx").open_file(model, 1, trusted=True)


class Drifting:
    """A runtime whose answers change from run to run."""

    def __init__(self, model: ModelFile) -> None:
        self._inner = opener_for("onnx").open_model(model.data, 1)
        self.name, self.version, self.runs = "drifting", "1", 0
        self.input_spec, self.output_spec = self._inner.input_spec, self._inner.output_spec

    def run(self, batch: NDArray[Any]) -> NDArray[Any]:
        self.runs += 1
        return np.roll(self._inner.run(batch), self.runs // 3, axis=1)


def test_judging_classifies_the_first_image_again(saved: Saved, images: NDArray[np.uint8]) -> None:
    model = read_model(saved([helper.make_node("Identity", ["sharp"], ["logits"])], 1))
    test = ArraySplit(images, np.zeros(len(images), np.int64))
    record = DatasetRecord("images", "images", "", test.sha256)
    with pytest.raises(ArtifactError, match=r"model\.onnx: .*same image.*another answer"):
        evaluate("model.onnx", Classifier(model, Drifting(model), UNIT), test, record)
    with pytest.raises(ArtifactError, match="another answer"):
        Classifier(model, Drifting(model), UNIT).split_probabilities(test)
    assert len(Classifier(model, Drifting(model), UNIT, streaming=True).split_probabilities(test)) == len(images)
