"""Reads a .tflite file as a sequence of steps, with the schema module of ai-edge-litert, which devices have too."""

import math
from collections.abc import Hashable, Sequence
from typing import Any, cast

from edgecnn.edge.compatibility.requirements import read_needs
from edgecnn.edge.errors import ConfigError, field, parsing
from edgecnn.edge.graph.summary import Layer, Network, Reading, Step, bytes_of
from edgecnn.edge.model.layout import has_batch

# Operators without a convolution, dense layer or matrix product.
_NO_MACS_TEXT = """
    ABS ADD ADD_N ARG_MAX ARG_MIN ASSIGN_VARIABLE ATAN2 AVERAGE_POOL_2D BATCH_TO_SPACE_ND BITCAST BITWISE_XOR BROADCAST_ARGS
    BROADCAST_TO BUCKETIZE CAST CEIL COMPLEX_ABS CONCATENATION COS CUMSUM DENSIFY DEPTH_TO_SPACE DEQUANTIZE DIV
    DYNAMIC_UPDATE_SLICE ELU EMBEDDING_LOOKUP EQUAL EXP EXPAND_DIMS FAKE_QUANT FILL FLOOR FLOOR_DIV FLOOR_MOD GATHER GATHER_ND
    GELU GREATER GREATER_EQUAL HARD_SWISH HASHTABLE HASHTABLE_FIND HASHTABLE_IMPORT HASHTABLE_LOOKUP HASHTABLE_SIZE IMAG
    L2_NORMALIZATION L2_POOL_2D LEAKY_RELU LESS LESS_EQUAL LOCAL_RESPONSE_NORMALIZATION LOG LOGICAL_AND LOGICAL_NOT LOGICAL_OR
    LOGISTIC LOG_SOFTMAX MATRIX_DIAG MATRIX_SET_DIAG MAXIMUM MAX_POOL_2D MEAN MINIMUM MIRROR_PAD MUL MULTINOMIAL NEG
    NON_MAX_SUPPRESSION_V4 NON_MAX_SUPPRESSION_V5 NOT_EQUAL ONE_HOT PACK PAD PADV2 POW PRELU QUANTIZE RANDOM_STANDARD_NORMAL
    RANDOM_UNIFORM RANGE RANK READ_VARIABLE REAL REDUCE_ALL REDUCE_ANY REDUCE_MAX REDUCE_MIN REDUCE_PROD RELU RELU6 RELU_0_TO_1
    RELU_N1_TO_1 RESHAPE RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR REVERSE_SEQUENCE REVERSE_V2 RIGHT_SHIFT ROUND RSQRT SCATTER_ND
    SEGMENT_SUM SELECT SELECT_V2 SHAPE SIGN SIN SLICE SOFTMAX SPACE_TO_BATCH_ND SPACE_TO_DEPTH SPARSE_TO_DENSE SPLIT SPLIT_V
    SQRT SQUARE SQUARED_DIFFERENCE SQUEEZE STRIDED_SLICE SUB SUM TANH TILE TOPK_V2 TRANSPOSE UNIQUE UNPACK UNSORTED_SEGMENT_MAX
    UNSORTED_SEGMENT_MIN UNSORTED_SEGMENT_PROD UNSORTED_SEGMENT_SUM VAR_HANDLE WHERE ZEROS_LIKE
"""
_NO_MACS = frozenset(_NO_MACS_TEXT.split())
# Applied to a constant, these only unpack it: the constant belongs to whatever reads their output.
_UNPACKING = ("DEQUANTIZE", "DENSIFY")
# Which dimensions of an operator's weights, its second input, each output element is computed with.
_KERNELS = {
    "CONV_2D": slice(1, None),  # (out, height, width, in of one group)
    "DEPTHWISE_CONV_2D": slice(1, 3),  # (1, height, width, out)
    "FULLY_CONNECTED": slice(1, None),  # (out, in)
    "CONV_3D": slice(4),  # (depth, height, width, in, out)
    "TRANSPOSE_CONV": slice(3),  # (out, height, width, in)
    "CONV_3D_TRANSPOSE": slice(4),  # (depth, height, width, out, in)
}
# In these, each element of the third input is.
_TRANSPOSED = ("TRANSPOSE_CONV", "CONV_3D_TRANSPOSE")
_ABSENT = -1  # Index of an omitted input.


