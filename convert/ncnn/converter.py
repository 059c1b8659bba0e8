"""Turns one Keras model into the bytes of each .ncnn file."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from numpy.typing import NDArray

from edgecnn.convert.export.converters import Conversion, Converter, Ranges
from edgecnn.convert.ncnn.convert import to_ncnn
from edgecnn.convert.ncnn.quantize import calibrate_ncnn, ncnn_operators, ncnn_scales, quantize_ncnn
from edgecnn.convert.onnx.channels_first import channels_first
from edgecnn.edge.runtimes.ncnn_file import NcnnFile, unpack


def converter(conversion: Conversion) -> "NcnnConverter":
    """See `edgecnn.convert.export.converters`."""
    return NcnnConverter(conversion)


class NcnnConverter(Converter):
    """A `Converter` for .ncnn files."""

    def __init__(self, conversion: Conversion) -> None:
        self._conversion = conversion

    @cached_property
    def _onnx(self) -> tuple[bytes, tuple[int, int, int]]:
        return channels_first(self._conversion, "ncnn")

    @cached_property
    def _float32(self) -> NcnnFile:
        return to_ncnn(*self._onnx)

    def convert(self, precision: str) -> bytes:
        """See `Converter`."""
        if precision != "float32":
            raise ValueError(f"precision must be float32, got {precision!r}")
        return self._float32.pack()

    def calibrate(self, inputs: NDArray[Any]) -> Ranges:
        """See `Converter`."""
        return calibrate_ncnn(self._float32, inputs)

    def quantize(self, precision: str, ranges: Ranges, keep: Sequence[str] = ()) -> bytes:
        """See `Converter`."""
        if precision != "int8":
            raise ValueError(f"precision must be int8, got {precision!r}")
        return quantize_ncnn(self._float32, ranges, keep).pack()

    def operators(self) -> tuple[str, ...]:
        """See `Converter`."""
        return ncnn_operators(self._float32)

    def scales(self, data: bytes) -> dict[str, float]:
        """See `Converter`."""
        return ncnn_scales(unpack(data))
