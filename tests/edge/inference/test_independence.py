"""A file whose answers depend on more than their image is refused: on the batch, on chance, or on earlier runs."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from edgecnn.benchmarks.measure.evaluation import evaluate
from edgecnn.edge.data.splits import ArraySplit
from edgecnn.edge.errors import ArtifactError
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.manifest import DatasetRecord, Quantization, TensorSpec
from edgecnn.edge.model.interface import SCHEMES, Interface
from edgecnn.edge.model_file import ModelFile, read_model
from edgecnn.edge.runtimes import opener_for
from tests.onnx_text import onnx_model

UNIT = Interface(SCHEMES["unit"])
RANDOM = ["Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"]
PLACES = ["graph", "branch", "function"]

Saved = Callable[..., Path]


@pytest.fixture
def saved(tmp_path: Path) -> Saved:
    """Return a function that writes an ONNX classifier of 3 classes: the channel means of an image after some nodes."""

    def write(nodes: str, batch: int | str = "n", function: str = "") -> Path:
        sharp = "means = ReduceMean <axes = [1, 2], keepdims = 0> (x) sharp = Mul (means, eight)"
        text = f"(float[{batch}, 8, 8, 3] x) => (float[{batch}, 3] y) {{{sharp} {nodes} y = Softmax (logits)}}"
        model = onnx_model(text, domains=("own",), eight=np.float32(8), yes=np.array(True), axis=np.array(0))
        if function:
            model.functions.append(onnx.parser.parse_function(f'<domain: "own", opset_import: ["" : 17]> {function}'))
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
    nodes = "all = ReduceMean <axes = [0]> (sharp) logits = Sub (sharp, all)"
    if mixing != "mean":
        nodes = f"logits = CumSum <reverse = {int('backwards' in mixing)}> (sharp, axis)"
    classifier = Classifier.load(saved(nodes, batch), interface=UNIT)
    with pytest.raises(ArtifactError, match=r"model\.onnx: .*other images.*batches of 1"):
        classifier.predict(images)


@pytest.mark.parametrize("batch", ["n", 4])
def test_a_batch_that_does_not_is_looked_at_once(
    batch: int | str, saved: Saved, images: NDArray[np.uint8], recording: Callable[..., tuple[Classifier, Any]]
) -> None:
    classifier, runtime = recording(saved("logits = Identity (sharp)", batch), UNIT)
    classifier.predict(images)
    calls = len(runtime.batches)
    classifier.predict(images)
    assert len(runtime.batches) == 2 * calls - 2


def test_coarse_logits_hide_no_batch_that_mixes_its_images(images: NDArray[np.uint8]) -> None:
    class Mixing:
        """Gives another class in a batch than alone, in steps of 0.6."""

        name, version = "mixing", "1"
        input_spec = TensorSpec("x", (None, 8, 8, 3), "float32")
        output_spec = TensorSpec("y", (None, 2), "int8", Quantization((0.6,), (0,)))

        def run(self, batch: NDArray[Any]) -> NDArray[np.int8]:
            return np.repeat(np.array([[1, 0] if len(batch) == 1 else [0, 1]], np.int8), len(batch), axis=0)

    model = ModelFile(Path("model.tflite"), "tflite", b"", None, None, None)
    classifier = Classifier(model, cast(Any, Mixing()), replace(UNIT, output="logits"))
    with pytest.raises(ArtifactError, match="other images of the batch"):
        classifier.predict(images)


@pytest.mark.parametrize("name", RANDOM)
@pytest.mark.parametrize("place", PLACES)
def test_a_file_that_draws_its_answer_is_refused_wherever_it_does(name: str, place: str, saved: Saved) -> None:
    nodes = f"drawn = {name} " + ("<shape = [1, 3]> ()" if name in ("RandomNormal", "RandomUniform") else "(sharp)")
    function = f"Draw (sharp) => (drawn) {{{nodes}}}" if place == "function" else ""
    if place == "branch":
        branch = f"b () => (float[] drawn) {{{nodes}}}"
        nodes = f"drawn = If (yes) <then_branch = {branch}, else_branch = {branch}>"
    elif function:
        nodes = "drawn = own.Draw (sharp)"
    model = read_model(saved(f"{nodes} logits = Identity (sharp)", 1, function))
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
    model = read_model(saved("logits = Identity (sharp)", 1))
    test = ArraySplit(images, np.zeros(len(images), np.int64))
    record = DatasetRecord("images", "images", "", test.sha256)
    with pytest.raises(ArtifactError, match=r"model\.onnx: .*same image.*another answer"):
        evaluate("model.onnx", Classifier(model, Drifting(model), UNIT), test, record)
    with pytest.raises(ArtifactError, match="another answer"):
        Classifier(model, Drifting(model), UNIT).split_probabilities(test)
    assert len(Classifier(model, Drifting(model), UNIT, streaming=True).split_probabilities(test)) == len(images)
