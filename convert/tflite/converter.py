"""Turns one Keras model into the bytes of each .tflite file."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from numpy.typing import NDArray

from edgecnn.convert.export.converters import Conversion, Converter, Ranges, of_batches
from edgecnn.convert.tflite.convert import to_tflite
from edgecnn.convert.tflite.fold import fold, foldable
from edgecnn.convert.tflite.quantize import activations, calibrate_tflite, open_tflite, quantize_tflite, tflite_scales


def converter(conversion: Conversion) -> "TfliteConverter":
    """See `edgecnn.convert.export.converters`."""
    return TfliteConverter(conversion)


class TfliteConverter(Converter):
    """A `Converter` for .tflite files."""

    def __init__(self, conversion: Conversion) -> None:
        self._model, self._shape, _ = of_batches(conversion.runtime)
        self._dtype, self._any_batch = conversion.runtime.input_spec.dtype, conversion.any_batch
        self._io = conversion.io

    @cached_property
    def _float32(self) -> bytes:
        return self._of("float32")

    def convert(self, precision: str) -> bytes:
        """See `Converter`."""
        return self._float32 if precision == "float32" else self._of(precision)

    def calibrate(self, inputs: NDArray[Any]) -> Ranges:
        """See `Converter`."""
        return calibrate_tflite(self._float32, inputs)

    def quantize(self, precision: str, ranges: Ranges, keep: Sequence[str] = ()) -> bytes:
        """See `Converter`."""
        return quantize_tflite(self._float32, precision, ranges, keep, self._io)

    def operators(self) -> tuple[str, ...]:
        """See `Converter`."""
        return tuple(name for _, name, kind in activations(open_tflite(self._float32)) if kind != "INPUT")

    def scales(self, data: bytes) -> dict[str, float]:
        """See `Converter`."""
        return tflite_scales(data)

    def foldable(self, data: bytes) -> Mapping[str, Sequence[int]]:
        """See `Converter`."""
        return foldable(data)

    def fold(self, data: bytes, folds: Mapping[str, int]) -> bytes:
        """See `Converter`."""
        return fold(data, folds)

    def _of(self, precision: str) -> bytes:
        return to_tflite(self._model, precision, self._shape, self._dtype, self._any_batch)
