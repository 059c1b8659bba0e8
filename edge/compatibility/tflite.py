"""What a .tflite file requires of its runtime, read from its bytes: its operators and the releases that have them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from edgecnn.edge.compatibility.requirements import release_key
from edgecnn.edge.compatibility.tflite_graph import Table, graphs_of, operator_name, root

FLOAT32, FLOAT16, INT16, INT8, INT4 = 0, 1, 7, 9, 17  # TensorType of schema.fbs.
DENSE_BY_CHANNEL = "FULLY_CONNECTED per channel"
"""A dense layer on integers whose weights have several scales; it has no separate version."""
FOUR_BITS = "4-bit weights"
"""A layer on integers whose weights have 4 bits; it has no separate version."""

# Version of each operator for 8-bit and for 16-bit activations; 0 where neither the rules nor its kernel define one.
_INTEGER_TABLE = """
ABS                     2 3
ADD                     2 3
AVERAGE_POOL_2D         2 3
BATCH_MATMUL            2 3
BATCH_TO_SPACE_ND       2 4
CONCATENATION           2 3
CONV_2D                 3 4
DEPTHWISE_CONV_2D       3 5
DEQUANTIZE              2 3
FULLY_CONNECTED         4 7
GATHER                  2 4
GELU                    2 0
HARD_SWISH              1 0
L2_NORMALIZATION        2 0
LEAKY_RELU              0 2
LOGISTIC                2 3
LOG_SOFTMAX             2 0
MAXIMUM                 2 4
MAX_POOL_2D             2 3
MEAN                    2 3
MINIMUM                 2 4
MIRROR_PAD              2 3
MUL                     3 4
PACK                    2 3
PAD                     2 3
PADV2                   2 3
QUANTIZE                1 2
REDUCE_MAX              2 3
REDUCE_MIN              2 3
RELU                    2 3
RELU6                   2 3
RESIZE_BILINEAR         2 4
RESIZE_NEAREST_NEIGHBOR 2 4
RSQRT                   2 3
SLICE                   2 4
SOFTMAX                 2 3
SPACE_TO_BATCH_ND       2 4
SPACE_TO_DEPTH          2 0
SPLIT                   2 4
SQUARED_DIFFERENCE      2 0
STRIDED_SLICE           2 0
SUB                     2 5
SUM                     2 0
TANH                    2 3
TILE                    3 0
TRANSPOSE               2 5
TRANSPOSE_CONV          3 3
UNPACK                  2 4
"""
_INTEGER = {name: (int(eight), int(sixteen)) for name, eight, sixteen in map(str.split, _INTEGER_TABLE.strip().splitlines())}
# These only move numbers or look at shapes, whatever the type, since their first version.
_ANY_TYPE = ("RESHAPE", "EXPAND_DIMS", "SQUEEZE", "SHAPE")
# Version of each operator for 8-bit weights under float activations, with one scale and with several. A
# FULLY_CONNECTED with one scale is 3 or 9, as its options say, which the converter keeps up to date.
_HYBRID = {"CONV_2D": (2, 5), "DEPTHWISE_CONV_2D": (4, 6), "FULLY_CONNECTED": (3, 12)}
# Position of the weights, and of the activations if they are not first.
_WEIGHTS = 1
_DATA = {"SPLIT": 1, "TRANSPOSE_CONV": 2}


@dataclass(frozen=True)
class Tensor:
    """A tensor's TensorType, and its number of quantization scales."""

    kind: int
    scales: int


def needed(name: str, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor | None]) -> dict[str, int] | None:
    """Return the lowest version of an operator for its tensors, and of `DENSE_BY_CHANNEL` and `FOUR_BITS` if it is one.

    The result is empty if the tensors require no more than the first version, and None if the rules don't cover the operator on
    integers. An omitted tensor is None.
    """
    place = _DATA.get(name, 0)
    data = _kind(inputs, place)
    if data in (FLOAT32, FLOAT16) and _kind(outputs, 0) in (INT8, INT16):
        data = _kind(outputs, 0)  # QUANTIZE has no integer input.
    weights = inputs[_WEIGHTS] if len(inputs) > _WEIGHTS else None
    if data in (INT8, INT16) and name not in _ANY_TYPE:
        version = _INTEGER.get(name, (0, 0))[data == INT16]
        if not version:
            return None
        by_channel = name == "FULLY_CONNECTED" and weights is not None and weights.scales > 1
        few = weights is not None and weights.kind == INT4
        return {name: version} | ({DENSE_BY_CHANNEL: 1} if by_channel else {}) | ({FOUR_BITS: 1} if few else {})
    if name == "DEQUANTIZE" and data == FLOAT16:
        return {name: 3}
    if name in _HYBRID and data == FLOAT32 and weights is not None and weights.kind == INT8:
        return {name: _HYBRID[name][weights.scales > 1]}
    return {}


