"""Files as others write them: one dense layer, which numpy computes too, behind every kind of input and output."""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from convert.tensorflow import load_tensorflow
from edge.classifier import Classifier
from edge.interface import Interface
from edge.model_file import ModelFile, read_model
from edge.runtimes import Runtime, opener_for

CLASSES = 4

Dense = Callable[..., NDArray[np.float32]]
OnnxFile = Callable[..., Path]


class Recording:
    """A runtime that runs another, and keeps what it was given."""

    def __init__(self, inner: Runtime) -> None:
        self.inner, self.batches = inner, list[NDArray[Any]]()
        self.name, self.version = "recording", "1"
        self.input_spec, self.output_spec = inner.input_spec, inner.output_spec

    def run(self, batch: NDArray[Any]) -> NDArray[Any]:
        self.batches.append(batch)
        return self.inner.run(batch)


@pytest.fixture
def recording() -> Callable[..., tuple[Classifier, Recording]]:
    """Return a function that opens a file and keeps what its runtime is given."""

    def opened(model: ModelFile | Path, interface: Interface | None = None) -> tuple[Classifier, Recording]:
        model = read_model(model) if isinstance(model, Path) else model
        runtime = Recording(opener_for(model.format).open_model(model.data, 1))
        return Classifier(model, runtime, interface), runtime

    return opened


def weights(size: int, columns: int, seed: int) -> NDArray[np.float32]:
    return np.random.default_rng([seed, size]).normal(0, 3 / np.sqrt(size), (size, columns)).astype(np.float32)


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

    Sizes that are names are free. `batch` is None if the input has no axis for it. `reshaped` is what the output really is.
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
            # Of a selection nobody knows the size beforehand, so that the number of classes stays free.
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
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of TFLite files with no manifest, for colour images (8, 6, 3) unless they say another. Read it only.

    float32, batch4, nobatch (8, 6, 3), grey (1, 8, 6), free (None, 8, 6, 3), two (signatures `first` and `second`), and
    uint8, int8, int16x8, calibrated on inputs of -1 to 1.
    """
    folder = tmp_path_factory.mktemp("foreign")
    shapes = {"float32": (1, 8, 6, 3), "batch4": (4, 8, 6, 3), "nobatch": (8, 6, 3), "grey": (1, 8, 6), "free": (None, 8, 6, 3)}
    for name, shape in shapes.items():
        (folder / f"{name}.tflite").write_bytes(_converter(shape).convert())
    with warnings.catch_warnings():
        # The converter asks for statistics that only its predecessor used.
        warnings.filterwarnings("ignore", "Statistics for quantized inputs were expected", UserWarning)
        _write_quantised(folder)
    (folder / "two.tflite").write_bytes(_two_signatures(folder / "saved"))
    return folder


def _write_quantised(folder: Path) -> None:
    tf = load_tensorflow()
    for dtype in (tf.uint8, tf.int8, tf.int16):
        converter = _converter((1, 8, 6, 3))
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = _calibration
        converter.inference_input_type = converter.inference_output_type = dtype
        if dtype == tf.int16:
            ops = tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
            converter.target_spec.supported_ops = [ops]
        (folder / f"{'int16x8' if dtype == tf.int16 else dtype.name}.tflite").write_bytes(converter.convert())


def _network(shape: tuple[int | None, ...], seed: int = 0) -> Any:
    tf = load_tensorflow()
    size = int(np.prod([length for length in shape[-3:] if length]))
    matrix = tf.constant(weights(size, CLASSES, seed))

    def network(image: Any) -> Any:
        return tf.nn.softmax(tf.matmul(tf.reshape(image, [-1, size]), matrix))

    return tf.function(network, input_signature=[tf.TensorSpec(shape, tf.float32, name="image")])


def _converter(shape: tuple[int | None, ...]) -> Any:
    network = _network(shape)
    return load_tensorflow().lite.TFLiteConverter.from_concrete_functions([network.get_concrete_function()], network)


def _calibration() -> Any:
    yield from ([np.full((1, 8, 6, 3), value, np.float32)] for value in (-1, 1))
    rng = np.random.default_rng(1)
    yield from ([rng.uniform(-1, 1, (1, 8, 6, 3)).astype(np.float32)] for _ in range(20))


def _two_signatures(folder: Path) -> bytes:
    tf = load_tensorflow()
    module = tf.Module()
    module.first, module.second = _network((1, 8, 6, 3)), _network((1, 8, 6, 3), seed=1)
    tf.saved_model.save(module, str(folder), signatures={"first": module.first, "second": module.second})
    data: bytes = tf.lite.TFLiteConverter.from_saved_model(str(folder), signature_keys=["first", "second"]).convert()
    return data
