"""The tables of a .tflite file, read without a runtime: its operators and its two ends; and the file as an object to change."""

import struct
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np

from edgecnn.edge.errors import ArtifactError, parsing
from edgecnn.edge.manifest import Quantization


class ReadBudget:
    """Number of vector items that may still be read.

    Vectors may overlap, so a file of a few kilobytes can list more items than fit in any memory. In a converter's file no
    byte belongs to two vectors, in ours equal ones are one, and each is read once or twice here.
    """

    def __init__(self, left: int) -> None:
        self.left = left

    def spend(self, count: int) -> None:
        """Count items before they are read; ValueError if the file is too small for them."""
        self.left -= count
        if self.left < 0:
            raise ValueError("it lists more than it has bytes for")


class Table(NamedTuple):
    """A FlatBuffer table. It points back to a table of offsets, through which its fields are found.

    Each method takes a field's number, its position in schema.fbs, and raises struct.error, IndexError or ValueError if
    the bytes are not such a table.

    Attributes:
        buffer: The whole file.
        at: Offset of the table in it.
        budget: Budget of the whole file.
    """

    buffer: bytes
    at: int
    budget: ReadBudget

    def field(self, number: int) -> int | None:
        """Return the offset of a field; None if the field has its default value."""
        (back,) = struct.unpack_from("<i", self.buffer, self.at)
        places = self.at - back
        if places < 0:
            raise ValueError("an offset points outside")
        size, place = _u16(self.buffer, places), 4 + 2 * number
        offset = _u16(self.buffer, places + place) if place < size else 0
        return self.at + offset if offset else None

    def i8(self, number: int) -> int:
        """Return a signed byte, or a bool as 0 or 1; 0 by default."""
        at = self.field(number)
        return 0 if at is None else int(struct.unpack_from("<b", self.buffer, at)[0])

    def i32(self, number: int, default: int) -> int:
        """Return a signed 32-bit number."""
        at = self.field(number)
        return default if at is None else int(struct.unpack_from("<i", self.buffer, at)[0])

    def u32(self, number: int, default: int) -> int:
        """Return an unsigned 32-bit number."""
        at = self.field(number)
        return default if at is None else u32(self.buffer, at)

    def table(self, number: int) -> "Table | None":
        """Return a table."""
        at = self.field(number)
        return None if at is None else Table(self.buffer, at + u32(self.buffer, at), self.budget)

    def vector(self, number: int) -> tuple[int, int]:
        """Return the offset of a vector's items, and their number."""
        at = self.field(number)
        if at is None:
            return 0, 0
        start = at + u32(self.buffer, at)
        count = u32(self.buffer, start)
        self.budget.spend(count)
        return start + 4, count

    def numbers(self, number: int, kind: str) -> tuple[Any, ...]:
        """Return a vector of numbers, whose type `kind` is a letter of `struct`."""
        start, count = self.vector(number)
        return struct.unpack_from(f"<{count}{kind}", self.buffer, start)

    def u32s(self, number: int) -> tuple[int, ...]:
        """Return a vector of 32-bit numbers, read as unsigned."""
        return self.numbers(number, "I")

    def floats(self, number: int) -> tuple[float, ...]:
        """Return a vector of float32 numbers."""
        return self.numbers(number, "f")

    def tables(self, number: int) -> list["Table"]:
        """Return a vector of tables."""
        start, _ = self.vector(number)
        return [Table(self.buffer, start + 4 * i + offset, self.budget) for i, offset in enumerate(self.u32s(number))]

    def data(self, number: int) -> bytes:
        """Return a vector of bytes, or a text as its bytes."""
        start, count = self.vector(number)
        return self.buffer[start : start + count]


def root(data: bytes) -> Table:
    """Return the root table of a file; struct.error if it is too short."""
    return Table(data, u32(data, 0), ReadBudget(2 * len(data)))


def u32(buffer: bytes, at: int) -> int:
    """Return an unsigned 32-bit number."""
    return int(struct.unpack_from("<I", buffer, at)[0])


