"""float32 .onnx bytes -> int8, by ONNX Runtime's quantiser."""

import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.quantize_tflite import Ranges
from convert.to_onnx import ask_for_no_more
from edge.errors import ConversionError, MissingDependency
from edge.quiet import quiet
from edge.runtimes import ort

CALIBRATIONS = {"minmax": "MinMax", "entropy": "Entropy", "percentile": "Percentile"}

# Images whose activations are in memory at a time. The histograms grow from one such batch to the next: a single batch of
# everything leaves the entropy method with one candidate, the whole range.
_BATCH = 8


def prepare_onnx(float32: bytes) -> bytes:
    """Return the model as the quantiser wants it: with every tensor's shape, and what can be fused fused.

    Raises:
        ConversionError: If ONNX Runtime can't.
        MissingDependency: If onnx or onnxruntime is not installed.
    """
    with _quantizer("prepare") as folder:
        from onnxruntime.quantization.shape_inference import quant_pre_process

        (folder / "float32.onnx").write_bytes(float32)
        quant_pre_process(str(folder / "float32.onnx"), str(folder / "prepared.onnx"), skip_symbolic_shape=True)
        return (folder / "prepared.onnx").read_bytes()


def calibrate_onnx(prepared: bytes, inputs: NDArray[Any], method: str) -> Ranges:
    """Return the range that each activation is given, by tensor name.

    Args:
        prepared: From `prepare_onnx`.
        inputs: Model inputs (n, ...), without the batch dimension, in the model's dtype.
        method: `minmax` (smallest and largest), `entropy` (least divergence from the histogram of values) or
            `percentile` (99.999 % of the values).

    Raises:
        ConversionError: If an activation is not finite, or ONNX Runtime fails.
        MissingDependency: If onnx or onnxruntime is not installed.
    """
    with _quantizer("calibrate") as folder:
        from onnxruntime.quantization import CalibrationMethod, create_calibrator

        (folder / "prepared.onnx").write_bytes(prepared)
        calibrator = create_calibrator(
            folder / "prepared.onnx",
            augmented_model_path=str(folder / "augmented.onnx"),
            calibrate_method=CalibrationMethod[CALIBRATIONS[method]],
        )
        batch = calibrator.infer_session.get_inputs()[0].shape[0]
        step = batch if isinstance(batch, int) else _BATCH
        for start in range(0, len(inputs), step):
            calibrator.collect_data(_reader(calibrator, inputs[start : start + step]))
        found = calibrator.compute_data()
        ends = {name: [float(np.ravel(end)[0]) for end in found[name].range_value] for name in found}
        ranges = {name: (low, high) for name, (low, high) in ends.items()}
    for name, (low, high) in ranges.items():
        if not np.isfinite(low) or not np.isfinite(high):
            raise ConversionError(f"ONNX: {name} is not finite for a calibration image: check the model and its inputs")
    return ranges


def quantize_onnx(prepared: bytes, ranges: Ranges, keep: Sequence[str] = ()) -> bytes:
    """Quantise to static int8: QDQ, signed activations and weights, scales per channel.

    Args:
        prepared: From `prepare_onnx`.
        ranges: From `calibrate_onnx`.
        keep: Operators that stay float, by the name of their output tensor.

    Raises:
        ConversionError: If ONNX Runtime's quantiser fails.
        MissingDependency: If onnx or onnxruntime is not installed.
    """
    with _quantizer("quantise") as folder:
        import onnx
        from onnxruntime import quantization

        (folder / "prepared.onnx").write_bytes(prepared)
        method = quantization.CalibrationMethod.MinMax  # Ranges are ranges, whatever chose them.
        ends = {name: tuple(np.float32(end) for end in range_) for name, range_ in ranges.items()}
        quantization.save_tensors_data(quantization.TensorsData(method, ends), folder / "ranges.json")
        graph = onnx.load_from_string(prepared).graph
        # A quantised softmax would have a range that calibration clips: classes stay right and confidences become wrong.
        excluded = [node for node in graph.node if node.output[0] in (*_ending(graph), *keep)]
        quantization.quantize_static(
            folder / "prepared.onnx",
            folder / "int8.onnx",
            calibration_cache_path=folder / "ranges.json",
            calibrate_method=method,
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            nodes_to_exclude=[node.name for node in excluded],
            activation_type=quantization.QuantType.QInt8,
            weight_type=quantization.QuantType.QInt8,
        )
        model = onnx.load(folder / "int8.onnx")
        ask_for_no_more(model)
        quantized: bytes = model.SerializeToString()
        return quantized


def onnx_scales(data: bytes) -> dict[str, float]:
    """Return the scale of every quantised activation of a QDQ file, by the name of the float tensor."""
    import onnx

    graph = onnx.load_from_string(data).graph
    values = {value.name: value for value in graph.initializer}
    return {
        float_name(node): float(np.ravel(onnx.numpy_helper.to_array(values[node.input[1]]))[0])
        for node in graph.node
        if node.op_type == "QuantizeLinear"
    }


def float_name(node: Any) -> str:
    """Return what a QuantizeLinear's input is called in the float file; the graph's output keeps its own name at the end."""
    return str(node.input[0]).removesuffix("_QuantizeLinear_Input")


def _ending(graph: Any) -> list[str]:
    """Return the outputs of a closing softmax or sigmoid, and of what only reshapes its result."""
    producers = {node.output[0]: node for node in graph.node}
    names = [graph.output[0].name]
    while (node := producers.get(names[-1])) and node.op_type in ("Reshape", "Squeeze", "Unsqueeze", "Flatten"):
        names.append(node.input[0])
    return names if node and node.op_type in ("Softmax", "Sigmoid") else []


@contextmanager
def _quantizer(step: str) -> Iterator[Path]:
    """Give a folder to work in; what the quantiser prints goes to stderr, and what it raises becomes one line."""
    ort.import_library()
    try:
        with tempfile.TemporaryDirectory() as name, quiet(), redirect_stdout(sys.stderr):
            yield Path(name)
    except ModuleNotFoundError as error:
        raise MissingDependency(f"{error.name} is not installed. On the workstation: pip install 'edgecnn[train]'") from error
    except Exception as error:  # onnxruntime's errors share no public base class but this one.
        reason = " ".join(str(error).split())[:200]
        raise ConversionError(f"ONNX int8: ONNX Runtime can't {step} the model ({reason}): leave int8 away") from error


def _reader(calibrator: Any, batch: NDArray[Any]) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types.
        def __init__(self) -> None:
            name = calibrator.infer_session.get_inputs()[0].name
            self.left: list[dict[str, NDArray[Any]]] = [{name: batch}]

        def get_next(self) -> dict[str, NDArray[Any]] | None:
            return self.left.pop() if self.left else None

    return Reader()
