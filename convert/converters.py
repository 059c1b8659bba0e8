"""From one Keras model to the bytes of each file; what several files of a format share is made once."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Protocol

from numpy.typing import NDArray

from convert.keras_runtime import KerasRuntime
from convert.quantize_onnx import calibrate_onnx, onnx_scales, prepare_onnx, quantize_onnx
from convert.quantize_tflite import Ranges, calibrate_tflite, quantize_tflite, tflite_scales
from convert.tensorflow import load_keras
from convert.to_onnx import to_onnx
from convert.to_tflite import to_tflite

QUANTIZED = ("int8", "int16x8")


class Converter(Protocol):
    """Makes the files of one format. Each method raises ConversionError if a tool fails, MissingDependency if it is missing."""

    def convert(self, precision: str) -> bytes:
        """Return a file of a precision that is not of `QUANTIZED`."""
        ...

    def calibrate(self, inputs: NDArray[Any]) -> Ranges:
        """Return the range of each activation for model inputs (n, ...) without a batch axis, in the model's dtype."""
        ...

    def quantize(self, precision: str, ranges: Ranges, keep: Sequence[str] = ()) -> bytes:
        """Return a file of a precision of `QUANTIZED`.

        Args:
            precision: One that the format has.
            ranges: From `calibrate`.
            keep: Operators that stay float, by the name of their output tensor.
        """
        ...

    def scales(self, data: bytes) -> dict[str, float]:
        """Return the scale of each integer activation of a quantised file."""
        ...


def converter_for(model_format: str, runtime: KerasRuntime, output: str, method: str, opset: int, any_batch: bool) -> Converter:
    """Return the converter of `tflite` or `onnx`.

    Args:
        model_format: One of the two.
        runtime: The opened Keras model; it takes any number of images at a time, or one.
        output: `probabilities` or `logits`.
        method: How ranges are taken from activations.
        opset: Of ONNX files.
        any_batch: Whether the files take any number of images at a time, as the model then must; else they take one.
    """
    if model_format == "tflite":
        return TfliteConverter(runtime, any_batch)
    return OnnxConverter(runtime, output, method, opset, any_batch)


class TfliteConverter:
    """A `Converter` for .tflite files."""

    def __init__(self, runtime: KerasRuntime, any_batch: bool) -> None:
        self._model, self._shape, _ = _of_batches(runtime)
        self._dtype, self._any_batch = runtime.input_spec.dtype, any_batch

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
        return quantize_tflite(self._float32, precision, ranges, keep)

    def scales(self, data: bytes) -> dict[str, float]:
        """See `Converter`."""
        return tflite_scales(data)

    def _of(self, precision: str) -> bytes:
        return to_tflite(self._model, precision, self._shape, self._dtype, self._any_batch)


class OnnxConverter:
    """A `Converter` for .onnx files. The file that calibrates has a free batch if the model has one, which is quicker."""

    def __init__(self, runtime: KerasRuntime, output: str, method: str, opset: int, any_batch: bool) -> None:
        self._model, self._shape, self._free = _of_batches(runtime)
        self._opset, self._any_batch = opset, any_batch
        self._dtype, self._output, self._method = runtime.input_spec.dtype, output, method

    @cached_property
    def _float32(self) -> bytes:
        data = to_onnx(self._model, self._shape, self._dtype, self._output, self._opset)
        return data if self._free else _of_one(data)

    @cached_property
    def _prepared(self) -> bytes:
        return prepare_onnx(self._float32)

    def convert(self, precision: str) -> bytes:
        """See `Converter`."""
        if precision != "float32":
            raise ValueError(f"precision must be float32, got {precision!r}")
        return self._float32 if self._any_batch else _of_one(self._float32)

    def calibrate(self, inputs: NDArray[Any]) -> Ranges:
        """See `Converter`."""
        return calibrate_onnx(self._prepared, inputs, self._method)

    def quantize(self, precision: str, ranges: Ranges, keep: Sequence[str] = ()) -> bytes:
        """See `Converter`."""
        if precision != "int8":
            raise ValueError(f"precision must be int8, got {precision!r}")
        quantized = quantize_onnx(self._prepared, ranges, keep)
        return quantized if self._any_batch else _of_one(quantized)

    def scales(self, data: bytes) -> dict[str, float]:
        """See `Converter`."""
        return onnx_scales(data)


def _of_batches(runtime: KerasRuntime) -> tuple[Any, tuple[int, ...], bool]:
    """Return the model with an axis for the batch, the shape of one image, and whether a batch may have any size or is one."""
    takes = runtime.input_spec.shape
    if takes[0] is None or runtime.output_spec.shape[:1] == takes[:1] == (1,):
        return runtime.model, tuple(int(size or 0) for size in takes[1:]), takes[0] is None
    shape = tuple(int(size or 0) for size in takes)
    keras = load_keras()
    image = keras.Input(shape, batch_size=1, name="image", dtype=runtime.input_spec.dtype)
    scores = runtime.model(keras.ops.reshape(image, shape))
    return keras.Model(image, keras.ops.reshape(scores, (1, -1))), shape, False


def _of_one(data: bytes) -> bytes:
    import onnx

    model = onnx.load_from_string(data)
    for value in (model.graph.input[0], model.graph.output[0]):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    fixed: bytes = model.SerializeToString()
    return fixed
