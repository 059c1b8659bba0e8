"""Compares a float and a quantized .onnx file tensor by tensor."""

from collections.abc import Iterator, Sequence

import numpy as np

from edgecnn.convert.diagnose import Operator, Pair, Representable, Values
from edgecnn.convert.onnx.converter import float_name, prepare_onnx
from edgecnn.convert.onnx.source import session_with
from edgecnn.edge.runtimes.onnxruntime import require_whole

_PASSING = {
    "Clip", "Concat", "Flatten", "Gather", "Identity", "MaxPool", "Pad", "Relu", "Reshape", "Slice", "Split", "Squeeze",
    "Transpose", "Unsqueeze",
}  # fmt: skip

_REGROUPING = {"Flatten", "Reshape", "Squeeze", "Transpose", "Unsqueeze"}


class _OnnxPair:
    """See `Pair`. The float file is compared as the quantizer prepares it, with some operators fused.

    Raises:
        ArtifactError: If a file's weights are in another file.
        ConversionError: If ONNX Runtime can't prepare the float file.
        MissingDependency: If onnx or onnxruntime is not installed.
    """

    def __init__(self, float32: bytes, quantized: bytes) -> None:
        import onnx

        require_whole(float32)
        require_whole(quantized)
        model, other = onnx.load_from_string(prepare_onnx(float32)), onnx.load_from_string(quantized)
        computed = {name for node in model.graph.node for name in node.output}
        self.operators: Sequence[Operator] = [
            Operator(
                name,
                node.op_type,
                tuple(entry for entry in node.input if entry in computed),
                node.op_type in _PASSING,
                node.op_type in _REGROUPING,
            )
            for node in model.graph.node
            for name in node.output
        ]
        constants = {value.name: onnx.numpy_helper.to_array(value) for value in other.graph.initializer}
        dequantized = {node.input[0]: node.output[0] for node in other.graph.node if node.op_type == "DequantizeLinear"}
        self.quantized: dict[str, Representable] = {}
        others = {name: name for node in other.graph.node for name in node.output if name in computed}
        for node in other.graph.node:
            name = float_name(node) if node.op_type == "QuantizeLinear" else ""
            if name in computed:
                scale, zero_point = (constants[constant] for constant in node.input[1:])
                limits = np.iinfo(zero_point.dtype)
                low, high = (float(scale) * (limit - float(zero_point)) for limit in (limits.min, limits.max))
                self.quantized[name] = Representable(low, high, float(scale))
                others[name] = dequantized[node.output[0]]
        self._names = list(others)
        self._float = session_with(model, self._names), self._names
        self._quantized = session_with(other, others.values()), list(others.values())

    def run(self, image: Values) -> Iterator[tuple[str, Values, Values]]:
        references, values = (
            session.run(outputs, {session.get_inputs()[0].name: image[np.newaxis]})
            for session, outputs in (self._float, self._quantized)
        )
        for name, reference, value in zip(self._names, references, values, strict=True):
            if reference.dtype == np.float32 and reference.ndim and reference.size:
                # (n, c, h, w), as feature maps are written; with fewer dimensions the channels are last.
                yield name, *((np.moveaxis(array, 1, -1) if array.ndim > 3 else array) for array in (reference, value))


def open_pair(float32: bytes, quantized: bytes) -> Pair:
    return _OnnxPair(float32, quantized)
