"""How a small ONNX file is written."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

Shapes = dict[str, Sequence[int | str | None]]


def onnx_bytes(
    nodes: Sequence[Any], inputs: Shapes, outputs: Shapes, constants: dict[str, Any] | None = None, opset: int = 17
) -> bytes:
    """Return the file of a graph between tensors of float32 numbers with these shapes; sizes that are names are free."""
    ends = [
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in tensors.items()]
        for tensors in (inputs, outputs)
    ]
    weights = [numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()]
    graph = helper.make_graph(nodes, "small", *ends, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    return bytes(model.SerializeToString())
