"""Shortens the names of a .tflite file's tensors.

TensorFlow's converter names a tensor after everything that it fused, eight layers for a convolution with batch normalization,
and names the bias the same again. In an int8 file of few parameters these names are a large part of the bytes.
"""

from typing import Any

from edgecnn.edge.compatibility.tflite_object import from_object, to_object

_JOINT = b";"


def with_short_names(data: bytes) -> bytes:
    """Return a file whose tensors have the first of their joined names; no two have the same.

    The tensor that an operator computes has that name as it is, since it names the operator. If a constant has it too, the
    constant gets a number.
    """
    model = to_object(data)
    for graph in model.subgraphs:
        computed = {index for operator in graph.operators or () for index in operator.outputs}
        taken: set[bytes] = set()
        for _, tensor in sorted(enumerate(graph.tensors), key=lambda item: item[0] not in computed):
            tensor.name = _unused(tensor, taken)
            taken.add(tensor.name)
    return from_object(model)


def _unused(tensor: Any, taken: set[bytes]) -> bytes:
    first: bytes = (tensor.name or b"").split(_JOINT)[0]
    name, number = first, 0
    while name in taken:
        number += 1
        name = b"%s_%d" % (first, number)
    return name