def _kind(tensors: Sequence[Tensor | None], place: int) -> int | None:
    tensor = tensors[place] if place < len(tensors) else None
    return tensor.kind if tensor else None


# The first TensorFlow Lite release with version 1, 2, 3, ... of each operator that image classifiers use. Sources:
# tensorflow/compiler/mlir/lite/tools/versioning/runtime_version.cc of https://github.com/tensorflow/tensorflow, and the
# packages. tflite-runtime has TensorFlow's numbers.
_TFLITE_TABLE = """
ABS                     1.13.0 2.4.0 2.5.0 2.6.0 2.12.0
ADD                     1.5.0 1.14.0 2.4.0 2.6.0 2.13.0 2.23.0
ADD_N                   1.14.0
ARG_MAX                 1.9.0 1.14.0 2.9.0
AVERAGE_POOL_2D         1.5.0 1.14.0 2.3.0
BATCH_MATMUL            2.3.0 2.3.0 2.4.0 2.5.0
BATCH_TO_SPACE_ND       1.6.0 1.14.0 2.3.0 2.13.0
BROADCAST_TO            2.5.0 2.5.0 2.5.0
CAST                    1.5.0 2.7.0 2.8.0 2.9.0 2.13.0 2.15.0 2.17.0 2.21.0
CONCATENATION           1.5.0 1.14.0 2.3.0 2.14.0 2.21.0 2.23.0
CONV_2D                 1.5.0 1.14.0 1.14.0 2.3.0 2.4.0 2.9.0 2.12.0 2.15.0
DEPTHWISE_CONV_2D       1.5.0 1.12.0 1.14.0 2.2.0 2.3.0 2.4.0 2.13.0
DEPTH_TO_SPACE          2.1.0 2.5.0
DEQUANTIZE              1.13.1 1.14.0 1.15.0 2.2.0 2.7.0 2.18.0 2.21.0 2.22.0
DIV                     1.6.0 2.3.0
DYNAMIC_UPDATE_SLICE    2.9.0 2.17.0 2.19.0 2.20.0 2.21.0 2.22.0
ELU                     1.14.0
EMBEDDING_LOOKUP        1.13.0 1.14.0 1.14.0 2.18.0 2.21.0
EQUAL                   1.14.0 1.14.0 2.3.0 2.13.0 2.21.0
EXP                     1.7.0 2.13.0
EXPAND_DIMS             1.10.0
FULLY_CONNECTED         1.5.0 1.10.0 1.14.0 1.14.0 2.0.0 2.1.0 2.3.0 2.3.0 2.4.0 2.13.0 2.15.0 2.17.0 2.18.0 2.21.0
GATHER                  1.6.0 1.14.0 1.15.0 2.4.0 2.5.0 2.13.0 2.15.0
GATHER_ND               1.14.0 2.3.0 2.5.0 2.13.0 2.16.0
GELU                    2.9.0 2.9.0
HARD_SWISH              1.15.0
L2_NORMALIZATION        1.5.0 1.14.0
LEAKY_RELU              1.13.1 2.3.0
LOG                     1.14.0 2.15.0
LOGISTIC                1.14.0 1.14.0 2.3.0
LOG_SOFTMAX             1.14.0 1.14.0
MAXIMUM                 1.14.0 1.14.0 2.3.0 2.3.0
MAX_POOL_2D             1.5.0 1.14.0 2.3.0
MEAN                    1.6.0 1.14.0 2.4.0
MINIMUM                 1.14.0 1.14.0 2.3.0 2.3.0
MIRROR_PAD              1.13.1 2.3.0 2.13.0
MUL                     1.5.0 1.14.0 1.15.0 2.3.0 2.6.0 2.11.0 2.13.0 2.23.0
NEG                     1.9.0
NOT_EQUAL               1.14.0 1.14.0 2.3.0 2.21.0
PACK                    1.11.0 1.14.0 2.3.0 2.14.0
PAD                     1.5.0 1.14.0 2.4.0 2.6.0 2.20.0
PADV2                   1.9.0 1.14.0 2.4.0 2.6.0 2.20.0
POW                     1.10.0
PRELU                   1.8.0
QUANTIZE                1.14.0 1.15.0 2.7.0 2.21.0 2.21.0 2.21.0
REDUCE_MAX              1.11.0 1.14.0 2.5.0
REDUCE_MIN              1.11.0 1.14.0 2.5.0
RELU                    1.5.0 2.1.0 2.5.0
RELU6                   1.5.0 1.14.0 2.5.0
RELU_0_TO_1             2.10.0
RELU_N1_TO_1            1.5.0
RESHAPE                 1.5.0
RESIZE_BILINEAR         1.7.0 1.14.0 2.2.0 2.5.0
RESIZE_NEAREST_NEIGHBOR 1.13.1 1.14.0 2.3.0 2.4.0
RSQRT                   1.10.0 2.5.0 2.15.0
SHAPE                   1.10.0
SLICE                   1.14.0 1.14.0 1.14.0 2.4.0 2.5.0 2.14.0 2.21.0
SOFTMAX                 1.5.0 1.14.0 2.3.0
SPACE_TO_BATCH_ND       1.6.0 1.14.0 2.3.0 2.13.0
SPACE_TO_DEPTH          1.5.0 1.14.0
SPLIT                   1.5.0 1.14.0 1.14.0 2.3.0
SPLIT_V                 1.13.1 2.3.0
SQRT                    1.10.0 2.21.0
SQUARE                  1.12.0
SQUARED_DIFFERENCE      1.13.1 2.5.0
SQUEEZE                 1.6.0 2.5.0
STRIDED_SLICE           1.6.0 1.14.0 2.1.0 2.2.0 2.5.0 2.6.0 2.14.0 2.14.0
SUB                     1.6.0 1.14.0 2.3.0 2.4.0 2.4.0
SUM                     1.10.0 1.15.0
TANH                    1.14.0 1.14.0 2.3.0
TILE                    1.10.1 2.2.0 2.8.0
TRANSPOSE               1.6.0 1.14.0 1.15.0 2.3.0 2.4.0 2.12.0 2.14.4 2.22.0
TRANSPOSE_CONV          1.9.0 2.2.0 2.3.0 2.13.0 2.15.0
UNPACK                  1.11.0 1.14.0 2.2.0 2.3.0 2.22.0
"""
TFLITE_SINCE = {name: tuple(releases) for name, *releases in map(str.split, _TFLITE_TABLE.strip().splitlines())}
# Up to 2.9.1 these load, and give another class for every image; no operator version shows it. Seen on the packages.
TFLITE_SINCE[DENSE_BY_CHANNEL] = ("2.10.0",)

