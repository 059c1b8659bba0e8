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


def to_tflite(model: Any, precision: str, shape: tuple[int, ...], dtype: str, any_batch: bool = False) -> bytes:
    """Convert a Keras image classifier.

    With a free batch the converter adds three operators that compute the shape of each reshape. The input of the file's
    signature is `image`.

    Args:
        model: The Keras model.
        precision: One of `CONVERTED`.
        shape: Of one image, without the batch.
        dtype: The numpy name of the model's input type, as float32 or uint8.
        any_batch: Whether the file takes any number of images at a time; else it takes one.

    Raises:
        ConversionError: If TensorFlow's converter fails.
    """
    if precision not in CONVERTED:
        raise ValueError(f"precision must be one of {CONVERTED}, got {precision!r}")
    tensorflow = load_tensorflow()
    signature = [tensorflow.TensorSpec((None if any_batch else 1, *shape), dtype, name="image")]
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
        # With scales for each output FULLY_CONNECTED becomes version 12, which tflite-runtime 2.14, the last for 32-bit
        # boards, refuses. What litert-quantizer writes in its place says version 1, and that runtime computes it wrong.
        converter._experimental_disable_per_channel_quantization_for_dense_layers = True
