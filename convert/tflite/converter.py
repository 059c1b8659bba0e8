"""Turns one float model into the bytes of each .tflite file."""

import re
import warnings
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from numpy.typing import NDArray

from edgecnn.convert.export.converters import Conversion, Converter, Learnt, Ranges, of_batches
from edgecnn.convert.keras.load import load_tensorflow
from edgecnn.convert.tflite.biases import corrected_biases
from edgecnn.convert.tflite.calibrate import calibrate_tflite
from edgecnn.convert.tflite.fold import fold, foldable
from edgecnn.convert.tflite.quantize import (
    activations,
    of_one_image,
    open_tflite,
    probabilities,
    quantize_tflite,
    tflite_scales,
    with_16_bits,
    with_narrow_weights,
    with_short_names,
)
from edgecnn.edge.errors import ConversionError, field, why
from edgecnn.edge.files import libraries_folder
from edgecnn.edge.formats import CalibrationName
from edgecnn.edge.native_output import quiet

CONVERTED = ("float32", "float16", "dynamic")  # The converter writes these; the others are quantized from the float32 file.


def to_tflite(model: Any, precision: str, shape: tuple[int, ...], dtype: str, any_batch: bool = False) -> bytes:
    """Convert a Keras image classifier.

    With a free batch the converter adds three operators that compute the shape of each reshape. The file's signature names
    its input `image`.

    Args:
        model: The Keras model.
        precision: A name in `CONVERTED`.
        shape: Shape of one image, without the batch.
        dtype: numpy's name of the model's input type, for example float32 or uint8.
        any_batch: Whether the file takes any number of images at a time; else it takes one.

    Raises:
        ConversionError: If TensorFlow's converter fails.
    """
    if precision not in CONVERTED:
        raise ValueError(f"precision must be one of {CONVERTED}, got {precision!r}")
    tensorflow = load_tensorflow()
    signature = [tensorflow.TensorSpec((None if any_batch else 1, *shape), dtype, name="image")]

    # Not model.export, which leaves layers such as RandomFlip active, as in training, and takes twice as long.
    def serve(image: Any) -> Any:
        return {"output_0": tensorflow.nest.flatten(model(image, training=False))[0]}

    try:
        with libraries_folder(), quiet(), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            call = tensorflow.function(serve, input_signature=signature, autograph=False).get_concrete_function()
            kept = tensorflow.Module()
            kept.variables_of_call = call.graph.variables
            converter = tensorflow.lite.TFLiteConverter.from_concrete_functions([call], kept)
            _set_precision(converter, precision)
            return with_short_names(converter.convert())
    except Exception as error:  # The converter raises whatever its passes raise.
        reason = f"TensorFlow can't convert the model ({_reason(error)})"
        raise ConversionError(f"TFLite {precision}: {reason}: replace that layer, or use {field('formats')}=onnx") from error


def _reason(error: Exception) -> str:
    """Return which operators TFLite lacks, if the converter's long message says so, else its reason."""
    lacking = re.findall(r"^(?:TF Select|Custom) ops: (.+)$", str(error), re.MULTILINE)
    return f"it has no {', '.join(lacking)}" if lacking else why(error, 200)


def _set_precision(converter: Any, precision: str) -> None:
    tensorflow = load_tensorflow()
    if precision == "float32":
        return
    converter.optimizations = [tensorflow.lite.Optimize.DEFAULT]
    if precision == "float16":
        converter.target_spec.supported_types = [tensorflow.float16]
    else:
        # With scales per output, FULLY_CONNECTED becomes version 12, which tflite-runtime 2.14, the last for 32-bit
        # boards, refuses. What litert-quantizer writes in its place says version 1, and that runtime computes it wrong.
        converter._experimental_disable_per_channel_quantization_for_dense_layers = True


class _TfliteConverter(Converter):
    """A `Converter` for .tflite files."""

    def __init__(self, conversion: Conversion) -> None:
        self._conversion, self._io = conversion, conversion.io

    @cached_property
    def _float32(self) -> bytes:
        return self._of("float32")

    def convert(self, precision: str) -> bytes:
        return self._float32 if precision == "float32" else self._of(precision)

    def calibrate(self, inputs: NDArray[Any], method: CalibrationName | None = None) -> Ranges:
        return calibrate_tflite(self._float32, inputs, method or self._conversion.method)

    def quantize(self, precision: str, ranges: Ranges, keep: Sequence[str] = ()) -> bytes:
        return quantize_tflite(self._float32, precision, ranges, keep, self._io)

    def with_16_bits(self, ranges: Ranges, operators: Sequence[str]) -> bytes | None:
        return with_16_bits(self._float32, ranges, operators, self._io)

    def with_biases(self, data: bytes, inputs: NDArray[Any]) -> bytes | None:
        return corrected_biases(self._float32, data, inputs)

    def operators(self) -> tuple[str, ...]:
        interpreter = open_tflite(self._float32)
        in_float = probabilities(interpreter) if self._conversion.io == "float32" else ()
        return tuple(name for _, name, kind in activations(interpreter) if kind != "INPUT" and name not in in_float)

    def scales(self, data: bytes) -> dict[str, float]:
        return tflite_scales(data)

    def foldable(self, data: bytes) -> Mapping[str, Sequence[int]]:
        return foldable(data)

    def fold(self, data: bytes, folds: Mapping[str, int]) -> bytes:
        return fold(data, folds)

    def learnt(self, learnt: Learnt) -> Converter:
        return _LearntConverter(self._conversion, learnt)

    def _of(self, precision: str) -> bytes:
        source, runtime, any_batch = self._conversion.source, self._conversion.runtime, self._conversion.any_batch
        if source.format == "tflite":
            if precision != "float32":
                return with_narrow_weights(self._float32, precision)
            return with_short_names(source.data if any_batch else of_one_image(source.data))
        model, shape, _ = of_batches(runtime)
        return to_tflite(model, precision, shape, runtime.input_spec.dtype, any_batch)


class _LearntConverter(_TfliteConverter):
    """A `Converter` for what a network has learnt, whose ranges no image changes."""

    def __init__(self, conversion: Conversion, learnt: Learnt) -> None:
        super().__init__(conversion)
        self._float32, self._ranges = learnt.file, learnt.ranges

    def calibrate(self, inputs: NDArray[Any], method: CalibrationName | None = None) -> Ranges:
        return self._ranges


def converter(conversion: Conversion) -> Converter:
    return _TfliteConverter(conversion)
