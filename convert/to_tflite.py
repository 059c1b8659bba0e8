"""Keras -> .tflite bytes."""

import re
import tempfile
import warnings
from typing import Any

from convert.tensorflow import load_keras, load_tensorflow
from edge.errors import ConversionError
from edge.quiet import quiet

TFLITE_PRECISIONS = ("float32", "float16", "dynamic", "int8", "int16x8")
CONVERTED = ("float32", "float16", "dynamic")  # By the converter; the others are float32 files that were quantised.

# The first release whose operator takes 8-bit activations: TensorFlow's op_version.cc and runtime_version.cc.
_INT8_SINCE = {
    "1.14.0": "ADD AVERAGE_POOL_2D CONCATENATION CONV_2D DEPTHWISE_CONV_2D DEQUANTIZE FULLY_CONNECTED LOGISTIC MAX_POOL_2D "
    "MAXIMUM MEAN PACK PAD PADV2 QUANTIZE REDUCE_MIN RESHAPE RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR SLICE SOFTMAX SPLIT "
    "STRIDED_SLICE SUB TANH TRANSPOSE UNPACK",
    "1.15.0": "HARD_SWISH MUL SUM",
    "2.1.0": "RELU",
    "2.3.0": "BATCH_MATMUL TRANSPOSE_CONV",
    "2.5.0": "RSQRT SQUARED_DIFFERENCE",
}


def to_tflite(model: Any, precision: str, shape: tuple[int, ...], dtype: str) -> bytes:
    """Convert a Keras image classifier.

    The graph takes one image at a time: with a free batch the converter adds three operators that compute the shape of
    the reshape. Its signature's input is `image`.

    Args:
        model: The Keras model.
        precision: One of `CONVERTED`.
        shape: Of one image, without the batch.
        dtype: The numpy name of the model's input type, as float32 or uint8.

    Raises:
        ConversionError: If TensorFlow's converter fails.
    """
    if precision not in CONVERTED:
        raise ValueError(f"precision must be one of {CONVERTED}, got {precision!r}")
    tensorflow = load_tensorflow()
    signature = [tensorflow.TensorSpec((1, *shape), dtype, name="image")]
    try:
        with tempfile.TemporaryDirectory() as folder, quiet(), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            # Not model.export, which leaves layers as RandomFlip as active as in training.
            archive = load_keras().export.ExportArchive()
            archive.track(model)
            archive.add_endpoint("serve", lambda image: model(image, training=False), input_signature=signature)
            archive.write_out(folder, verbose=False)
            converter = tensorflow.lite.TFLiteConverter.from_saved_model(folder)
            _set_precision(converter, precision)
            data: bytes = converter.convert()
            return data
    except Exception as error:  # The converter raises whatever its passes raise.
        reason = f"TensorFlow can't convert the model ({_reason(error)})"
        raise ConversionError(f"TFLite {precision}: {reason}: replace that layer, or use --format onnx") from error


def _reason(error: Exception) -> str:
    """Return which operators TFLite lacks, where the converter says so on some line of its page."""
    lacking = re.findall(r"^(?:TF Select|Custom) ops: (.+)$", str(error), re.MULTILINE)
    return f"it has no {', '.join(lacking)}" if lacking else " ".join(str(error).split())[:200]


def _set_precision(converter: Any, precision: str) -> None:
    tensorflow = load_tensorflow()
    if precision == "float32":
        return
    converter.optimizations = [tensorflow.lite.Optimize.DEFAULT]
    if precision == "float16":
        converter.target_spec.supported_types = [tensorflow.float16]
    else:
        # With it FULLY_CONNECTED becomes version 12, which tflite-runtime 2.14, the last for 32-bit boards, refuses.
        converter._experimental_disable_per_channel_quantization_for_dense_layers = True


def oldest_tflite_runtime(data: bytes, precision: str) -> str | None:
    """Return the oldest TensorFlow Lite release whose operators load the model.

    It comes from the metadata that the converter wrote. In an int8 file that is still what the float operators need, and
    the 8-bit ones may need a later release; None where that is not known, and for 16-bit activations.
    """
    from ai_edge_litert import schema_py_generated as schema

    if precision == "int16x8":
        return None
    model = schema.ModelT.InitFromPackedBuf(data, 0)
    written = next((model.buffers[entry.buffer].data for entry in model.metadata or [] if _is_release(entry)), None)
    release = b"" if written is None else bytes(written).rstrip(b"\0")
    if not release:
        return None
    needed = [release.decode()]
    names = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}
    graph = model.subgraphs[0]
    for operator in graph.operators:
        if any(graph.tensors[index].type == schema.TensorType.INT8 for index in operator.outputs):
            code = model.operatorCodes[operator.opcodeIndex]
            name = names[max(code.builtinCode, code.deprecatedBuiltinCode)]
            since = next((release for release, has in _INT8_SINCE.items() if name in has.split()), None)
            if since is None:
                return None
            needed.append(since)
    return "tensorflow-lite>=" + max(needed, key=lambda release: tuple(map(int, release.split("."))))


def _is_release(entry: Any) -> bool:
    return bool(entry.name == b"min_runtime_version")
