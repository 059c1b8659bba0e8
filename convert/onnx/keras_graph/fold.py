"""Puts what needs no operator of its own into the operators around it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecnn.convert.onnx.keras_graph.graph import AFFINE, Graph, Node

# The axis of the output channels of an operator's weights. (A Gemm's are transposed.)
_OUTPUT_AXIS = {"Conv": 0, "ConvTranspose": 1, "Gemm": 0}


def fold(graph: Graph, output: str) -> str:
    """Fold what can be, remove what nobody reads, and return the name of the output."""
    output = _fold_affine(graph, output)
    _fold_pads(graph)
    _write_affine(graph)
    _remove_unread(graph, output)
    return output


def _fold_affine(graph: Graph, output: str) -> str:
    """Put a factor and an offset per channel into the weights before them, as batch normalization is in inference."""
    makers, readers = {node.output: node for node in graph.nodes}, graph.readers()
    renamed: dict[str, str] = {}
    kept = []
    for node in graph.nodes:
        node.inputs = [renamed.get(name, name) for name in node.inputs]
        maker = makers.get(node.inputs[0]) if node.kind == AFFINE else None
        if maker and maker.kind in _OUTPUT_AXIS and readers[maker.output] == 1 and maker.output != output:
            _scale(graph, maker, node.attributes["scale"], node.attributes["offset"], readers)
            renamed[node.output] = maker.output
            readers[maker.output] = readers[node.output]
        else:
            kept.append(node)
    graph.nodes = kept
    return renamed.get(output, output)


def _scale(graph: Graph, node: Node, scale: NDArray[np.float64], offset: NDArray[np.float64], readers: Any) -> None:
    weights = graph.constants[node.inputs[1]].astype(np.float64)
    axis = _OUTPUT_AXIS[node.kind]
    sizes = [-1 if place == axis else 1 for place in range(weights.ndim)]
    bias = graph.constants[node.inputs[2]].astype(np.float64) if len(node.inputs) > 2 else np.zeros(len(scale))
    found = weights * scale.reshape(sizes), bias * scale + offset
    for place, (values, what) in enumerate(zip(found, ("weights", "bias"), strict=True), 1):
        if place < len(node.inputs) and readers[node.inputs[place]] == 1:
            graph.constants[node.inputs[place]] = values.astype(np.float32)
        else:  # No such node, or another call of the layer reads it.
            name = graph.constant(f"{node.output}/{what}", values.astype(np.float32))
            node.inputs[place:] = [name, *node.inputs[place + 1 :]]


def _fold_pads(graph: Graph) -> None:
    """Have a convolution pad by itself what a layer of zeros pads before it."""
    makers, readers = {node.output: node for node in graph.nodes}, graph.readers()
    for node in graph.nodes:
        maker = makers.get(node.inputs[0])
        if node.kind == "Conv" and maker and maker.kind == "Pad" and readers[maker.output] == 1:
            top, left, bottom, right = graph.constants[maker.inputs[1]][[2, 3, 6, 7]].tolist()
            if min(top, left, bottom, right) >= 0:
                before = node.attributes.get("pads", [0, 0, 0, 0])
                node.attributes["pads"] = [one + other for one, other in zip(before, (top, left, bottom, right), strict=True)]
                node.inputs[0] = maker.inputs[0]


def _write_affine(graph: Graph) -> None:
    """Make the factors and offsets that are left operators."""
    nodes = []
    for node in graph.nodes:
        nodes += _operators(graph, node) if node.kind == AFFINE else [node]
    graph.nodes = nodes


def _operators(graph: Graph, node: Node) -> list[Node]:
    scale, offset, axis, rank = (node.attributes[key] for key in ("scale", "offset", "axis", "rank"))
    if axis == 1 and np.ptp(scale) + np.ptp(offset):
        # One operator, which reads and writes a feature map once.
        own = [graph.constant(f"{node.output}/{key}", node.attributes[key].astype(np.float32)) for key in ("scale", "offset")]
        shared = [graph.filled(number, len(scale)) for number in (0, 1)]
        return [Node("BatchNormalization", [node.inputs[0], *own, *shared], node.output, {"epsilon": 0.0})]

    def constant(name: str, values: NDArray[np.float64]) -> str:
        values = values[:1].reshape(()) if not np.ptp(values) else values.reshape([-1] + [1] * (rank - axis - 1))
        return graph.constant(f"{node.output}/{name}", values.astype(np.float32))

    factor, added = constant("scale", scale), constant("offset", offset)
    if not offset.any():
        return [Node("Mul", [node.inputs[0], factor], node.output, {})]
    between = f"{node.output}/mul"
    return [Node("Mul", [node.inputs[0], factor], between, {}), Node("Add", [between, added], node.output, {})]


def _remove_unread(graph: Graph, output: str) -> None:
    read, nodes = {output}, []
    for node in reversed(graph.nodes):
        if node.output in read:
            read.update(node.inputs)
            nodes.append(node)
    graph.nodes = nodes[::-1]
    graph.constants = {name: values for name, values in graph.constants.items() if name in read}