def read_network(data: bytes, reading: Reading) -> Network:
    """Read a file's graph; if it has several signatures, the one named in `reading`.

    A constant is a parameter if it is floating-point or quantized; other integers are shapes and axes. If several
    operators read it, it counts at the first.

    Raises:
        ArtifactError: If the bytes are not a TFLite file.
        ConfigError: If it has several signatures and none is named, or it lacks the named one.
    """
    from ai_edge_litert import schema_py_generated as schema

    # The schema's code checks nothing and copies overlapping data many times: it must not see what `read_needs` refuses.
    read_needs(data, "tflite")
    with parsing(f"{reading.name} can't be read", "copy it again"):
        model = schema.ModelT.InitFromPackedBuf(data, 0)
        graph = model.subgraphs[_subgraph(model, reading.signature)]
        return _Reader(model, graph, schema).network()


def _subgraph(model: Any, signature: str | None) -> int:
    graphs = {_text(entry.signatureKey): int(entry.subgraphIndex) for entry in model.signatureDefs or ()}
    if signature is None and len(graphs) > 1:
        raise ConfigError(f"the TFLite model has the signatures {', '.join(graphs)}: name one with {field('signature')}")
    if signature is not None and signature not in graphs:
        has = f"has the signatures {', '.join(graphs)}" if graphs else "has no signatures"
        raise ConfigError(f"the TFLite model {has}, not {signature}: name another, or omit {field('signature')}")
    return 0 if signature is None else graphs[signature]


