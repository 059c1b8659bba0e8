"""Reads a .tflite file as an object that may be changed, and writes it again.

The file must be trusted: the schema's code checks nothing.
"""

from typing import Any

import numpy as np

# Stands for all later codes: PLACEHOLDER_FOR_GREATER_OP_CODES of the schema.
_MOST_EARLY_CODE = 127


def to_object(data: bytes) -> Any:
    """Return a file as a `ModelT` of the schema, with all buffers inside.

    A file above 256 KiB from LiteRT's quantizer has its buffers at the end, by their offsets in the file. Written again as they
    are, they would point to other bytes.
    """
    from ai_edge_litert.tools.flatbuffer_utils import read_model_from_bytearray  # Only .tflite files need it.

    # Slices of an array are written at once, those of bytes a byte at a time.
    return read_model_from_bytearray(np.frombuffer(data, np.uint8))


def add_operator_code(model: Any, builtin: int) -> int:
    """Add the code of a built-in operator, in its first version, to a `ModelT`, and return its index."""
    from ai_edge_litert import schema_py_generated as schema  # Only .tflite files need it.

    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = builtin
    code.version = 1
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1


def from_object(model: Any) -> bytes:
    """Return a `ModelT` as a file that has equal arrays once, as FlatBuffers allows.

    A small network's file is a fifth smaller for it: its zero points alone take 16 bytes for each channel, and most are 0.
    """
    import flatbuffers  # Only .tflite files need it.

    written: dict[tuple[str, bytes], int] = {}

    class SharingBuilder(flatbuffers.Builder):  # type: ignore[misc]  # It has no types.
        def CreateNumpyVector(self, x: Any) -> int:  # noqa: N802 - As in flatbuffers.
            key = (x.dtype.str, x.tobytes())
            if key not in written:
                written[key] = super().CreateNumpyVector(x)
            return written[key]

    for code in model.operatorCodes or ():
        # LiteRT's quantizer leaves the earlier of an operator's two codes at 0, which is ADD, and OpenVINO reads that one.
        code.deprecatedBuiltinCode = min(max(code.builtinCode, code.deprecatedBuiltinCode), _MOST_EARLY_CODE)
    builder = SharingBuilder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())
