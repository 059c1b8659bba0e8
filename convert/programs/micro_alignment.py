"""Whether a microcontroller can read the numbers in a .tflite file where they are."""

from edgecnn.edge.compatibility.flatbuffer import Table, root
from edgecnn.edge.errors import ConversionError
from edgecnn.edge.parsing import parsing

# Positions of fields in the tables of schema.fbs, and where numbers may lie by their TensorType; single bytes may anywhere, and
# a Cortex-M reads 8 bytes as two words.
_MODEL_SUBGRAPHS, _MODEL_BUFFERS, _SUBGRAPH_TENSORS, _TENSOR_TYPE, _TENSOR_BUFFER, _BUFFER_DATA = 2, 4, 0, 1, 2, 0
_MULTIPLES = {0: 4, 1: 2, 2: 4, 4: 4, 7: 2, 10: 4, 15: 4}


def require_aligned(data: bytes, name: str) -> None:
    """Raise if a constant of several bytes a number does not lie at words or half words: a Cortex-M0+ faults on it.

    Args:
        data: The .tflite file, itself aligned to 16 bytes.
        name: Name of the file for messages.

    Raises:
        ConversionError: If one is not aligned.
        ArtifactError: If the bytes are not a TFLite file.
    """
    with parsing(f"{name} can't be read", "copy it again"):
        model = root(data)
        buffers = model.tables(_MODEL_BUFFERS)
        tensors = [tensor for graph in model.tables(_MODEL_SUBGRAPHS) for tensor in graph.tables(_SUBGRAPH_TENSORS)]
        crooked = sum(_is_crooked(tensor, buffers) for tensor in tensors)
    if crooked:
        raise ConversionError(
            f"{name}: {crooked} of its constants are not aligned, as a microcontroller needs them: export it again"
        )


def _is_crooked(tensor: Table, buffers: list[Table]) -> bool:
    start, count = buffers[tensor.u32(_TENSOR_BUFFER, 0)].vector(_BUFFER_DATA)
    return count > 0 and start % _MULTIPLES.get(tensor.i8(_TENSOR_TYPE), 1) != 0
