"""Turns one Keras model into the bytes of each .mnn file."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from numpy.typing import NDArray

from edgecnn.convert.export.converters import Conversion, Converter, Ranges
from edgecnn.convert.mnn.convert import described, to_mnn
from edgecnn.convert.mnn.quantize import calibrate_mnn, mnn_layers, mnn_scales, quantize_mnn
from edgecnn.convert.onnx.channels_first import channels_first


def converter(conversion: Conversion) -> "MnnConverter":
    """See `edgecnn.convert.export.converters`."""
    return MnnConverter(conversion)


class MnnConverter(Converter):
    """A `Converter` for .mnn files."""

    def __init__(self, conversion: Conversion) -> None:
        self._conversion = conversion

    @cached_property
    def _onnx(self) -> bytes:
        return channels_first(self._conversion, "MNN")[0]

    @cached_property
    def _float32(self) -> bytes:
        return to_mnn(self._onnx, half=False)

    @cached_property
    def _network(self) -> dict[str, Any]:
        return described(self._float32)

    def convert(self, precision: str) -> bytes:
        """See `Converter`."""
        return self._float32 if precision == "float32" else to_mnn(self._onnx, half=True)

    def calibrate(self, inputs: NDArray[Any]) -> Ranges:
        """See `Converter`."""
        return calibrate_mnn(self._float32, self._network, inputs)

    def quantize(self, precision: str, ranges: Ranges, keep: Sequence[str] = ()) -> bytes:
        """See `Converter`."""
        if precision != "int8":
            raise ValueError(f"precision must be int8, got {precision!r}")
        return quantize_mnn(self._float32, self._network, ranges, keep)

    def operators(self) -> tuple[str, ...]:
        """See `Converter`."""
        return tuple(layer.given for layer in mnn_layers(self._network))

    def scales(self, data: bytes) -> dict[str, float]:
        """See `Converter`."""
        return mnn_scales(described(data))
