"""Keras -> .onnx bytes."""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from convert.tensorflow import load_tensorflow
from edge.errors import ConversionError, MissingDependency
from edge.preprocess import Floats
from edge.quiet import quiet
from edge.runtimes import ort

ONNX_PRECISIONS = ("float32", "int8")

_OPSET = 17
# The first ONNX Runtime for each opset: the compatibility table of ONNX Runtime's documentation.
_OLDEST_RUNTIME = {13: "1.6", 14: "1.8", 15: "1.10", 16: "1.11", 17: "1.12", 18: "1.14", 19: "1.15", 20: "1.17", 21: "1.18"}
# The first ONNX Runtime for each IR version, from the same table.
_OLDEST_FOR_IR = {7: "1.6", 8: "1.11", 9: "1.15", 10: "1.18", 11: "1.21"}


def to_onnx(model: Any) -> bytes:
    """Convert a Keras image classifier to float32 ONNX with a free batch.

    tf2onnx leaves batch normalisation as Mul and Add beside each Conv, and computes the reshape's shape at run time;
    onnxslim folds the first into the weights and the second into a constant.

    Raises:
        ConversionError: If a step fails.
    """
    tensorflow = load_tensorflow()
    signature = [tensorflow.TensorSpec((None, *model.inputs[0].shape[1:]), tensorflow.float32, name="image")]
    try:
        with quiet():
            import onnxslim
            import tf2onnx

            # from_keras fails on a Keras 3 Sequential.
            function = tensorflow.function(lambda image: model(image, training=False), input_signature=signature)
            graph, _ = tf2onnx.convert.from_function(function, input_signature=signature, opset=_OPSET)
            data: bytes = _named(onnxslim.slim(graph)).SerializeToString()
            return data
    except ModuleNotFoundError as error:
        raise MissingDependency(f"{error.name} is not installed. On the workstation: pip install 'edgecnn[train]'") from error
    except Exception as error:  # Three libraries, each with errors of its own.
        reason = " ".join(str(error).split())[:200]
        raise ConversionError(f"ONNX float32: tf2onnx or onnxslim can't convert the model ({reason})") from error


def quantize_onnx(data: bytes, calibration: Floats) -> bytes:
    """Quantise a float32 ONNX model to static int8: QDQ, signed activations and weights, scales per channel.

    Args:
        data: The float32 model.
        calibration: Model inputs float32 (n, h, w, c).

    Raises:
        ConversionError: If ONNX Runtime's quantiser fails.
    """
    ort.import_library()
    try:
        with tempfile.TemporaryDirectory() as name, quiet(), redirect_stdout(sys.stderr):  # It prints what it does.
            import onnx
            from onnxruntime import quantization
            from onnxruntime.quantization.shape_inference import quant_pre_process

            folder = Path(name)
            (folder / "float32.onnx").write_bytes(data)
            quant_pre_process(str(folder / "float32.onnx"), str(folder / "prepared.onnx"))
            prepared = onnx.load(folder / "prepared.onnx")
            # Calibration clips a quantised softmax well below 1: classes stay right and confidences become wrong.
            outputs = [node.name for node in prepared.graph.node if node.output[0] == prepared.graph.output[0].name]
            quantization.quantize_static(
                str(folder / "prepared.onnx"),
                str(folder / "int8.onnx"),
                _reader(calibration),
                quant_format=quantization.QuantFormat.QDQ,
                per_channel=True,
                nodes_to_exclude=outputs,
                activation_type=quantization.QuantType.QInt8,
                weight_type=quantization.QuantType.QInt8,
                calibrate_method=quantization.CalibrationMethod.Entropy,
            )
            model = onnx.load(folder / "int8.onnx")
            # The optimiser's list of every domain it knows; a domain that no node uses only asks for a newer runtime.
            used = {node.domain for node in model.graph.node}
            kept = [opset for opset in model.opset_import if opset.domain in used | {""}]
            del model.opset_import[:]
            model.opset_import.extend(kept)
            quantized: bytes = model.SerializeToString()
            return quantized
    except ModuleNotFoundError as error:
        raise MissingDependency(f"{error.name} is not installed. On the workstation: pip install 'edgecnn[train]'") from error
    except Exception as error:  # onnxruntime's errors share no public base class but this one.
        reason = " ".join(str(error).split())[:200]
        raise ConversionError(f"ONNX int8: ONNX Runtime can't quantise the model ({reason})") from error


def oldest_onnx_runtime(data: bytes) -> str | None:
    """Return the oldest ONNX Runtime for the file's opset and IR version, where the table knows both."""
    import onnx

    model = onnx.load_from_string(data)
    opset = next((entry.version for entry in model.opset_import if entry.domain == ""), 0)
    releases = [_OLDEST_RUNTIME.get(opset), _OLDEST_FOR_IR.get(model.ir_version)]
    known = [release for release in releases if release]
    if len(known) < len(releases):
        return None
    return "onnxruntime>=" + max(known, key=lambda release: tuple(map(int, release.split("."))))


def _named(model: Any) -> Any:
    """Give the free batch and the output readable names instead of generated ones."""
    graph = model.graph
    old = graph.output[0].name
    for node in graph.node:
        node.output[:] = ["probabilities" if name == old else name for name in node.output]
    graph.output[0].name = "probabilities"
    for value in (graph.input[0], graph.output[0]):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    return model


def _reader(calibration: Floats) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types.
        def __init__(self) -> None:
            self.images: Iterator[Floats] = (calibration[i : i + 1] for i in range(len(calibration)))

        def get_next(self) -> dict[str, Floats] | None:
            image = next(self.images, None)
            return None if image is None else {"image": image}

    return Reader()
