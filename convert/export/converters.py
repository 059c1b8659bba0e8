"""Turns one float model into the bytes of each file; what several files of a format share is made once.

Each format has its own converter module, which `edgecnn.edge.formats` names and which has
`converter(conversion) -> Converter`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from edgecnn.convert.export.runtime_releases import RuntimeRelease
from edgecnn.convert.keras.load import load_keras
from edgecnn.convert.keras.runtime import KerasRuntime
from edgecnn.edge.errors import ConversionError, field
from edgecnn.edge.formats import FORMATS, CalibrationName, IoName
from edgecnn.edge.manifest import OnnxConversion, OnnxConverterName, Output
from edgecnn.edge.model_file import ModelFile
from edgecnn.edge.runtimes.base import LoadedModel

Ranges = Mapping[str, tuple[float, float]]
"""The smallest and the largest value of each activation, by tensor name."""


@dataclass(frozen=True, eq=False)
class Learnt:
    """What training for integers has made of a float32 .tflite file.

    Attributes:
        before: The file before.
        file: The file with the learnt weights and biases, which lie on the steps of the int8 file.
        weights: These, by tensor name.
        ranges: The learnt range of each activation.
        epoch: Number of the epoch that was kept, from 1.
    """

    before: bytes
    file: bytes
    weights: Mapping[str, NDArray[np.float32]]
    ranges: Ranges
    epoch: int


class Converter(Protocol):
    """Makes the files of one format. Methods raise ConversionError if a tool fails, MissingDependency if one is missing."""

    def learnt(self, learnt: Learnt) -> "Converter":
        """Return a converter of the same network with what it has learnt; of formats that are made of .tflite files too."""
        raise TypeError(f"{type(self).__name__} takes nothing that was trained for integers")

    def convert(self, precision: str) -> bytes:
        """Return a file of a precision without calibration."""

    def calibrate(self, inputs: NDArray[Any], method: CalibrationName | None = None) -> Ranges:
        """Return the range of each activation for model inputs (n, ...) without a batch axis, in the model's dtype.

        `method` is one of the format's; None for the one that the conversion names.
        """

    def quantize(self, precision: str, ranges: Ranges, keep: Sequence[str] = ()) -> bytes:
        """Return a file of a calibrated precision with the ranges of `calibrate`.

        Operators stay float that `keep` names by their output tensors.
        """

    def with_16_bits(self, ranges: Ranges, operators: Sequence[str]) -> bytes | None:
        """Return an int8 file with 16-bit activations in these operators; None if the format has none."""
        return None

    def with_biases(self, data: bytes, inputs: NDArray[Any]) -> bytes | None:
        """Return an int8 file whose biases make up for the mean error of each layer; None if the format has no way to it."""
        return None

    def operators(self) -> tuple[str, ...]:
        """Return the operators that `quantize` may leave in float, in the order in which they run."""

    def scales(self, data: bytes) -> dict[str, float]:
        """Return the scale of each integer activation of a quantized file."""

    def onnx_conversion(self) -> OnnxConversion | None:
        """Return what made the ONNX graph that the files are made of; None if they are made of none."""
        return None

    def foldable(self, data: bytes) -> Mapping[str, Sequence[int]]:
        """Return how many columns each convolution of an int8 file could compute as one, by the name of its output tensor."""
        return {}

    def fold(self, data: bytes, folds: Mapping[str, int]) -> bytes:
        """Return an int8 file with the same answers that computes as many columns of these convolutions as one.

        `folds` has some of what `foldable` returns of the file without floats, one number each. A convolution in float stays
        as it is.
        """
        return data


@dataclass(frozen=True)
class Conversion:
    """The input of a converter.

    Attributes:
        source: The float model's file, in one of the formats that the converter's row names as sources.
        runtime: The opened file, which takes any number of images at a time, or one.
        output: `probabilities` or `logits`.
        method: Calibration method, one of the format's.
        target: Target runtime of the files; None if none was named.
        any_batch: Whether the files take any number of images at a time, as the model then must; else they take one.
        io: Type of the input and output of int8 files, one of the format's.
        onnx_converter: What makes ONNX of the Keras model; None for edgecnn's own if it knows all layers, else tf2onnx.
    """

    source: ModelFile
    runtime: LoadedModel
    output: Output
    method: CalibrationName
    target: RuntimeRelease | None
    any_batch: bool
    io: IoName
    onnx_converter: OnnxConverterName | None = None


def refused(title: str, reason: str) -> ConversionError:
    """Return the error of a format, named as in messages, that a model can't be converted to."""
    fix = f"replace that layer, or use other {field('formats')}"
    return ConversionError(f"{title}: the model can't be converted ({reason}): {fix}")


def finite(ranges: Ranges, title: str) -> Ranges:
    """Return ranges from calibration; raise ConversionError if one is not finite. `title` is the format's, for the message."""
    for name, ends in ranges.items():
        if not np.isfinite(ends).all():
            raise ConversionError(f"{title}: {name} is not finite for a calibration image: check the model and its inputs")
    return ranges


def widen(ranges: dict[str, tuple[float, float]], name: str, values: NDArray[Any]) -> None:
    """Let the range of an activation hold these values too; one with a NaN becomes NaN."""
    low, high = ranges.get(name, (np.inf, -np.inf))
    # np.minimum and np.maximum keep NaN; min and max would lose it.
    ranges[name] = float(np.minimum(low, values.min())), float(np.maximum(high, values.max()))


def channels_first_inputs(inputs: NDArray[Any]) -> NDArray[np.float32]:
    """Return model inputs (n, h, w, c), (n, c, h, w) or, of grey images, (n, h, w), as (n, c, h, w)."""
    if inputs.ndim == 3:
        inputs = inputs[:, np.newaxis]
    last = inputs.shape[-1] in (1, 3)  # As `edgecnn.edge.model.layout.image_layout` reads it.
    return np.ascontiguousarray(inputs.transpose(0, 3, 1, 2) if last else inputs, np.float32)


def converter_for(model_format: str, conversion: Conversion) -> Converter:
    """Return the converter of a format that a device runs."""
    module = import_module(str(FORMATS[model_format].converter))
    return cast(Converter, module.converter(conversion))


def of_batches(runtime: LoadedModel) -> tuple[Any, tuple[int, ...], bool]:
    """Return a Keras model with a batch axis, the shape of one image, and whether a batch may have any size or only one."""
    runtime = cast(KerasRuntime, runtime)
    takes = runtime.input_spec.shape
    if takes[0] is None or runtime.output_spec.shape[:1] == takes[:1] == (1,):
        return runtime.model, tuple(int(size or 0) for size in takes[1:]), takes[0] is None
    shape = tuple(int(size or 0) for size in takes)
    keras = load_keras()
    image = keras.Input(shape, batch_size=1, name="image", dtype=runtime.input_spec.dtype)
    scores = runtime.model(keras.ops.reshape(image, shape))
    return keras.Model(image, keras.ops.reshape(scores, (1, -1))), shape, False
