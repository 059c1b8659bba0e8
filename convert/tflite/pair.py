"""Compares a float and a quantized .tflite file tensor by tensor."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from edgecnn.convert.diagnose import Operator, Pair, Representable, Values
from edgecnn.convert.tflite.quantize import activations, named_activations, open_tflite, operators_of

_PASSING = {
    "CONCATENATION", "EXPAND_DIMS", "GATHER", "MAX_POOL_2D", "PACK", "PAD", "PADV2", "RELU", "RELU6", "RESHAPE",
    "RESIZE_NEAREST_NEIGHBOR", "SLICE", "SPACE_TO_DEPTH", "SPLIT", "SQUEEZE", "STRIDED_SLICE", "TRANSPOSE", "UNPACK",
}  # fmt: skip

_REGROUPING = {"EXPAND_DIMS", "RESHAPE", "SPACE_TO_DEPTH", "SQUEEZE", "TRANSPOSE"}


class _TflitePair:
    """See `edgecnn.convert.diagnose.Pair`. Both files take one image at a time.

    Raises:
        ValueError, RuntimeError: If the runtime can't load a file.
        MissingDependency: If ai-edge-litert is not installed.
    """

    def __init__(self, float32: bytes, quantized: bytes) -> None:
        self._float, self._quantized = open_tflite(float32), open_tflite(quantized)
        tensors = {tensor["index"]: tensor for tensor in self._quantized.get_tensor_details()}
        self._floats = {name: index for index, name, _ in activations(self._float)}
        names = {index: name for name, index in self._floats.items()}
        self.operators: Sequence[Operator] = [
            Operator(
                names[index],
                operator["op_name"],
                tuple(names[entry] for entry in operator["inputs"] if entry in names),
                operator["op_name"] in _PASSING,
                operator["op_name"] in _REGROUPING,
            )
            for operator in operators_of(self._float)
            for index in operator["outputs"]
            if index in names
        ]
        self.quantized: dict[str, Representable] = {}
        # Tensors of the quantized file by name, with scale and zero point; a scale of 0 means unquantized.
        self._others: dict[str, tuple[int, float, int]] = {}
        for index, source in named_activations(self._quantized):
            name, dtype = str(tensors[source]["name"]), tensors[index]["dtype"]
            scale, zero_point = tensors[index]["quantization"]
            if name not in self._floats or name in self.quantized or (name in self._others and not scale):
                continue
            self._others[name] = (index, float(scale), int(zero_point))
            if scale:
                low, high = (float(scale) * (limit - zero_point) for limit in (np.iinfo(dtype).min, np.iinfo(dtype).max))
                self.quantized[name] = Representable(low, high, float(scale))

    def run(self, image: Values) -> Iterator[tuple[str, Values, Values]]:
        for interpreter in (self._float, self._quantized):
            entry = interpreter.get_input_details()[0]
            interpreter.reset_all_variables()
            interpreter.set_tensor(entry["index"], _stored(image[np.newaxis], entry))
            interpreter.invoke()
        for name, (index, scale, zero_point) in self._others.items():
            values = self._quantized.get_tensor(index)
            real = (values.astype(np.float32) - zero_point) * np.float32(scale) if scale else values
            yield name, self._float.get_tensor(self._floats[name]), real


def open_pair(float32: bytes, quantized: bytes) -> Pair:
    return _TflitePair(float32, quantized)


def _stored(real: Values, entry: Any) -> Values:
    scale, zero_point = entry["quantization"]
    if not scale:
        return real
    limits = np.iinfo(entry["dtype"])
    stored: Values = np.clip(np.rint(real / scale) + zero_point, limits.min, limits.max).astype(entry["dtype"])
    return stored
