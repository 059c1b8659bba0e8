"""What a .tflite or .onnx file needs of its runtime, read from its bytes.

A device has neither the onnx package nor TensorFlow, and tflite-runtime has no schema module, so the few fields are read
here: a FlatBuffer's tables by their numbers in tensorflow/lite/schema/schema.fbs, a Protocol Buffer's fields by theirs in
onnx.proto.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from edge.errors import ArtifactError
from edge.tensor_needs import DENSE_BY_CHANNEL, INT8, INT16, Tensor, needed

__all__ = ["DENSE_BY_CHANNEL", "ONNX_DOMAIN", "OPERATORS", "Needs", "needs_text", "read_needs"]

ONNX_DOMAIN = "ai.onnx"

# The builtin operators of TFLite by their codes from 0: schema.fbs.
_OPERATOR_NAMES = """
    ADD AVERAGE_POOL_2D CONCATENATION CONV_2D DEPTHWISE_CONV_2D DEPTH_TO_SPACE DEQUANTIZE EMBEDDING_LOOKUP FLOOR
    FULLY_CONNECTED HASHTABLE_LOOKUP L2_NORMALIZATION L2_POOL_2D LOCAL_RESPONSE_NORMALIZATION LOGISTIC LSH_PROJECTION LSTM
    MAX_POOL_2D MUL RELU RELU_N1_TO_1 RELU6 RESHAPE RESIZE_BILINEAR RNN SOFTMAX SPACE_TO_DEPTH SVDF TANH CONCAT_EMBEDDINGS
    SKIP_GRAM CALL CUSTOM EMBEDDING_LOOKUP_SPARSE PAD UNIDIRECTIONAL_SEQUENCE_RNN GATHER BATCH_TO_SPACE_ND
    SPACE_TO_BATCH_ND TRANSPOSE MEAN SUB DIV SQUEEZE UNIDIRECTIONAL_SEQUENCE_LSTM STRIDED_SLICE BIDIRECTIONAL_SEQUENCE_RNN
    EXP TOPK_V2 SPLIT LOG_SOFTMAX DELEGATE BIDIRECTIONAL_SEQUENCE_LSTM CAST PRELU MAXIMUM ARG_MAX MINIMUM LESS NEG PADV2
    GREATER GREATER_EQUAL LESS_EQUAL SELECT SLICE SIN TRANSPOSE_CONV SPARSE_TO_DENSE TILE EXPAND_DIMS EQUAL NOT_EQUAL LOG
    SUM SQRT RSQRT SHAPE POW ARG_MIN FAKE_QUANT REDUCE_PROD REDUCE_MAX PACK LOGICAL_OR ONE_HOT LOGICAL_AND LOGICAL_NOT
    UNPACK REDUCE_MIN FLOOR_DIV REDUCE_ANY SQUARE ZEROS_LIKE FILL FLOOR_MOD RANGE RESIZE_NEAREST_NEIGHBOR LEAKY_RELU
    SQUARED_DIFFERENCE MIRROR_PAD ABS SPLIT_V UNIQUE CEIL REVERSE_V2 ADD_N GATHER_ND COS WHERE RANK ELU REVERSE_SEQUENCE
    MATRIX_DIAG QUANTIZE MATRIX_SET_DIAG ROUND HARD_SWISH IF WHILE NON_MAX_SUPPRESSION_V4 NON_MAX_SUPPRESSION_V5
    SCATTER_ND SELECT_V2 DENSIFY SEGMENT_SUM BATCH_MATMUL PLACEHOLDER_FOR_GREATER_OP_CODES CUMSUM CALL_ONCE BROADCAST_TO
    RFFT2D CONV_3D IMAG REAL COMPLEX_ABS HASHTABLE HASHTABLE_FIND HASHTABLE_IMPORT HASHTABLE_SIZE REDUCE_ALL
    CONV_3D_TRANSPOSE VAR_HANDLE READ_VARIABLE ASSIGN_VARIABLE BROADCAST_ARGS RANDOM_STANDARD_NORMAL BUCKETIZE
    RANDOM_UNIFORM MULTINOMIAL GELU DYNAMIC_UPDATE_SLICE RELU_0_TO_1 UNSORTED_SEGMENT_PROD UNSORTED_SEGMENT_MAX
    UNSORTED_SEGMENT_SUM ATAN2 UNSORTED_SEGMENT_MIN SIGN BITCAST BITWISE_XOR RIGHT_SHIFT
