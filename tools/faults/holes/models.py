"""Makes models that are wrong in a known way from a good .onnx file."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

LARGE = -1e6
_WIDE = 1024


def before_softmax(good: Path, kind: str, operand: NDArray[np.float32]) -> bytes:
    """Return a file whose logits go through one more operator, `Add` or `Mul`.

    Adding -1e6 to a class means that it is never predicted; multiplying by 0.02 destroys confidence; multiplying by 0 makes
    the output the same for every image.
    """
    import onnx

    model = onnx.load(str(good))
    graph = model.graph
    softmax = next(node for node in graph.node if node.op_type == "Softmax")
    graph.initializer.append(onnx.numpy_helper.from_array(operand.astype(np.float32), "planted_operand"))
    added = onnx.helper.make_node(kind, [softmax.input[0], "planted_operand"], ["planted"])
    place = list(graph.node).index(softmax)
    softmax.input[0] = "planted"
    graph.node.insert(place, added)
    made: bytes = model.SerializeToString()
    return made


def drawn(good: Path) -> bytes:
    """Return a file that adds random numbers to its logits: the same image gets another answer each time."""
    import onnx

    model = onnx.load(str(good))
    graph = model.graph
    softmax = next(node for node in graph.node if node.op_type == "Softmax")
    place, logits = list(graph.node).index(softmax), softmax.input[0]
    softmax.input[0] = "planted"
    graph.node.insert(place, onnx.helper.make_node("Add", [logits, "chance"], ["planted"]))
    graph.node.insert(place, onnx.helper.make_node("RandomNormalLike", [logits], ["chance"], scale=9.0))
    made: bytes = model.SerializeToString()
    return made


def negative_batch(good: Path) -> bytes:
    """Return a file that declares a batch of -1."""
    import onnx

    model = onnx.load(str(good))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = -1
    made: bytes = model.SerializeToString()
    return made


def slow(layers: int = 24) -> bytes:
    """Return a file that takes milliseconds, so that a process stopped again and again is slow in every run."""
    import onnx

    helper, element = onnx.helper, onnx.TensorProto.FLOAT
    weights = np.random.default_rng(0).normal(0, 1 / np.sqrt(_WIDE), (_WIDE, _WIDE)).astype(np.float32)
    nodes = [helper.make_node("Reshape", ["image", "shape"], ["step0"])]
    nodes += [helper.make_node("MatMul", [f"step{i}", "weights"], [f"step{i + 1}"]) for i in range(layers)]
    nodes += [helper.make_node("Softmax", [f"step{layers}"], ["classes"])]
    constants = [
        onnx.numpy_helper.from_array(np.array([1, _WIDE], np.int64), "shape"),
        onnx.numpy_helper.from_array(weights, "weights"),
    ]
    ends: list[Any] = [
        [helper.make_tensor_value_info("image", element, [1, 32, 32, 1])],
        [helper.make_tensor_value_info("classes", element, [1, _WIDE])],
    ]
    graph = helper.make_graph(nodes, "slow", *ends, constants)
    made: bytes = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    return made