def _u16(buffer: bytes, at: int) -> int:
    return int(struct.unpack_from("<H", buffer, at)[0])


# Stands for all later codes: PLACEHOLDER_FOR_GREATER_OP_CODES of the schema.
_MOST_EARLY_CODE = 127


def to_object(data: bytes) -> Any:
    """Return a file as a `ModelT` of the schema, with all buffers inside.

    A file above 256 KiB from LiteRT's quantizer has its buffers at the end, by their offsets in the file. Written again as they
    are, they would point to other bytes.
    """
    from ai_edge_litert.tools.flatbuffer_utils import read_model_from_bytearray  # Only .tflite files need it.

    # Slices of an array are written at once, those of bytes a byte at a time.
    model = read_model_from_bytearray(np.frombuffer(data, np.uint8))
    for code in model.operatorCodes or ():
        # Converters of before 2021 wrote the earlier of an operator's two codes alone. LiteRT's quantizer reads the other one.
        code.builtinCode = max(code.builtinCode, code.deprecatedBuiltinCode)
    return model


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
    UNSORTED_SEGMENT_SUM ATAN2 UNSORTED_SEGMENT_MIN SIGN BITCAST BITWISE_XOR RIGHT_SHIFT STABLEHLO_LOGISTIC STABLEHLO_ADD
    STABLEHLO_DIVIDE STABLEHLO_MULTIPLY STABLEHLO_MAXIMUM STABLEHLO_RESHAPE STABLEHLO_CLAMP STABLEHLO_CONCATENATE
    STABLEHLO_BROADCAST_IN_DIM STABLEHLO_CONVOLUTION STABLEHLO_SLICE STABLEHLO_CUSTOM_CALL STABLEHLO_REDUCE STABLEHLO_ABS
    STABLEHLO_AND STABLEHLO_COSINE STABLEHLO_EXPONENTIAL STABLEHLO_FLOOR STABLEHLO_LOG STABLEHLO_MINIMUM STABLEHLO_NEGATE
    STABLEHLO_OR STABLEHLO_POWER STABLEHLO_REMAINDER STABLEHLO_RSQRT STABLEHLO_SELECT STABLEHLO_SUBTRACT STABLEHLO_TANH
    STABLEHLO_SCATTER STABLEHLO_COMPARE STABLEHLO_CONVERT STABLEHLO_DYNAMIC_SLICE STABLEHLO_DYNAMIC_UPDATE_SLICE
    STABLEHLO_PAD STABLEHLO_IOTA STABLEHLO_DOT_GENERAL STABLEHLO_REDUCE_WINDOW STABLEHLO_SORT STABLEHLO_WHILE
    STABLEHLO_GATHER STABLEHLO_TRANSPOSE DILATE STABLEHLO_RNG_BIT_GENERATOR REDUCE_WINDOW STABLEHLO_COMPOSITE
    STABLEHLO_SHIFT_LEFT STABLEHLO_CBRT STABLEHLO_CASE
"""
OPERATORS = tuple(_OPERATOR_NAMES.split())
_CUSTOM = OPERATORS.index("CUSTOM")

# Places of the fields in the tables of schema.fbs.
_DEPRECATED, _CUSTOM_CODE, _BUILTIN = 0, 1, 3
_MODEL_OPERATOR_CODES, _MODEL_SUBGRAPHS = 1, 2
_SUBGRAPH_TENSORS, _SUBGRAPH_INPUTS, _SUBGRAPH_OUTPUTS, _SUBGRAPH_OPERATORS = 0, 1, 2, 3
_OPERATOR_CODE, _OPERATOR_INPUTS, _OPERATOR_OUTPUTS = 0, 1, 2
_TENSOR_QUANTIZATION = 4
_QUANTIZATION_SCALE, _QUANTIZATION_ZERO_POINT, _QUANTIZATION_AXIS = 2, 3, 6


def operator_name(code: Table) -> str:
    """Return the name of an entry of a TFLite file's operator codes."""
    # Codes above 127 did not fit the first field; older files have nothing else.
    number = max(code.i8(_DEPRECATED), code.i32(_BUILTIN, 0))
    if number == _CUSTOM:
        return f"custom {code.data(_CUSTOM_CODE).decode(errors='replace')}"
    return OPERATORS[number] if 0 <= number < len(OPERATORS) else f"operator {number}"


