"""A float .tflite file from elsewhere: what it says of its pixels, and the numbers that enter its first layer."""

import struct
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecnn.convert.tflite.calibrate import calibrate_tflite
from edgecnn.convert.tflite.metadata import NAME
from edgecnn.convert.tflite.quantize import open_tflite, operators_of, quantize_tflite, with_short_names
from edgecnn.edge.compatibility.tflite_graph import root
from edgecnn.edge.manifest import Preprocessing

# A convolution, dense layer or matrix product: what comes before it prepares the image.
_LAYERS = ("BATCH_MATMUL", "CONV_2D", "CONV_3D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV")


def imported(data: bytes, path: Path, trust: tuple[str, ...] = ()) -> tuple[bytes, tuple[str, ...]]:
    """Return the file, unchanged, once the tools of an export have survived it. See `edgecnn.convert.export.source`."""
    with suppress(Exception):  # An export says in its turn what is wrong with it; a crash is what this child is for.
        float32 = with_short_names(data)
        entry = open_tflite(float32).get_input_details()[0]
        quantize_tflite(float32, "int8", calibrate_tflite(float32, np.zeros(entry["shape"], entry["dtype"])))
    return data, ()


def first_layer_input(data: bytes, images: NDArray[Any]) -> NDArray[Any] | None:
    """Return what enters the first layer with weights for model inputs (n, ...). See `edgecnn.convert.export.evidence`."""
    interpreter = open_tflite(data)
    entry = interpreter.get_input_details()[0]
    made = {int(entry["index"])}
    for operator in operators_of(interpreter):
        first = next((int(index) for index in operator["inputs"] if int(index) in made), None)
        if first is None:
            continue
        if operator["op_name"] in _LAYERS:
            has_batch = len(entry["shape"]) == images.ndim
            found = []
            for image in images:
                interpreter.set_tensor(
                    entry["index"], np.repeat(image[np.newaxis], entry["shape"][0], 0) if has_batch else image
                )
                interpreter.invoke()
                values = interpreter.get_tensor(first)
                found.append(values[0] if has_batch else values)
            return np.stack(found)
        made |= {int(index) for index in operator["outputs"]}
    return None


# Positions of the fields in the tables of schema.fbs and of TensorFlow's metadata_schema.fbs.
_MODEL_BUFFERS, _MODEL_METADATA = 4, 6
_METADATA_NAME, _METADATA_BUFFER, _BUFFER_DATA = 0, 1, 0
_SUBGRAPHS, _INPUTS, _CONTENT, _UNITS = 3, 2, 3, 4
_PROPERTIES, _COLOUR_SPACE, _RGB, _GREY = 1, 0, 1, 2
_UNIT_KIND, _UNIT_OPTIONS, _NORMALIZATION = 0, 1, 1
_MEAN, _STD = 0, 1


def stated_preprocessing(data: bytes) -> Preprocessing | None:
    """Return the preprocessing in a file's metadata, as TensorFlow's writer puts it there; None if it has none.

    The metadata says (pixel - mean) / std for pixels 0 to 255; of an unknown order of colours it says too little.
    """
    with suppress(ValueError, IndexError, struct.error):  # The runtime, which reads the file too, says what is wrong with it.
        model = root(data)
        buffers = model.tables(_MODEL_BUFFERS)
        for entry in model.tables(_MODEL_METADATA):
            if entry.data(_METADATA_NAME) == NAME.encode():
                metadata = root(buffers[entry.u32(_METADATA_BUFFER, 0)].data(_BUFFER_DATA))
                image = metadata.tables(_SUBGRAPHS)[0].tables(_INPUTS)[0]
                content = image.table(_CONTENT)
                kind = content.table(_PROPERTIES) if content else None
                options = [unit.table(_UNIT_OPTIONS) for unit in image.tables(_UNITS) if unit.i8(_UNIT_KIND) == _NORMALIZATION]
                if kind is None or kind.i8(_COLOUR_SPACE) not in (_RGB, _GREY) or not options or options[0] is None:
                    return None
                mean, std = (options[0].floats(place) for place in (_MEAN, _STD))
                if len(mean) in (1, 3) and len(std) == len(mean) and min(std) > 0:
                    return Preprocessing(1.0, "letterbox", "any", mean, std)
    return None
