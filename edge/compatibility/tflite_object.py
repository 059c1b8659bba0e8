"""Reads a .tflite file as an object that may be changed, and writes it again.

The file must be trusted: the schema's code checks nothing.
"""

from typing import Any

import numpy as np


def to_object(data: bytes) -> Any:
    """Return a file as a `ModelT` of the schema, with all buffers inside.

    A file above 256 KiB from LiteRT's quantizer has its buffers at the end, by their offsets in the file. Written again as they
    are, they would point to other bytes.
    """
    from ai_edge_litert.tools.flatbuffer_utils import read_model_from_bytearray  # Only .tflite files need it.

    # Slices of an array are written at once, those of bytes a byte at a time.
    return read_model_from_bytearray(np.frombuffer(data, np.uint8))


def from_object(model: Any) -> bytes:
    """Return a `ModelT` as a file."""
    from ai_edge_litert.tools.flatbuffer_utils import convert_object_to_bytearray

    return bytes(convert_object_to_bytearray(model))
