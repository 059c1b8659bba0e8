"""A float .tflite file from elsewhere: what it says of its pixels, and the numbers that enter its first layer."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecnn.convert.tflite.quantize import open_tflite

# A convolution, dense layer or matrix product: what comes before it prepares the image.
_LAYERS = ("BATCH_MATMUL", "CONV_2D", "CONV_3D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV")


def imported(data: bytes, path: Path) -> bytes:
    """Return the file as it is. See `edgecnn.convert.export.source`."""
    return data


def first_layer_input(data: bytes, images: NDArray[Any]) -> NDArray[Any] | None:
    """Return what enters the first layer with weights for model inputs (n, ...). See `edgecnn.convert.export.evidence`."""
    interpreter = open_tflite(data)
    entry = interpreter.get_input_details()[0]
    made = {int(entry["index"])}
    for operator in interpreter._get_ops_details():
        if operator["op_name"] == "DELEGATE":
            continue
        first = next((int(index) for index in operator["inputs"] if int(index) in made), None)
        if first is None:
            continue
        if operator["op_name"] in _LAYERS:
            found = []
            for image in images:
                interpreter.set_tensor(entry["index"], image[np.newaxis])
                interpreter.invoke()
                found.append(interpreter.get_tensor(first)[0])
            return np.stack(found)
        made |= {int(index) for index in operator["outputs"]}
    return None