"""
OPERATORS = tuple(_OPERATOR_NAMES.split())
_CUSTOM = OPERATORS.index("CUSTOM")

# Places of the fields in the tables of schema.fbs.
_MODEL_OPERATOR_CODES, _MODEL_SUBGRAPHS, _MODEL_BUFFERS, _MODEL_METADATA = 1, 2, 4, 6
_CODE_DEPRECATED, _CODE_CUSTOM, _CODE_VERSION, _CODE_BUILTIN = 0, 1, 2, 3
_SUBGRAPH_TENSORS, _SUBGRAPH_OPERATORS = 0, 3
_TENSOR_TYPE, _TENSOR_QUANTIZATION = 1, 4
_QUANTIZATION_SCALE = 2
_OPERATOR_CODE, _OPERATOR_INPUTS, _OPERATOR_OUTPUTS = 0, 1, 2
_ABSENT = 2**32 - 1  # An input or output that is left out.
_METADATA_NAME, _METADATA_BUFFER = 0, 1
_BUFFER_DATA = 0

# Numbers of the fields in the messages of onnx.proto.
_MODEL_IR_VERSION, _MODEL_GRAPH, _MODEL_OPSET_IMPORT = 1, 7, 8
_OPSET_DOMAIN, _OPSET_VERSION = 1, 2
_GRAPH_NODE = 1
_NODE_OP_TYPE = 4


@dataclass(frozen=True)
class Needs:
    """What a runtime must know to run a file.

    Attributes:
        operators: Of a TFLite file: each operator's name and the highest version of it, as written or as its tensors ask for:
            a quantiser need not have raised the float file's. With `DENSE_BY_CHANNEL`.
        release: Of a TFLite file: the oldest TensorFlow Lite release that loads it, as its converter wrote; None if it
            did not. Whoever changed the file since need not have kept it.
        ir_version: Of an ONNX file.
        opsets: Of an ONNX file: the version of each domain's operators; the standard one is `ai.onnx`.
        int8: Whether operators compute in 8-bit integers; weights that are only stored so don't count.
        int16: Likewise, in 16 bits; of a TFLite file.
        unknown: Of a TFLite file: operators on integers that no rule knows (`edge.tensor_needs`), so that their version may
            have to be higher than the written one.
    """

    operators: dict[str, int]
    release: str | None
    ir_version: int | None
    opsets: dict[str, int]
    int8: bool
    int16: bool = False
    unknown: tuple[str, ...] = ()


def read_needs(data: bytes, model_format: str) -> Needs:
    """Read what a `tflite` or `onnx` file needs.

    Raises:
        ArtifactError: If the bytes are not such a file.
    """
    read = {"tflite": _read_tflite, "onnx": _read_onnx}[model_format]
    try:
        return read(data)
    except (struct.error, IndexError, ValueError) as error:
        raise ArtifactError(f"it is no {model_format} file, or is damaged ({error}): copy or export it again") from error


def needs_text(needs: Needs) -> str:
    """Say it in one line."""
    if needs.ir_version is not None:
        opsets = (f"opset {version} of {domain}" for domain, version in needs.opsets.items())
        return ", ".join([f"IR version {needs.ir_version}", *opsets])
    return ", ".join(f"{name} {version}" for name, version in needs.operators.items())


def _read_tflite(data: bytes) -> Needs:
    if data[4:8] != b"TFL3":
        raise ValueError("no TFL3 mark")
    model = _Table(data, _u32(data, 0))
    codes = [(_operator_name(code), code.i32(_CODE_VERSION, 1)) for code in model.tables(_MODEL_OPERATOR_CODES)]
    operators: dict[str, int] = {}
    for name, version in codes:
        operators[name] = max(version, operators.get(name, 0))
    if not operators:
        raise ValueError("no operators")
    kinds, unknown = set(), set()
    for graph in model.tables(_MODEL_SUBGRAPHS):
        tensors = [_tensor(table) for table in graph.tables(_SUBGRAPH_TENSORS)]
        for operator in graph.tables(_SUBGRAPH_OPERATORS):
            name, _ = codes[operator.u32(_OPERATOR_CODE, 0)]
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
    return Needs(
        dict(sorted(operators.items())), _release(model), None, {}, INT8 in kinds, INT16 in kinds, tuple(sorted(unknown))
    )


def _tensor(table: "_Table") -> Tensor:
    quantization = table.table(_TENSOR_QUANTIZATION)
    return Tensor(table.i8(_TENSOR_TYPE), quantization.vector(_QUANTIZATION_SCALE)[1] if quantization else 0)


def _operator_name(code: "_Table") -> str:
    # Codes above 127 did not fit the first field; older files have nothing else.
    number = max(code.i8(_CODE_DEPRECATED), code.i32(_CODE_BUILTIN, 0))
    if number == _CUSTOM:
        return f"custom {code.data(_CODE_CUSTOM).decode(errors='replace')}"
    return OPERATORS[number] if 0 <= number < len(OPERATORS) else f"operator {number}"


def _release(model: "_Table") -> str | None:
    buffers = model.tables(_MODEL_BUFFERS)
    for entry in model.tables(_MODEL_METADATA):
        if entry.data(_METADATA_NAME) == b"min_runtime_version":
            written = buffers[entry.i32(_METADATA_BUFFER, 0)].data(_BUFFER_DATA)
            return written.rstrip(b"\0").decode("ascii") or None
    return None


@dataclass(frozen=True)
class _Table:
    """A FlatBuffer table: its fields are found through the table of their places that it points back to."""

    buffer: bytes
    at: int

    def field(self, number: int) -> int | None:
        """Where a field is; None if it has its default value."""
        (back,) = struct.unpack_from("<i", self.buffer, self.at)
        places = self.at - back
        if places < 0:
            raise ValueError("an offset points outside")
        size, place = _u16(self.buffer, places), 4 + 2 * number
        offset = _u16(self.buffer, places + place) if place < size else 0
        return self.at + offset if offset else None

    def i8(self, number: int) -> int:
        at = self.field(number)
        return 0 if at is None else int(struct.unpack_from("<b", self.buffer, at)[0])

    def i32(self, number: int, default: int) -> int:
        at = self.field(number)
        return default if at is None else int(struct.unpack_from("<i", self.buffer, at)[0])

    def u32(self, number: int, default: int) -> int:
        at = self.field(number)
        return default if at is None else _u32(self.buffer, at)

    def table(self, number: int) -> "_Table | None":
        at = self.field(number)
        return None if at is None else _Table(self.buffer, at + _u32(self.buffer, at))

    def vector(self, number: int) -> tuple[int, int]:
        """Where a vector's items begin, and how many there are."""
        at = self.field(number)
        if at is None:
            return 0, 0
        start = at + _u32(self.buffer, at)
        return start + 4, _u32(self.buffer, start)

    def u32s(self, number: int) -> list[int]:
        start, count = self.vector(number)
        return list(struct.unpack_from(f"<{count}I", self.buffer, start))

    def tables(self, number: int) -> list["_Table"]:
        start, _ = self.vector(number)
        return [_Table(self.buffer, start + 4 * i + offset) for i, offset in enumerate(self.u32s(number))]

    def data(self, number: int) -> bytes:
        start, count = self.vector(number)
        return self.buffer[start : start + count]


