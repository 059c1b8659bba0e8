"""Turns one Keras model into the bytes of each .pte file."""

from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from edgecnn.convert.executorch.lower import Source, calibrated, lowered, operators, quantized
from edgecnn.convert.export.converters import Conversion, Converter, Ranges
from edgecnn.convert.onnx.convert import channels_first
from edgecnn.edge.errors import ArtifactError, ConversionError
from edgecnn.edge.files import sha256
from edgecnn.edge.runtimes.executorch import require_installed
from edgecnn.edge.sandbox.unverified import run_in_child

# PyTorch takes seconds to import, and half a minute to lower a small network on a busy machine.
_SECONDS = 900.0
# The memory limit is 16 times this and 2 GiB.
_ALLOWED_BYTES = 2**28

Result = TypeVar("Result")


def converter(conversion: Conversion) -> "ExecuTorchConverter":
    """See `edgecnn.convert.export.converters`."""
    return ExecuTorchConverter(conversion)


class ExecuTorchConverter(Converter):
    """A `Converter` for .pte files. Each step is a child process: PyTorch and TensorFlow stay apart."""

    def __init__(self, conversion: Conversion) -> None:
        self._conversion = conversion
        # Scales by a file's hash: XNNPACK keeps them in a form that nobody else reads.
        self._scales: dict[str, dict[str, float]] = {}

    @cached_property
    def _source(self) -> Source:
        return Source(*channels_first(self._conversion, "ExecuTorch"))

    @cached_property
    def _float32(self) -> bytes:
        return _apart(partial(lowered, self._source))

    def convert(self, precision: str) -> bytes:
        """See `Converter`."""
        if precision != "float32":
            raise ValueError(f"precision must be float32, got {precision!r}")
        return self._float32

    def calibrate(self, inputs: NDArray[Any]) -> Ranges:
        """See `Converter`."""
        images = np.ascontiguousarray(inputs.transpose(0, 3, 1, 2), np.float32)
        return _apart(partial(calibrated, self._source, images))

    def quantize(self, precision: str, ranges: Ranges, keep: Sequence[str] = ()) -> bytes:
        """See `Converter`."""
        if precision != "int8":
            raise ValueError(f"precision must be int8, got {precision!r}")
        made = _apart(partial(quantized, self._source, dict(ranges), tuple(keep)))
        self._scales[sha256(made.data)] = made.scales
        return made.data

    @cached_property
    def _operators(self) -> tuple[str, ...]:
        return _apart(partial(operators, self._source))

    def operators(self) -> tuple[str, ...]:
        """See `Converter`."""
        return self._operators

    def scales(self, data: bytes) -> dict[str, float]:
        """See `Converter`. The file must be one that `quantize` returned."""
        return self._scales[sha256(data)]


def _apart(call: Callable[[], Result]) -> Result:
    require_installed()
    try:
        return run_in_child(call, "ExecuTorch's converter", _ALLOWED_BYTES, _SECONDS)
    except ArtifactError as error:
        raise ConversionError(f"executorch: the model can't be converted: {error}") from error
