"""Files like those of other tools: one dense layer, which numpy also computes, behind every kind of input and output."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from edgecnn.benchmarks.bundle.write_bundle import write_bundle
from edgecnn.edge.data.dataset import load_test
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.model.interface import Interface
from edgecnn.edge.model_file import ModelFile, read_model
from edgecnn.edge.model_folder import ModelFolder
from edgecnn.edge.runtimes import opener_for
from edgecnn.edge.runtimes.base import LoadedModel
from tests.dense import CLASSES, weights

KEPT = Path(__file__).parents[1] / "kept"

Dense = Callable[..., NDArray[np.float32]]
OnnxFile = Callable[..., Path]


@pytest.fixture(autouse=True)
def _no_tensorflow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide TensorFlow: a device has none, so tests here must do without."""
    for package in ("tensorflow", "keras"):
        monkeypatch.setitem(sys.modules, package, None)


class Recording:
    """A runtime that runs another one, and records its inputs."""

    def __init__(self, inner: LoadedModel) -> None:
        self.inner, self.batches = inner, list[NDArray[Any]]()
        self.name, self.version = "recording", "1"
        self.input_spec, self.output_spec = inner.input_spec, inner.output_spec

    def run(self, batch: NDArray[Any]) -> NDArray[Any]:
        self.batches.append(batch)
        return self.inner.run(batch)


@pytest.fixture
def recording() -> Callable[..., tuple[Classifier, Recording]]:
    """Return a function that opens a file and records its runtime's inputs."""

    def opened(model: ModelFile | Path, interface: Interface | None = None) -> tuple[Classifier, Recording]:
        model = read_model(model) if isinstance(model, Path) else model
        runtime = Recording(opener_for(model.format).open_model(model.data, 1))
        return Classifier(model, runtime, interface), runtime

    return opened


@pytest.fixture(scope="session")
def bundle(exported: Path, idx_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of two files and 20 images. Do not write to it."""
    path = tmp_path_factory.mktemp("bundle") / "bars.zip"
    write_bundle(path, ModelFolder(exported), load_test(idx_folder), ("int8.tflite", "float32.onnx"), test_images=20)
    return path


@pytest.fixture(scope="session")
def dense() -> Dense:
    """Return what every file computes before its softmax, of inputs (n, ...) in the file's own order of axes."""

    def logits(inputs: NDArray[np.float32], columns: int = CLASSES, seed: int = 0) -> NDArray[np.float32]:
        flat = inputs.reshape(len(inputs), -1)
        result: NDArray[np.float32] = flat @ weights(flat.shape[1], columns, seed)
        return result

    return logits


@pytest.fixture
def onnx_file(tmp_path: Path) -> OnnxFile:
    """Return a function that writes an ONNX file.

    Sizes that are names are free. `batch` is None if the input has no batch axis. `reshaped` is the real shape of the output.
    """

    def write(
        item: Sequence[int | str],
        batch: int | str | None = "n",
        output: Sequence[int | str] = ("n", CLASSES),
        ending: str = "Softmax",
        element: int = TensorProto.FLOAT,
        columns: int = CLASSES,
        reshaped: Sequence[int] | None = None,
    ) -> Path:
        shape = [*item] if batch is None else [batch, *item]
        size = int(np.prod([length for length in item if isinstance(length, int)]))
        target = reshaped or [-1 if isinstance(length, str) else length for length in output]
        nodes = [
            helper.make_node("Cast", ["image"], ["real"], to=TensorProto.FLOAT),
            helper.make_node("Reshape", ["real", "flat_shape"], ["flat"]),
            helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
            helper.make_node(ending, ["logits"], ["rows"]),
            # The size of a selection is unknown beforehand, so the number of classes stays free.
            helper.make_node("Compress", ["rows", "all"], ["classes"], axis=1)
            if output[1:] == ("classes",)
            else helper.make_node("Reshape", ["rows", "output_shape"], ["classes"]),
        ]
        constants = [
            helper.make_tensor("flat_shape", TensorProto.INT64, [2], [-1, size]),
            helper.make_tensor("weights", TensorProto.FLOAT, [size, columns], weights(size, columns, 0).reshape(-1)),
            helper.make_tensor("output_shape", TensorProto.INT64, [len(target)], target),
            helper.make_tensor("all", TensorProto.BOOL, [columns], [True] * columns),
        ]
        tensors = (
            [helper.make_tensor_value_info("image", element, shape)],
            [helper.make_tensor_value_info("classes", TensorProto.FLOAT, output)],
        )
        graph = helper.make_graph(nodes, "foreign", *tensors, constants)
        onnx.save(
            helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "foreign.onnx"
        )
        return tmp_path / "foreign.onnx"

    return write


@pytest.fixture(scope="session")
def foreign() -> Path:
    """A folder of TFLite files without a manifest, for colour images (8, 6, 3) unless stated otherwise. Do not write to it.

    float32, batch4, nobatch (8, 6, 3), grey (1, 8, 6), free (None, 8, 6, 3), two (signatures `first` and `second`), and
    uint8, int8, int16x8, calibrated on inputs of -1 to 1. twice0 to twice5 double a tensor with this many axes.
    """
    return KEPT / "foreign"