# Before this, some quantized files give other numbers: sigmoid and tanh in 16 bits in 2.4.4, most 8-bit convolutions in
# 1.15.0. All before 2.4 read the quantizer's QUANTIZE as ADD: it writes operators by new code alone. Seen on the packages.
INTEGERS_SINCE = "2.5.0"

# ai-edge-litert has its own numbers. This is the highest version of each operator that differs from TensorFlow Lite
# 2.14, in the releases of LITERT_RELEASES: from the packages, since no list exists.
LITERT_RELEASES = ("1.0.1", "1.2.0", "2.0.2", "2.1.0", "2.3.0")
LITERT_BASE = "2.14.0"
_LITERT_TABLE = """
ADD                   5  5  5  5  6
BROADCAST_TO          3  3  3  3  4
CAST                  6  7  7  8  9
CONCATENATION         4  4  4  4  7
CONV_2D               8  8  8  8  8
DEQUANTIZE            6  6  6  7  9
DYNAMIC_UPDATE_SLICE  2  3  4  4  6
EMBEDDING_LOOKUP      4  4  4  4  5
EQUAL                 4  4  4  5  5
FULLY_CONNECTED      13 13 13 14 14
GATHER                7  7  7  7  8
GATHER_ND             5  5  5  5  6
GELU                  2  2  2  2  3
LOG                   2  2  2  2  2
MUL                   7  7  7  7  8
NOT_EQUAL             3  3  3  4  4
PACK                  4  4  4  4  5
PAD                   4  4  5  5  6
PADV2                 4  4  5  5  6
QUANTIZE              3  3  3  4  6
RSQRT                 3  3  3  3  3
SLICE                 6  6  6  7  8
SOFTMAX               3  3  3  3  4
SPLIT                 4  4  4  4  5
SPLIT_V               2  2  2  2  3
SQRT                  1  1  2  2  2
TRANSPOSE             6  7  7  7  9
TRANSPOSE_CONV        5  5  5  5  5
UNPACK                4  4  4  4  6
"""
LITERT_VERSIONS = {name: tuple(map(int, versions)) for name, *versions in map(str.split, _LITERT_TABLE.strip().splitlines())}
# Measured: 1.0.1 and tflite-runtime 2.14.0 refuse a dense layer, 1.1.2 and later compute the same.
LITERT_VERSIONS[FOUR_BITS] = (0, 1, 1, 1, 1)
_LITERT, _FOUR_BITS_SINCE = "ai-edge-litert", "1.1.2"