def graphs_of(model: Table) -> list[tuple[Table, list[tuple[str, Table]]]]:
    """Return a file's graphs, each with its operators in the order in which they run: names and tables."""
    names = [operator_name(code) for code in model.tables(_MODEL_OPERATOR_CODES)]
    return [
        (graph, [(names[table.u32(_OPERATOR_CODE, 0)], table) for table in graph.tables(_SUBGRAPH_OPERATORS)])
        for graph in model.tables(_MODEL_SUBGRAPHS)
    ]


def used_operators(data: bytes) -> tuple[str, ...]:
    """Return the names of the operators that a file's graphs use, each once, in their order.

    Raises:
        ValueError, IndexError, struct.error: If the bytes are not a TFLite file.
    """
    return tuple(dict.fromkeys(name for _, operators in graphs_of(root(data)) for name, _ in operators))


# They change the form of numbers, not what they are.
_PASSING = ("CAST", "DEQUANTIZE", "EXPAND_DIMS", "QUANTIZE", "RESHAPE", "SQUEEZE", "TRANSPOSE")


def tflite_ends(data: bytes) -> tuple[Quantization | None, Quantization | None]:
    """Return how the input and the output of a file's only graph are quantized; None for floats.

    Raises:
        ArtifactError: If the bytes are not such a file, or it has several graphs, inputs or outputs.
    """
    with parsing("it is not a tflite file, or is damaged", "copy it again"):
        graphs = root(data).tables(_MODEL_SUBGRAPHS)
        ends = [graphs[0].u32s(place) for place in (_SUBGRAPH_INPUTS, _SUBGRAPH_OUTPUTS)]
        if len(graphs) != 1 or [len(end) for end in ends] != [1, 1]:
            raise ArtifactError(
                f"the TFLite model has {len(graphs)} graphs, {len(ends[0])} inputs and {len(ends[1])} outputs: this runtime "
                "takes one of each, so convert one graph alone, or use another runtime"
            )
        tensors = graphs[0].tables(_SUBGRAPH_TENSORS)
        found = [_quantization(tensors[end[0]]) for end in ends]
        return found[0], found[1]


def last_operator(data: bytes, model: object) -> str | None:
    """Return the operator that makes the output; None if several graphs end differently, or the bytes can't be read.

    See `edgecnn.edge.model.interface.require_stated_output`; `model` is not needed.
    """
    with suppress(ValueError, IndexError, struct.error):  # The runtime, which reads it too, says what is wrong with it.
        found = {_last(graph, operators) for graph, operators in graphs_of(root(data))}
        return found.pop() if len(found) == 1 else None
    return None


def _last(graph: Table, operators: list[tuple[str, Table]]) -> str | None:
    wanted = graph.u32s(_SUBGRAPH_OUTPUTS)[0]
    for name, table in reversed(operators):
        if wanted in table.u32s(_OPERATOR_OUTPUTS):
            if name not in _PASSING:
                return name
            wanted = table.u32s(_OPERATOR_INPUTS)[0]
    return None


def _quantization(tensor: Table) -> Quantization | None:
    table = tensor.table(_TENSOR_QUANTIZATION)
    scales = table.floats(_QUANTIZATION_SCALE) if table else ()
    if not table or not scales:
        return None
    axis = table.i32(_QUANTIZATION_AXIS, 0) if len(scales) > 1 else None
    return Quantization(scales, table.numbers(_QUANTIZATION_ZERO_POINT, "q"), axis)
