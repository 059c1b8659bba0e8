"""What an .onnx file requires of its runtime, read from its bytes, for a device without the onnx package."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import ClassVar

from edgecnn.edge.compatibility.requirements import release_key

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
_KEY, _VALUE = 1, 2
_DATA_TYPE, _UINT8 = 2, 2
_RANDOM = frozenset(b"Bernoulli Multinomial RandomNormal RandomNormalLike RandomUniform RandomUniformLike".split())
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


# Numbers of the narrow types in onnx.proto.
_NARROW = {10: "float16", 16: "bfloat16", 17: "float8", 18: "float8", 19: "float8", 20: "float8", 21: "uint4", 22: "int4"}
_QUANTIZED = (b"Quantize", b"QLinear", b"Integer")  # As in QuantizeLinear, DynamicQuantizeLinear, QLinearConv, ConvInteger.


def narrow_numbers(data: bytes) -> str | None:
    """See `edgecnn.edge.compatibility.requirements.narrow_numbers`."""
    if any(part in name for name in _operators(data) for part in _QUANTIZED):
        return "int8"
    types = (value for kind, number, value in _walk(data, _TO_TENSORS) if (kind, number) == ("Tensor", _DATA_TYPE))
    return next((_NARROW[value] for value in types if isinstance(value, int) and value in _NARROW), None)


def external_names(data: bytes) -> tuple[str, ...]:
    """Return the names of the other files in which an ONNX file keeps values, each once.

    Raises:
        ValueError, IndexError: As in `has_external_data`.
    """
    found = dict[str, None]()
    for kind, number, value in _walk(data, _TO_TENSORS):
        if kind == "Tensor" and number == _EXTERNAL_DATA and _texts(value, _KEY) == [b"location"]:
            found[b"".join(_texts(value, _VALUE)).decode()] = None
    return tuple(found)


def _operators(data: bytes) -> set[bytes]:
    return {
        bytes(value)
        for kind, number, value in _walk(data, _TO_NODES)
        if kind == "Node" and number == _NODE_OP_TYPE and isinstance(value, memoryview)
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


ONNX_DOMAIN = "ai.onnx"

# Field numbers in the messages of onnx.proto.
_MODEL_IR_VERSION, _MODEL_GRAPH, _MODEL_OPSET_IMPORT = 1, 7, 8
_OPSET_DOMAIN, _OPSET_VERSION = 1, 2
_GRAPH_NODE, _GRAPH_OUTPUT = 1, 12
_NODE_INPUT, _NODE_OUTPUT, _NODE_OP_TYPE = 1, 2, 4
_VALUE_NAME = 1

# They change the form of numbers, not what they are.
_PASSING = frozenset(b"Cast DequantizeLinear Flatten Identity QuantizeLinear Reshape Squeeze Transpose Unsqueeze".split())


# Each release of ONNX Runtime, its highest opset of ai.onnx and its highest IR version. Sources: the table "ONNX opset
# support" of https://onnxruntime.ai/docs/reference/compatibility.html, and the packages 1.6.0 to 1.32.0, by loading files of
# every opset and IR version: where the source promises more than a release has, the table follows the release. A release
# what the earlier has.
ONNX_RUNTIMES = (
    ("1.6", 13, 7),
    ("1.8", 14, 7),
    ("1.9", 15, 8),
    ("1.11", 16, 8),
    ("1.12", 17, 8),
    ("1.14", 18, 8),
    ("1.15", 19, 9),
    ("1.17", 20, 9),
    ("1.18", 21, 10),
    ("1.21", 22, 10),
    ("1.23", 23, 11),
    ("1.24", 25, 13),
    ("1.27", 26, 13),
    ("1.32", 28, 14),
)
RELEASES = {"onnxruntime": (ONNX_RUNTIMES[0][0], ONNX_RUNTIMES[-1][0])}
"""The oldest and the newest release that the table lists, by package."""


@dataclass(frozen=True)
class OnnxNeeds:
    """See `edgecnn.edge.compatibility.requirements.Needs`.

    Attributes:
        ir_version: IR version of the file.
        opsets: Version of each domain's operators; the standard domain is `ai.onnx`.
        int8: Whether operators compute in 8-bit integers; weights that are only stored in 8 bits don't count.
    """

    title: ClassVar[str] = "onnxruntime"
    numbered: ClassVar[str] = "onnxruntime"
    written: ClassVar[str | None] = None

    ir_version: int
    opsets: dict[str, int]
    int8: bool

    def text(self) -> str:
        """See `Needs`."""
        opsets = (f"opset {version} of {domain}" for domain, version in self.opsets.items())
        return ", ".join([f"IR version {self.ir_version}", *opsets])

    def oldest_runtime(self) -> str | None:
        """See `Needs`."""
        release = self.at_least()
        return release and f"onnxruntime>={release}"

    def at_least(self) -> str | None:
        """See `Needs`. None also if a domain is not the standard one."""
        if set(self.opsets) != {ONNX_DOMAIN}:
            return None
        wanted = self.opsets[ONNX_DOMAIN]
        fits = (release for release, opset, ir_version in ONNX_RUNTIMES if wanted <= opset and self.ir_version <= ir_version)
        return next(fits, None)

    def lack(self, package: str, release: str) -> str | None:
        """See `Needs`."""
        highest_opset, highest_ir_version = limits(release)
        found = {"IR version": (self.ir_version, highest_ir_version)}
        for domain, opset in self.opsets.items():
            found[f"opset of {domain}"] = (opset, highest_opset if domain == ONNX_DOMAIN else 0)
        for what, (wanted, highest) in found.items():
            if wanted > highest:
                return f"{what} is {wanted}, and {package} {release} has {f'up to {highest}' if highest else 'none'}"
        return None


def limits(release: str) -> tuple[int, int]:
    """Return the highest opset of ai.onnx and the highest IR version of an ONNX Runtime release in the table."""
    _, opset, ir_version = [row for row in ONNX_RUNTIMES if release_key(row[0]) <= release_key(release)][-1]
    return opset, ir_version


def read_needs(data: bytes) -> OnnxNeeds:
    """Read a file's requirements. See `edgecnn.edge.compatibility.requirements.read_needs`."""
    ir_version, opsets, int8 = None, {}, False
    for number, value in fields(memoryview(data)):
        if number == _MODEL_IR_VERSION and isinstance(value, int):
            ir_version = value
        elif number == _MODEL_OPSET_IMPORT and not isinstance(value, int):
            entry = dict(fields(value))
            domain, version = entry.get(_OPSET_DOMAIN, b""), entry.get(_OPSET_VERSION, 0)
            if isinstance(domain, int) or not isinstance(version, int):
                raise ValueError("an opset is not a domain and a number")
            opsets[bytes(domain).decode() or ONNX_DOMAIN] = version
        elif number == _MODEL_GRAPH and not isinstance(value, int):
            nodes = (node for place, node in fields(value) if place == _GRAPH_NODE)
            int8 = any(b"QuantizeLinear" in _texts(node, _NODE_OP_TYPE) for node in nodes)
    if ir_version is None or not opsets:
        raise ValueError("no IR version or no opset")
    return OnnxNeeds(ir_version, opsets, int8)


