"""Files like those of other tools: one dense layer, which numpy also computes, behind every kind of input and output."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgecnn.benchmarks.bundle.write_bundle import write_bundle
from edgecnn.edge.data.dataset import load_test
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.model.interface import Interface
from edgecnn.edge.model_file import ModelFile, read_model
from edgecnn.edge.model_folder import ModelFolder
from edgecnn.edge.runtimes import opener_for
from edgecnn.edge.runtimes.base import LoadedModel
from tests.dense import CLASSES, weights
from tests.onnx_text import onnx_bytes

KEPT = Path(__file__).parents[1] / "kept"

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
        element: str = "float",
        columns: int = CLASSES,
        reshaped: Sequence[int] | None = None,
    ) -> Path:
        shape = [*item] if batch is None else [batch, *item]
        size = int(np.prod([length for length in item if isinstance(length, int)]))
        target = reshaped or [-1 if isinstance(length, str) else length for length in output]
        # The size of a selection is unknown beforehand, so the number of classes stays free.
        last = "Compress <axis = 1> (rows, all)" if output[1:] == ("classes",) else "Reshape (rows, output_shape)"
        nodes = "real = Cast <to = 1> (image) flat = Reshape (real, flat_shape) logits = MatMul (flat, weights)"
        nodes += f" rows = {ending} (logits) classes = {last}"
        takes, gives = (", ".join(map(str, sizes)) for sizes in (shape, output))
        ends = f"({element}[{takes}] image) => (float[{gives}] classes)"
        constants = {"flat_shape": [-1, size], "output_shape": target, "all": [True] * columns}
        data = onnx_bytes(f"{ends} {{{nodes}}}", weights=weights(size, columns, 0), **constants)
        (tmp_path / "foreign.onnx").write_bytes(data)
        return tmp_path / "foreign.onnx"

    return write


@pytest.fixture(scope="session")
def foreign() -> Path:
    """A folder of TFLite files without a manifest, for colour images (8, 6, 3) unless stated otherwise. Do not write to it.

    float32, batch4, nobatch (8, 6, 3), grey (1, 8, 6), free (None, 8, 6, 3), two (signatures `first` and `second`), and
    uint8, int8, int16x8, calibrated on inputs of -1 to 1. twice0 to twice5 double a tensor with this many axes.
    """
    return KEPT / "foreign"
