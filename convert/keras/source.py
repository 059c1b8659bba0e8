"""A Keras model from elsewhere: the numbers that enter its first layer with weights."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecnn.convert.keras.load import load_tensorflow

# A convolution, dense layer or matrix product: what comes before it prepares the image.
_LAYERS = ("BatchMatMulV2", "Conv2D", "Conv3D", "DepthwiseConv2dNative", "Einsum", "MatMul")


def imported(data: bytes, path: Path) -> bytes:
    """Return the file as it is. See `edgecnn.convert.export.source`."""
    return data


def first_layer_input(runtime: Any, images: NDArray[Any]) -> NDArray[Any] | None:
    """Return what enters the first layer with weights for model inputs (n, ...). See `edgecnn.convert.export.evidence`."""
    tensorflow = load_tensorflow()
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    frozen = convert_variables_to_constants_v2(runtime.call.get_concrete_function())
    graph = frozen.graph
    made = {tensor.name for tensor in frozen.inputs}
    for operation in graph.get_operations():
        first = next((tensor for tensor in operation.inputs if tensor.name in made), None)
        if first is None:
            continue
        if operation.type in _LAYERS:
            inner = tensorflow.compat.v1.wrap_function(
                lambda: tensorflow.graph_util.import_graph_def(graph.as_graph_def(), name=""), []
            )
            part = inner.prune(frozen.inputs[0].name, first.name)
            return np.asarray(part(tensorflow.constant(images)))
        made |= {tensor.name for tensor in operation.outputs}
    return None