def _u16(buffer: bytes, at: int) -> int:
    return int(struct.unpack_from("<H", buffer, at)[0])


def _u32(buffer: bytes, at: int) -> int:
    return int(struct.unpack_from("<I", buffer, at)[0])


def _read_onnx(data: bytes) -> Needs:
    ir_version, opsets, int8 = None, {}, False
    for number, value in _fields(memoryview(data)):
        if number == _MODEL_IR_VERSION and isinstance(value, int):
            ir_version = value
        elif number == _MODEL_OPSET_IMPORT and not isinstance(value, int):
            entry = dict(_fields(value))
            domain, version = entry.get(_OPSET_DOMAIN, b""), entry.get(_OPSET_VERSION, 0)
            if isinstance(domain, int) or not isinstance(version, int):
                raise ValueError("an opset is no domain and number")
            opsets[bytes(domain).decode() or ONNX_DOMAIN] = version
        elif number == _MODEL_GRAPH and not isinstance(value, int):
            int8 = any(_quantizes(node) for place, node in _fields(value) if place == _GRAPH_NODE)
    if ir_version is None or not opsets:
        raise ValueError("no IR version or no opset")
    return Needs({}, None, ir_version, opsets, int8)


def _quantizes(node: int | memoryview) -> bool:
    if isinstance(node, int):
        raise ValueError("a node is a number")
    types = (value for number, value in _fields(node) if number == _NODE_OP_TYPE)
    return any(not isinstance(value, int) and bytes(value) == b"QuantizeLinear" for value in types)


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Walk over a message's fields: numbers of varints as they are, all else as its bytes."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(message, at)
            yield key >> 3, value
            continue
        if kind == 2:
            size, at = _varint(message, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
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
