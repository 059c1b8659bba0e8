"""The ends of a .tflite file, read from its bytes: how they are quantized, and which operator makes the output.

Not every runtime of these files reports it.
"""

import struct
from contextlib import suppress

from edgecnn.edge.compatibility.flatbuffer import Table, root
from edgecnn.edge.compatibility.tflite_operators import operator_name
from edgecnn.edge.errors import ArtifactError
from edgecnn.edge.manifest import Quantization
from edgecnn.edge.parsing import parsing

# Positions of the fields in the tables of schema.fbs.
_MODEL_OPERATOR_CODES, _MODEL_SUBGRAPHS = 1, 2
_SUBGRAPH_TENSORS, _SUBGRAPH_INPUTS, _SUBGRAPH_OUTPUTS, _SUBGRAPH_OPERATORS = 0, 1, 2, 3
_OPERATOR_CODE, _OPERATOR_INPUTS, _OPERATOR_OUTPUTS = 0, 1, 2
_TENSOR_QUANTIZATION = 4
_QUANTIZATION_SCALE, _QUANTIZATION_ZERO_POINT, _QUANTIZATION_AXIS = 2, 3, 6
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

    See `edgecnn.edge.inference.model_interface.require_stated_output`; `model` is not needed.
    """
    with suppress(ValueError, IndexError, struct.error):  # The runtime, which reads it too, says what is wrong with it.
        names = [operator_name(code) for code in root(data).tables(_MODEL_OPERATOR_CODES)]
        found = {_last(graph, names) for graph in root(data).tables(_MODEL_SUBGRAPHS)}
        return found.pop() if len(found) == 1 else None
    return None


def _last(graph: Table, names: list[str]) -> str | None:
    operators = [
        (names[table.u32(_OPERATOR_CODE, 0)], table.u32s(_OPERATOR_INPUTS), table.u32s(_OPERATOR_OUTPUTS))
        for table in graph.tables(_SUBGRAPH_OPERATORS)
    ]
    wanted = graph.u32s(_SUBGRAPH_OUTPUTS)[0]
    for name, inputs, outputs in reversed(operators):  # They are in the order in which they run.
        if wanted in outputs:
            if name not in _PASSING:
                return name
            wanted = inputs[0]
    return None


def _quantization(tensor: Table) -> Quantization | None:
    table = tensor.table(_TENSOR_QUANTIZATION)
    if table is None:
        return None
    scales = _numbers(table, _QUANTIZATION_SCALE, "f")
    if not scales:
        return None
    zero_points = tuple(int(value) for value in _numbers(table, _QUANTIZATION_ZERO_POINT, "q"))
    return Quantization(scales, zero_points, table.i32(_QUANTIZATION_AXIS, 0) if len(scales) > 1 else None)


def _numbers(table: Table, place: int, kind: str) -> tuple[float, ...]:
    start, count = table.vector(place)
    return struct.unpack_from(f"<{count}{kind}", table.buffer, start)