RELEASES = {_LITERT: (LITERT_RELEASES[0], LITERT_RELEASES[-1]), "tflite-runtime": ("2.7.0", "2.14.0")}
"""The oldest and the newest release in the tables, by package."""


def oldest_tflite(operators: Mapping[str, int]) -> str | None:
    """Return the oldest TensorFlow Lite release with these versions of operators; None if one is not in the table."""
    found = []
    for name, version in operators.items():
        since = TFLITE_SINCE.get(name, ())
        if not 0 < version <= len(since):
            return None
        found.append(since[version - 1])
    return max(found, key=release_key, default=None)


def highest(package: str, release: str, operator: str) -> int:
    """Return the highest version of an operator that a release has; 0 if it lacks the operator, or no table lists it."""
    if package == _LITERT:
        if operator in LITERT_VERSIONS:
            column = sum(release_key(measured) <= release_key(release) for measured in LITERT_RELEASES) - 1
            return LITERT_VERSIONS[operator][column]
        release = LITERT_BASE
    return sum(release_key(since) <= release_key(release) for since in TFLITE_SINCE.get(operator, ()))


# Positions of the fields in the tables of schema.fbs.
_MODEL_OPERATOR_CODES, _MODEL_SUBGRAPHS, _MODEL_BUFFERS, _MODEL_METADATA = 1, 2, 4, 6
_CODE_VERSION = 2
_SUBGRAPH_TENSORS = 0
_TENSOR_SHAPE, _TENSOR_TYPE, _TENSOR_NAME, _TENSOR_QUANTIZATION = 0, 1, 3, 4
_QUANTIZATION_SCALE = 2
_OPERATOR_INPUTS, _OPERATOR_OUTPUTS = 1, 2
_ABSENT = 2**32 - 1  # Index of an omitted input or output.
_METADATA_NAME, _METADATA_BUFFER = 0, 1
_BUFFER_DATA = 0


