"""Whether two TFLite files are of one model: an int8 file's weights are those of its float file, rounded."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecnn.convert.tflite.quantize import open_tflite
from edgecnn.edge.errors import ConversionError, why

# Rounding to 8 bits leaves a correlation above 0.999, training after quantization one above 0.93 in the files of the table.
# Two trainings of one network have none.
ALIKE = 0.9
_LEAST_VALUES = 64

Floats = NDArray[np.float32]


def likeness(float32: bytes, int8: bytes) -> float:
    """Return the least correlation of an int8 weight tensor with the float tensor of its shape that is most like it, 0 to 1.

    0 if the int8 file has no weights in int8 or uint8.

    Raises:
        ConversionError: If a file can't be loaded.
    """
    floats = [values for kind, values in _weights(float32) if kind is np.float32]
    found = [max((_correlation(values, other) for other in floats if other.shape == values.shape), default=0.0)
             for kind, values in _weights(int8) if kind in (np.int8, np.uint8)]  # fmt: skip
    return min(found, default=0.0)


def _weights(data: bytes) -> list[tuple[Any, Floats]]:
    """Return the type and the real values of each weight tensor that has enough values to compare."""
    try:
        interpreter = open_tflite(data)
    except (ValueError, RuntimeError) as error:
        raise ConversionError(f"LiteRT can't load a file of the pair ({why(error)}): remove the pair") from error
    computed = {int(index) for operator in interpreter._get_ops_details() for index in operator["outputs"]}
    computed |= {int(entry["index"]) for entry in interpreter.get_input_details()}
    found = []
    for tensor in interpreter.get_tensor_details():
        if tensor["index"] in computed or len(tensor["shape"]) < 2 or np.prod(tensor["shape"]) < _LEAST_VALUES:
            continue
        values = interpreter.get_tensor(tensor["index"]).astype(np.float32)
        found.append((tensor["dtype"], _real(values, tensor["quantization_parameters"])))
    return found


def _real(values: Floats, quantization: dict[str, Any]) -> Floats:
    scales, zeros = quantization["scales"], quantization["zero_points"]
    if not len(scales):
        return values
    along = [1] * values.ndim
    along[quantization["quantized_dimension"]] = len(scales)
    real: Floats = (values - zeros.reshape(along if len(zeros) > 1 else [1] * values.ndim)) * scales.reshape(along)
    return real


def _correlation(one: Floats, other: Floats) -> float:
    if not one.std() or not other.std():
        return 0.0
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])