class _Reader:
    """Walks over one graph. In the schema's fields, vectors are numpy arrays and texts are bytes; None means omitted."""

    def __init__(self, model: Any, graph: Any, schema: Any, counted: set[int] | None = None) -> None:
        self._model, self._graph, self._schema = model, graph, schema
        self._types = {number: name for name, number in vars(schema.TensorType).items() if isinstance(number, int)}
        self._names = {number: name for name, number in vars(schema.BuiltinOperator).items() if isinstance(number, int)}
        # For each tensor, the constants that it is made of: itself, or those unpacked into it.
        self._constants = {i: i for i in range(len(graph.tensors)) if self._stored_bytes(i)}
        # Older files don't say whether an empty shape is a scalar's or unknown.
        self._says_rank = any(tensor.hasRank for tensor in graph.tensors)
        self._counted: set[int] = set() if counted is None else counted  # Buffers already counted.

    def network(self) -> Network:
        steps: list[Step] = []
        folded = 0
        for operator in self._graph.operators:
            inputs, outputs = ([int(i) for i in part] for part in (_given(operator.inputs), _given(operator.outputs)))
            if min((*inputs, *outputs), default=0) < _ABSENT:
                raise ValueError("an operator has an input or output outside its tensors")
            kind = self._kind(operator)
            if kind in _UNPACKING and inputs[0] in self._constants:
                self._constants[outputs[0]] = self._constants[inputs[0]]
                folded += 1
                continue
            steps.append(self._step(operator, kind, inputs, outputs))
        # Variables live as long as the model.
        variables = [index for index, tensor in enumerate(self._graph.tensors) if tensor.isVariable]
        entries, outputs = ([int(i) for i in _given(part)] for part in (self._graph.inputs, self._graph.outputs))
        if min((*entries, *outputs), default=0) < 0:
            raise ValueError("an input or output is outside its tensors")
        keys = {*entries, *variables, *(cast(int, key) for step in steps for key in (*step.reads, *step.writes))}
        sizes: dict[Hashable, int | None] = {key: bytes_of(self._shape(key), self._dtype(key)) for key in keys}
        shape = (self._shape(entries[0]) or ()) if entries else ()
        notes = (f"Operators that only unpack constants, counted with their readers: {folded}.",) if folded else ()
        return Network(
            shape[0] if has_batch(shape) else 1,
            tuple(steps),
            sizes,
            (*entries, *variables),
            (*(key for key in outputs if key not in self._constants), *variables),
            notes,
        )

    def _step(self, operator: Any, kind: str, inputs: list[int], outputs: list[int]) -> Step:
        parameters = weight_bytes = 0
        for index in inputs:
            source = self._constants.get(index)
            if source is None or not self._is_parameter(source) or self._buffer(source) in self._counted:
                continue
            self._counted.add(self._buffer(source))
            parameters += math.prod(self._shape(source) or ())
            weight_bytes += self._stored_bytes(source)
        for graph in self._inner(operator.builtinOptions):
            inside = _Reader(self._model, graph, self._schema, self._counted).network()
            parameters += sum(step.layer.parameters for step in inside.steps)
            weight_bytes += sum(step.layer.weight_bytes for step in inside.steps)
        written = [index for index in outputs if index >= 0]
        shape, dtype = (self._shape(written[0]), self._dtype(written[0])) if written else ((), "")
        name = _text(self._graph.tensors[written[0]].name) if written else kind
        layer = Layer(name, kind, shape, dtype, parameters, self._macs(operator, kind, inputs, outputs), weight_bytes)
        return Step(layer, tuple(i for i in inputs if i >= 0 and i not in self._constants), tuple(written))

    def _macs(self, operator: Any, kind: str, inputs: list[int], outputs: list[int]) -> int | None:
        if kind in _NO_MACS:
            return 0
        shapes = [self._shape(index) if index >= 0 else () for index in (*inputs, *outputs[:1])]
        if any(shape is None for shape in shapes):
            return None
        known = [shape or () for shape in shapes]
        return _macs(kind, known, math.prod(known[-1]), operator.builtinOptions)

    def _inner(self, options: Any) -> list[Any]:
        """Return the graphs that a condition or a loop runs."""
        numbers = (
            [number for name, number in vars(options).items() if name.lower().endswith("subgraphindex")] if options else []
        )
        return [self._model.subgraphs[number] for number in numbers]

    def _kind(self, operator: Any) -> str:
        code = self._model.operatorCodes[operator.opcodeIndex]
        # Codes above 127 did not fit the first field; older files have nothing else.
        number = max(code.deprecatedBuiltinCode, code.builtinCode)
        name = self._names.get(number, f"operator {number}")
        return f"custom {_text(code.customCode)}" if name == "CUSTOM" else name

    def _shape(self, index: int) -> tuple[int, ...] | None:
        """The shape with a free batch set to 1; None if another dimension is free."""
        tensor = self._graph.tensors[index]
        unranked = self._says_rank and not tensor.hasRank and not len(_given(tensor.shape))
        free = (*_given(tensor.shape), *_given(tensor.shapeSignature)[1:])
        if unranked or any(size < 0 for size in free):
            return None
        return tuple(int(size) for size in _given(tensor.shape))

    def _dtype(self, index: int) -> str:
        name: str = self._types[self._graph.tensors[index].type]
        return name.lower()

    def _buffer(self, index: int) -> int:
        return int(self._graph.tensors[index].buffer)

    def _stored_bytes(self, index: int) -> int:
        buffer = self._model.buffers[self._buffer(index)]
        return int(buffer.size) or len(_given(buffer.data))  # Files above 2 GiB store data after the FlatBuffer.

    def _is_parameter(self, index: int) -> bool:
        quantization = self._graph.tensors[index].quantization
        return "float" in self._dtype(index) or (quantization is not None and len(_given(quantization.scale)) > 0)


def _macs(kind: str, inputs: Sequence[tuple[int, ...]], elements: int, options: Any) -> int | None:
    """Return the multiply-accumulates of an operator, from the shapes in schema.fbs and in its kernels; None if unknown.

    `inputs` are the shapes of its inputs, followed by one that is ignored; `elements` is the number of output elements.
    """
    if kind == "BATCH_MATMUL":
        return elements * inputs[0][-2 if options.adjX else -1]
    if kind not in _KERNELS:
        return None
    counted = math.prod(inputs[2]) if kind in _TRANSPOSED else elements
    return counted * math.prod(inputs[1][_KERNELS[kind]])


def _given(vector: Any) -> Any:
    return () if vector is None else vector


def _text(name: bytes | None) -> str:
    return str(name or b"", errors="replace")