@dataclass(frozen=True)
class TfliteNeeds:
    """See `edgecnn.edge.compatibility.requirements.Needs`.

    Attributes:
        operators: Each operator's name and its highest version: as written, or as its tensors require, since a quantizer may
            not have raised the float file's. Includes `DENSE_BY_CHANNEL` and `FOUR_BITS`.
        written: Oldest TensorFlow Lite release that loads it, as written by its converter; None if it wrote none. A later
            change of the file may not have kept it.
        int8: Whether operators compute in 8-bit integers; weights that are only stored in 8 bits don't count.
        int16: Whether operators compute in 16-bit integers.
        unknown: Operators on integers that no rule covers (`needed`); they may need a higher version than the
            written one.
    """

    title: ClassVar[str] = "TensorFlow Lite"
    numbered: ClassVar[str] = "tflite-runtime"  # ai-edge-litert has its own numbers.

    operators: dict[str, int]
    written: str | None
    int8: bool
    int16: bool = False
    unknown: tuple[str, ...] = ()

    def text(self) -> str:
        """See `Needs`."""
        return ", ".join(f"{name} {version}" for name, version in self.operators.items())

    def oldest_runtime(self) -> str | None:
        """See `Needs`."""
        if self.unknown:
            return None
        if FOUR_BITS in self.operators:
            others = {name: version for name, version in self.operators.items() if name != FOUR_BITS}
            releases = (_FOUR_BITS_SINCE, *LITERT_RELEASES[1:])
            found = (one for one in releases if all(highest(_LITERT, one, name) >= others[name] for name in others))
            return next((f"{_LITERT}>={release}" for release in found), None)
        release = oldest_tflite(self.operators)
        return release and f"tensorflow-lite>={max(release, self._integers_since(), key=release_key)}"

    def at_least(self) -> str | None:
        """See `Needs`. If a version is newer than the table, this is the release with the operator's last version in it."""
        known = [TFLITE_SINCE[name][: max(1, version)][-1] for name, version in self.operators.items() if name in TFLITE_SINCE]
        return max([*known, self._integers_since()], key=release_key) if known else None

    def lack(self, package: str, release: str) -> str | None:
        """See `Needs`."""
        for operator, wanted in self.operators.items():
            has = highest(package, release, operator)
            if operator in self.unknown:
                return f"no table lists which release of {package} computes {operator} in integers"
            if operator == FOUR_BITS and not has:
                return f"its 4-bit weights need {_LITERT}>={_FOUR_BITS_SINCE}"
            if wanted > has:
                since = oldest_tflite({operator: wanted})
                came = f" (TensorFlow Lite {since} and later)" if since else ""
                return f"{operator} has version {wanted}{came}, and {package} {release} has {f'up to {has}' if has else 'none'}"
        return None

    def _integers_since(self) -> str:
        return INTEGERS_SINCE if self.int8 or self.int16 else "0"


def read_needs(data: bytes) -> TfliteNeeds:
    """Read a file's requirements. See `edgecnn.edge.compatibility.requirements.read_needs`."""
    if data[4:8] != b"TFL3":
        raise ValueError("no TFL3 mark")
    model = root(data)
    operators: dict[str, int] = {}
    for code in model.tables(_MODEL_OPERATOR_CODES):
        name = operator_name(code)
        operators[name] = max(code.i32(_CODE_VERSION, 1), operators.get(name, 0))
    if not operators:
        raise ValueError("no operators")
    kinds, unknown = set(), set()
    for graph, used in graphs_of(model):
        tensors = [_tensor(table) for table in graph.tables(_SUBGRAPH_TENSORS)]
        for name, operator in used:
            inputs, outputs = (
                [None if index == _ABSENT else tensors[index] for index in operator.u32s(place)]
                for place in (_OPERATOR_INPUTS, _OPERATOR_OUTPUTS)
            )
            kinds |= {tensor.kind for tensor in outputs if tensor is not None}
            asked = needed(name, inputs, outputs)
            if asked is None:
                unknown.add(name)
            for kind, version in (asked or {}).items():
                operators[kind] = max(version, operators.get(kind, 0))
    return TfliteNeeds(dict(sorted(operators.items())), _release(model), INT8 in kinds, INT16 in kinds, tuple(sorted(unknown)))


# Numbers of the narrow types in schema.fbs.
_NARROW = {1: "float16", 3: "uint8", 7: "int16", 9: "int8", 17: "int4"}


def narrow_numbers(data: bytes) -> str | None:
    """See `edgecnn.edge.compatibility.requirements.narrow_numbers`. Integers without a scale, such as pixels, do not count."""
    for graph in root(data).tables(_MODEL_SUBGRAPHS):
        for tensor in map(_tensor, graph.tables(_SUBGRAPH_TENSORS)):
            if tensor.kind in _NARROW and (tensor.scales or _NARROW[tensor.kind] == "float16"):
                return _NARROW[tensor.kind]
    return None


def _tensor(table: Table) -> Tensor:
    for place in (_TENSOR_SHAPE, _TENSOR_NAME):
        table.vector(place)  # Unused here, but it counts against the budget.
    quantization = table.table(_TENSOR_QUANTIZATION)
    return Tensor(table.i8(_TENSOR_TYPE), quantization.vector(_QUANTIZATION_SCALE)[1] if quantization else 0)


def _release(model: Table) -> str | None:
    buffers = model.tables(_MODEL_BUFFERS)
    for entry in model.tables(_MODEL_METADATA):
        if entry.data(_METADATA_NAME) == b"min_runtime_version":
            written = buffers[entry.i32(_METADATA_BUFFER, 0)].data(_BUFFER_DATA)
            return written.rstrip(b"\0").decode("ascii") or None
    return None
