"""Turns one float model into the bytes of each .onnx file; ONNX Runtime's quantizer makes dynamic and int8."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecnn.convert.export.converters import Conversion, Converter, Learnt, Ranges, finite, of_batches
from edgecnn.convert.onnx.convert import converted
from edgecnn.convert.onnx.source import (
    OPSET,
    KerasSource,
    OnnxMade,
    ask_for_no_more,
    cleaned,
    from_tflite,
    of_one_image,
    onnx_tools,
    session_with,
)
from edgecnn.convert.qat.graph import FloatGraph
from edgecnn.convert.qat.onnx import matched_ranges, with_learnt_weights
from edgecnn.edge.compatibility.onnx import limits
from edgecnn.edge.errors import ConversionError, field
from edgecnn.edge.formats import CalibrationName
from edgecnn.edge.manifest import ONNXSLIM, TF2ONNX, OnnxConversion
from edgecnn.edge.model.layout import has_batch


class _OnnxConverter(Converter):
    """A `Converter` for .onnx files. The file for calibration has a free batch if the model has one, which is faster."""

    def __init__(self, conversion: Conversion) -> None:
        self._conversion, self._any_batch, self._method = conversion, conversion.any_batch, conversion.method
        target = conversion.target
        self._opset = OPSET if target is None else min(OPSET, limits(target.release)[0])

    @cached_property
    def _made(self) -> OnnxMade:
        source, runtime, output = self._conversion.source, self._conversion.runtime, self._conversion.output
        if source.format == "onnx":
            if not has_batch(runtime.input_spec.shape):
                raise ConversionError(f"{source.path}: its input has no batch axis: export it again with one")
            return OnnxMade(cleaned(source.data, self._opset, str(source.path)), OnnxConversion(ONNXSLIM))
        if source.format == "tflite":
            return OnnxMade(from_tflite(source.data, self._opset, output, str(source.path)), OnnxConversion(TF2ONNX))
        model, shape, _ = of_batches(runtime)
        keras = KerasSource(model, shape, runtime.input_spec.dtype, output, self._opset)
        return converted(keras, self._conversion.onnx_converter)

    @cached_property
    def _float32(self) -> bytes:
        free = self._conversion.runtime.input_spec.shape[:1] == (None,)
        return self._made.data if free else of_one_image(self._made.data)

    @cached_property
    def _prepared(self) -> bytes:
        return prepare_onnx(self._float32)

    def convert(self, precision: str) -> bytes:
        if precision == "dynamic":
            if self._any_batch:
                raise ConversionError(
                    f"ONNX dynamic: the images of a batch would share one range: omit dynamic, or {field('batch')}=dynamic"
                )
            return of_one_image(quantize_dynamic_onnx(self._prepared))
        if precision != "float32":
            raise ValueError(f"precision must be float32 or dynamic, got {precision!r}")
        return self._float32 if self._any_batch else of_one_image(self._float32)

    def calibrate(self, inputs: NDArray[Any], method: CalibrationName | None = None) -> Ranges:
        return calibrate_onnx(self._prepared, inputs, method or self._method)

    def quantize(self, precision: str, ranges: Ranges, keep: Sequence[str] = ()) -> bytes:
        if precision != "int8":
            raise ValueError(f"precision must be int8, got {precision!r}")
        quantized = quantize_onnx(self._prepared, ranges, keep)
        return quantized if self._any_batch else of_one_image(quantized)

    def operators(self) -> tuple[str, ...]:
        import onnx

        graph = onnx.load_from_string(self._prepared).graph
        ending = _ending(graph)
        return tuple(node.output[0] for node in graph.node if node.output[0] not in ending)

    def scales(self, data: bytes) -> dict[str, float]:
        return onnx_scales(data)

    def onnx_conversion(self) -> OnnxConversion:
        return self._made.conversion

    def learnt(self, learnt: Learnt) -> Converter:
        return _LearntConverter(self._conversion, self._prepared, learnt)


class _LearntConverter(_OnnxConverter):
    """A `Converter` for what a network has learnt; its ranges are learnt where the two files have the same activation."""

    def __init__(self, conversion: Conversion, prepared: bytes, learnt: Learnt) -> None:
        super().__init__(conversion)
        self._network, self._learnt = FloatGraph(learnt.before), learnt
        # Layers of the int8 file are compared with those of this one.
        self._float32 = self._prepared = with_learnt_weights(prepared, self._network, learnt.weights)

    def calibrate(self, inputs: NDArray[Any], method: CalibrationName | None = None) -> Ranges:
        ranges, few = super().calibrate(inputs, method), inputs[:_COMPARED]
        of = self._network.run(few, self._learnt.weights)
        return matched_ranges(ranges, activations(self._prepared, few, list(ranges)), self._learnt.ranges, of)


def converter(conversion: Conversion) -> Converter:
    return _OnnxConverter(conversion)


CALIBRATIONS: dict[CalibrationName, str] = {"minmax": "MinMax", "entropy": "Entropy", "percentile": "Percentile"}

# Number of images whose activations show which are the same in another file.
_COMPARED = 2
# Number of images whose activations are in memory at a time. Histograms grow from one such batch to the next: a single
# batch of everything leaves the entropy method with one candidate, the whole range.
_BATCH = 8


def prepare_onnx(float32: bytes) -> bytes:
    """Return the model prepared for the quantizer: with the shape of every tensor, and operators fused.

    Raises:
        ConversionError: If ONNX Runtime fails.
        MissingDependency: If onnx or onnxruntime is not installed.
    """
    with _quantizer("prepare") as folder:
        from onnxruntime.quantization.shape_inference import quant_pre_process

        (folder / "float32.onnx").write_bytes(float32)
        quant_pre_process(str(folder / "float32.onnx"), str(folder / "prepared.onnx"), skip_symbolic_shape=True)
        return (folder / "prepared.onnx").read_bytes()


def calibrate_onnx(prepared: bytes, inputs: NDArray[Any], method: CalibrationName) -> Ranges:
    """Return the range of each activation by tensor name.

    Args:
        prepared: Result of `prepare_onnx`.
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
    return finite({name: (low, high) for name, (low, high) in ends.items()}, "ONNX")


