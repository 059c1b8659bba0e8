"""Keras -> .tflite bytes."""

import tempfile
import warnings
from typing import Any

from convert.tensorflow import load_tensorflow
from edge.errors import ConversionError
from edge.preprocess import Floats
from edge.quiet import quiet

TFLITE_PRECISIONS = ("float32", "float16", "dynamic", "int8", "int16x8")


def to_tflite(model: Any, precision: str, calibration: Floats) -> bytes:
    """Convert a Keras image classifier.

    The graph takes one image at a time: with a free batch the converter adds three operators that compute the shape of
    the reshape. int8 and int16x8 are integers from input to output.

    Args:
        model: The Keras model.
        precision: One of `TFLITE_PRECISIONS`.
        calibration: Model inputs float32 (n, h, w, c), for int8 and int16x8.

    Raises:
        ConversionError: If TensorFlow's converter fails.
    """
    tensorflow = load_tensorflow()
    _, *image = model.inputs[0].shape
    signature = [tensorflow.TensorSpec((1, *image), tensorflow.float32, name="image")]
    try:
        with tempfile.TemporaryDirectory() as folder, quiet(), warnings.catch_warnings():
            # "Statistics for quantized inputs were expected": the representative data set gives them.
            warnings.simplefilter("ignore", UserWarning)
            model.export(folder, format="tf_saved_model", input_signature=signature, verbose=False)
            converter = tensorflow.lite.TFLiteConverter.from_saved_model(folder)
            _set_precision(converter, precision, calibration)
            data: bytes = converter.convert()
            return data
    except Exception as error:  # The converter raises whatever its passes raise.
        reason = " ".join(str(error).split())[:200]
        raise ConversionError(f"TFLite {precision}: TensorFlow can't convert the model ({reason})") from error


def _set_precision(converter: Any, precision: str, calibration: Floats) -> None:
    tensorflow = load_tensorflow()
    if precision == "float32":
        return
    converter.optimizations = [tensorflow.lite.Optimize.DEFAULT]
    if precision == "float16":
        converter.target_spec.supported_types = [tensorflow.float16]
    if precision == "dynamic":
        # With it FULLY_CONNECTED becomes version 12, which tflite-runtime 2.14, the last for 32-bit boards, refuses.
        converter._experimental_disable_per_channel_quantization_for_dense_layers = True
    if precision in ("int8", "int16x8"):
        converter.representative_dataset = lambda: ([calibration[i : i + 1]] for i in range(len(calibration)))
        ops = tensorflow.lite.OpsSet
        int16 = ops.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
        converter.target_spec.supported_ops = [ops.TFLITE_BUILTINS_INT8 if precision == "int8" else int16]
        dtype = tensorflow.int8 if precision == "int8" else tensorflow.int16
        converter.inference_input_type = converter.inference_output_type = dtype


def oldest_tflite_runtime(data: bytes, precision: str) -> str | None:
    """Return the oldest TensorFlow Lite release whose operators load the model, from the file's own metadata.

    None for int16x8: there the metadata names a release older than 16-bit activations.
    """
    from ai_edge_litert import schema_py_generated

    model = schema_py_generated.ModelT.InitFromPackedBuf(data, 0)
    for entry in model.metadata or []:
        if entry.name == b"min_runtime_version" and precision != "int16x8":
            release = bytes(model.buffers[entry.buffer].data).rstrip(b"\0").decode()
            return f"tensorflow-lite>={release}" if release else None
    return None
