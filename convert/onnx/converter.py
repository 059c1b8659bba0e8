"""Turns one Keras model into the bytes of each .onnx file."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from numpy.typing import NDArray

from edgecnn.convert.export.converters import Conversion, Converter, Ranges, of_batches
from edgecnn.convert.onnx.convert import OPSET, of_one_image, to_onnx
from edgecnn.convert.onnx.quantize import calibrate_onnx, onnx_operators, onnx_scales, prepare_onnx, quantize_onnx
from edgecnn.edge.compatibility.onnx import limits


def converter(conversion: Conversion) -> "OnnxConverter":
    """See `edgecnn.convert.export.converters`."""
    return OnnxConverter(conversion)


class OnnxConverter(Converter):
    """A `Converter` for .onnx files. The file for calibration has a free batch if the model has one, which is faster."""

    def __init__(self, conversion: Conversion) -> None:
        self._model, self._shape, self._free = of_batches(conversion.runtime)
        self._dtype, self._any_batch = conversion.runtime.input_spec.dtype, conversion.any_batch
        self._output, self._method = conversion.output, conversion.method
        target = conversion.target
        self._opset = OPSET if target is None else min(OPSET, limits(target.release)[0])

    @cached_property
    def _float32(self) -> bytes:
        data = to_onnx(self._model, self._shape, self._dtype, self._output, self._opset)
        return data if self._free else of_one_image(data)

    @cached_property
    def _prepared(self) -> bytes:
        return prepare_onnx(self._float32)

    def convert(self, precision: str) -> bytes:
        """See `Converter`."""
        if precision != "float32":
            raise ValueError(f"precision must be float32, got {precision!r}")
        return self._float32 if self._any_batch else of_one_image(self._float32)

    def calibrate(self, inputs: NDArray[Any]) -> Ranges:
        """See `Converter`."""
        return calibrate_onnx(self._prepared, inputs, self._method)

    def quantize(self, precision: str, ranges: Ranges, keep: Sequence[str] = ()) -> bytes:
        """See `Converter`."""
        if precision != "int8":
            raise ValueError(f"precision must be int8, got {precision!r}")
        quantized = quantize_onnx(self._prepared, ranges, keep)
        return quantized if self._any_batch else of_one_image(quantized)

    def operators(self) -> tuple[str, ...]:
        """See `Converter`."""
        return onnx_operators(self._prepared)

    def scales(self, data: bytes) -> dict[str, float]:
        """See `Converter`."""
        return onnx_scales(data)