def last_operator(data: bytes, model: object) -> str | None:
    """Return the operator that makes the first output; None if the bytes can't be read, or an input is the output.

    See `edgecnn.edge.model.interface.require_stated_output`; `model` is not needed.
    """
    with suppress(ValueError, IndexError, StopIteration):  # ONNX Runtime, which reads it too, says what is wrong with it.
        graph = next(value for number, value in fields(memoryview(data)) if number == _MODEL_GRAPH)
        parts = [(number, value) for number, value in fields(_message(graph)) if number in (_GRAPH_NODE, _GRAPH_OUTPUT)]
        wanted = next(_texts(value, _VALUE_NAME)[0] for number, value in parts if number == _GRAPH_OUTPUT)
        nodes = [_message(value) for number, value in parts if number == _GRAPH_NODE]
        for node in reversed(nodes):  # Each stands behind those whose outputs it reads.
            if wanted in _texts(node, _NODE_OUTPUT):
                (kind,) = _texts(node, _NODE_OP_TYPE)
                if kind not in _PASSING:
                    return kind.decode(errors="replace")
                wanted = _texts(node, _NODE_INPUT)[0]
    return None


def _message(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a message is a number")
    return value


def _texts(message: int | memoryview, wanted: int) -> list[bytes]:
    return [bytes(_message(value)) for number, value in fields(_message(message)) if number == wanted]
