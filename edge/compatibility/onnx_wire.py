"""Reads the bytes of an .onnx file as Protocol Buffers encode them, for a device without the onnx package.

Field numbers are those of onnx.proto, https://github.com/onnx/onnx. The encoding is that of
https://protobuf.dev/programming-guides/encoding.
"""

from collections.abc import Iterator

# For each message, its fields that lead to a tensor, and the message that each holds.
_TO_TENSORS: dict[str, dict[int, str]] = {
    "Model": {7: "Graph", 20: "TrainingInfo", 25: "Function"},
    "TrainingInfo": {1: "Graph", 2: "Graph"},
    "Function": {7: "Node", 11: "Attribute"},
    "Graph": {1: "Node", 5: "Tensor", 15: "SparseTensor"},
    "Node": {5: "Attribute"},
    "Attribute": {5: "Tensor", 6: "Graph", 10: "Tensor", 11: "Graph", 22: "SparseTensor", 23: "SparseTensor"},
    "SparseTensor": {1: "Tensor", 2: "Tensor"},
    "Tensor": {},
}
_TO_NODES: dict[str, dict[int, str]] = {
    "Model": {7: "Graph", 25: "Function"},
    "Function": {7: "Node"},
    "Graph": {1: "Node"},
    "Node": {5: "Attribute"},
    "Attribute": {6: "Graph", 11: "Graph"},
}
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14
_DATA_TYPE, _UINT8 = 2, 2
_OP_TYPE = 4
_RANDOM = frozenset(
    (b"Bernoulli", b"Multinomial", b"RandomNormal", b"RandomNormalLike", b"RandomUniform", b"RandomUniformLike")
)
_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5
# Bits of a field's number and wire type. C++ drops the bits above, so a longer key would be read as another field.
_MOST_KEY = 2**32 - 1
_ORT_FORMAT = b"ORTM"


def has_external_data(data: bytes) -> bool:
    """Return whether any tensor of an ONNX file keeps its values outside, in another file or in memory.

    Every field that ONNX Runtime could read as such counts, in any order, even if a later field overrides it.

    Raises:
        ValueError: If the bytes are not a Protocol Buffers message, or a model in ONNX Runtime's own format.
        IndexError: If they end in the middle of a number.
    """
    if data[4:8] == _ORT_FORMAT:
        raise ValueError("it is in ONNX Runtime's own ORT format")
    return any(
        kind == "Tensor" and (number == _EXTERNAL_DATA or (number == _DATA_LOCATION and value != 0))
        for kind, number, value in _walk(data, _TO_TENSORS)
    )


def has_unsigned_bytes(data: bytes) -> bool:
    """Return whether any tensor of an ONNX file is uint8, such as a zero point, or an operator makes such by itself.

    Raises:
        ValueError, IndexError: As in `has_external_data`.
    """
    unsigned = ("Tensor", _DATA_TYPE, _UINT8)
    return unsigned in _walk(data, _TO_TENSORS) or any(name.startswith(b"DynamicQuantize") for name in _operators(data))


def random_operators(data: bytes) -> tuple[str, ...]:
    """Return the names of an ONNX file's operators that draw random numbers, including those in functions and loops.

    Raises:
        ValueError, IndexError: As in `has_external_data`.
    """
    return tuple(sorted(name.decode() for name in _operators(data) & _RANDOM))


def _operators(data: bytes) -> set[bytes]:
    return {
        bytes(value)
        for kind, number, value in _walk(data, _TO_NODES)
        if kind == "Node" and number == _OP_TYPE and isinstance(value, memoryview)
    }


def _walk(data: bytes, leads: dict[str, dict[int, str]]) -> Iterator[tuple[str, int, int | memoryview]]:
    """Yield (message, field number, value) for each field of a file, within the messages that `leads` names."""
    waiting = [("Model", memoryview(data))]
    while waiting:
        kind, message = waiting.pop()
        inner = leads[kind]
        for number, value in fields(message):
            yield kind, number, value
            if number in inner and isinstance(value, memoryview):
                waiting.append((inner[number], value))


def fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield a message's fields: varints as numbers, all else as bytes.

    Raises:
        ValueError: If the bytes are not a message.
        IndexError: If they end in the middle of a number.
    """
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        if key > _MOST_KEY:
            raise ValueError("a field's number is too large")
        kind = key & 7
        if kind == _VARINT:
            value, at = _varint(message, at)
            yield key >> 3, value
            continue
        if kind == _BYTES:
            size, at = _varint(message, at)
        elif kind in (_EIGHT_BYTES, _FOUR_BYTES):
            size = 8 if kind == _EIGHT_BYTES else 4
        else:
            raise ValueError(f"wire type {kind} is unknown")
        if at + size > len(message):
            raise ValueError("a field is longer than the file")
        yield key >> 3, message[at : at + size]
        at += size


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise ValueError("a number is longer than 64 bits")
