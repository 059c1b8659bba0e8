"""How a .tflite file's input and output are quantized, read from its bytes: not every runtime of these files reports it."""

import struct

from edgecnn.edge.compatibility.flatbuffer import Table, root
from edgecnn.edge.errors import ArtifactError
from edgecnn.edge.manifest import Quantization
from edgecnn.edge.parsing import parsing

# Positions of the fields in the tables of schema.fbs.
_MODEL_SUBGRAPHS = 2
_SUBGRAPH_TENSORS, _SUBGRAPH_INPUTS, _SUBGRAPH_OUTPUTS = 0, 1, 2
_TENSOR_QUANTIZATION = 4
_QUANTIZATION_SCALE, _QUANTIZATION_ZERO_POINT, _QUANTIZATION_AXIS = 2, 3, 6


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