def activations(prepared: bytes, inputs: NDArray[Any], names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Return values of a file's tensors for model inputs (n, ...), by name; `prepared` is a result of `prepare_onnx`.

    Raises:
        ConversionError: If ONNX Runtime fails.
    """
    import onnx

    with _quantizer("run"):
        session = session_with(onnx.load_from_string(prepared), names)
        entry = session.get_inputs()[0].name
        found = [session.run(list(names), {entry: image[np.newaxis]}) for image in inputs]
    return {name: np.concatenate([np.atleast_1d(one[place]) for one in found]) for place, name in enumerate(names)}


def quantize_onnx(prepared: bytes, ranges: Ranges, keep: Sequence[str] = ()) -> bytes:
    """Quantize to static int8: QDQ, signed activations and weights, scales per channel.

    The operators to keep in float are named by their output tensor.

    Raises:
        ConversionError: If ONNX Runtime's quantizer fails.
        MissingDependency: If onnx or onnxruntime is not installed.
    """
    with _quantizer("quantize") as folder:
        from onnxruntime import quantization

        import onnx

        named = onnx.load_from_string(prepared)
        graph = named.graph
        for node in graph.node:  # Operators are excluded by their names, which others may leave empty.
            node.name = node.output[0]
        onnx.save(named, folder / "prepared.onnx")
        method = quantization.CalibrationMethod.MinMax  # The ranges are given, whatever method chose them.
        ends = {name: tuple(np.float32(end) for end in range_) for name, range_ in ranges.items()}
        quantization.save_tensors_data(quantization.TensorsData(method, ends), folder / "ranges.json")
        # Calibration would clip the range of a quantized softmax: classes stay right, but confidences become wrong.
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
    return _quantized(model, "int8", may_be_float=bool(keep))


def quantize_dynamic_onnx(prepared: bytes) -> bytes:
    """Quantize weights to 8 bits; the range of an activation is that of each call, so that no images are needed.

    Convolutions have one scale, since ConvInteger takes no more, and unsigned weights, which ONNX Runtime's kernel computes
    several times as fast as signed ones; matrix products have a scale per column.

    Raises:
        ConversionError: If ONNX Runtime's quantizer fails.
        MissingDependency: If onnx or onnxruntime is not installed.
    """
    with _quantizer("quantize", "dynamic") as folder:
        from onnxruntime import quantization

        import onnx

        (folder / "prepared.onnx").write_bytes(prepared)
        quantization.quantize_dynamic(
            folder / "prepared.onnx", folder / "dynamic.onnx", per_channel=True, weight_type=quantization.QuantType.QUInt8
        )
        model = onnx.load(folder / "dynamic.onnx")
    return _quantized(model, "dynamic")


def _quantized(model: Any, precision: str, may_be_float: bool = False) -> bytes:
    """Return a quantized model as a file; one without quantized operators is a float file under another's name."""
    if not may_be_float and not any("QuantizeLinear" in node.op_type for node in model.graph.node):
        raise ConversionError(
            f"ONNX Runtime quantizes none of the model's operators: omit {field('precisions')}={precision}, or ONNX"
        )
    ask_for_no_more(model)
    return bytes(model.SerializeToString())


def onnx_scales(data: bytes) -> dict[str, float]:
    """Return the scale of every quantized activation of a QDQ file, by the name of the float tensor."""
    import onnx

    graph = onnx.load_from_string(data).graph
    values = {value.name: value for value in graph.initializer}
    return {
        float_name(node): float(np.ravel(onnx.numpy_helper.to_array(values[node.input[1]]))[0])
        for node in graph.node
        if node.op_type == "QuantizeLinear"
    }


def float_name(node: Any) -> str:
    """Return the name in the float file of a QuantizeLinear's input; the graph's output keeps its name at the end."""
    return str(node.input[0]).removesuffix("_QuantizeLinear_Input")


def _ending(graph: Any) -> list[str]:
    """Return the outputs of a final softmax or sigmoid, and of operators that only reshape its result."""
    producers = {node.output[0]: node for node in graph.node}
    names = [graph.output[0].name]
    while (node := producers.get(names[-1])) and node.op_type in ("Reshape", "Squeeze", "Unsqueeze", "Flatten"):
        names.append(node.input[0])
    return names if node and node.op_type in ("Softmax", "Sigmoid") else []


def _quantizer(step: str, precision: str = "int8") -> AbstractContextManager[Path]:
    return onnx_tools(f"ONNX {precision}: ONNX Runtime can't {step} the model", f"omit {precision}")


def _reader(calibrator: Any, batch: NDArray[Any]) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types.
        def __init__(self) -> None:
            name = calibrator.infer_session.get_inputs()[0].name
            self.left: list[dict[str, NDArray[Any]]] = [{name: batch}]

        def get_next(self) -> dict[str, NDArray[Any]] | None:
            return self.left.pop() if self.left else None

    return Reader()
