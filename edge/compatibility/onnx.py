"""What an .onnx file requires of its runtime, read from its bytes.

A device has no onnx package: fields of a Protocol Buffer are found by their numbers in onnx.proto.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import ClassVar

from edgecnn.edge.compatibility.onnx_wire import fields
from edgecnn.edge.compatibility.requirements import release_key

ONNX_DOMAIN = "ai.onnx"

# Field numbers in the messages of onnx.proto.
_MODEL_IR_VERSION, _MODEL_GRAPH, _MODEL_OPSET_IMPORT = 1, 7, 8
_OPSET_DOMAIN, _OPSET_VERSION = 1, 2
_GRAPH_NODE, _GRAPH_OUTPUT = 1, 12
_NODE_INPUT, _NODE_OUTPUT, _NODE_OP_TYPE = 1, 2, 4
_VALUE_NAME = 1

# They change the form of numbers, not what they are.
_PASSING_TEXT = "Cast DequantizeLinear Flatten Identity QuantizeLinear Reshape Squeeze Transpose Unsqueeze"
_PASSING = frozenset(_PASSING_TEXT.encode().split())


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
        """See `Needs`."""
        return oldest_onnx(self.opsets, self.ir_version)

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


def oldest_onnx(opsets: Mapping[str, int], ir_version: int) -> str | None:
    """Return the oldest ONNX Runtime in the table for these; None if none has them, or a domain is not the standard one."""
    if set(opsets) != {ONNX_DOMAIN}:
        return None
    fits = (release for release, opset, ir in ONNX_RUNTIMES if opsets[ONNX_DOMAIN] <= opset and ir_version <= ir)
    return next(fits, None)


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
            int8 = any(_quantizes(node) for place, node in fields(value) if place == _GRAPH_NODE)
    if ir_version is None or not opsets:
        raise ValueError("no IR version or no opset")
    return OnnxNeeds(ir_version, opsets, int8)


def _quantizes(node: int | memoryview) -> bool:
    return b"QuantizeLinear" in _texts(node, _NODE_OP_TYPE)


def last_operator(data: bytes, model: object) -> str | None:
    """Return the operator that makes the first output; None if the bytes can't be read, or an input is the output.

    See `edgecnn.edge.inference.model_interface.require_stated_output`; `model` is not needed.
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
