"""Gives an .onnx file the weights and ranges that a .tflite file of the same network has learnt.

The two files hold the same numbers in other orders: a layer's weights are found by their values before the training, and an
activation by its values after it.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecnn.convert.export.converters import Ranges
from edgecnn.convert.qat.graph import FloatGraph, GraphOperator, NotTrainable, Weights

# Converters fold normalisation in another order of float32 operations.
_CLOSE = 1e-3
_LAYERS = "Conv", "Gemm"


def with_learnt_weights(onnx_file: bytes, network: FloatGraph, learnt: Weights) -> bytes:
    """Return an .onnx file in which each layer has its learnt weights and bias.

    Args:
        onnx_file: A trusted float32 file of the same network, with its normalisation folded.
        network: The .tflite file before the training.
        learnt: The weights and biases after it.

    Raises:
        NotTrainable: If a layer of one file is not found in the other.
    """
    import onnx

    model = onnx.load_from_string(onnx_file)
    values = {value.name: value for value in model.graph.initializer}
    layers = [one for one in network.operators if one.channels is not None]
    nodes = [node for node in model.graph.node if node.op_type in _LAYERS and node.input[1] in values]
    if len(nodes) != len(layers):
        raise _unlike(f"{len(layers)} layers with weights in one, {len(nodes)} in the other")
    for node in nodes:
        _learn(model.graph, node, values, layers, network, learnt)
    return bytes(model.SerializeToString())


def matched_ranges(ranges: Ranges, values: Mapping[str, NDArray[Any]], learnt: Ranges, of: Mapping[str, Any]) -> Ranges:
    """Return the ranges of an .onnx file's activations: those learnt, where the .tflite file has an activation of equal values.

    Args:
        ranges: The calibrated ranges, by the .onnx file's tensor names.
        values: Values of its tensors for some images.
        learnt: The learnt ranges, by the .tflite file's tensor names.
        of: Values of its tensors for the same images.
    """
    known = {name: np.sort(np.ravel(of[name])) for name in learnt if name in of}
    found = dict(ranges)
    for name in ranges:
        own = np.sort(np.ravel(values[name]))
        same = (other for other, theirs in known.items() if theirs.size == own.size and _close(own, theirs))
        if (other := next(same, None)) is not None:
            found[name] = learnt[other]
    return found


def _learn(
    graph: Any, node: Any, values: Mapping[str, Any], layers: list[GraphOperator], network: FloatGraph, learnt: Weights
) -> None:
    """Replace a node's weights and bias by those of the layer that has the same ones, which leaves the list."""
    import onnx

    stored = onnx.numpy_helper.to_array(values[node.input[1]])
    turned = node.op_type == "Gemm" and not any(one.name == "transB" and one.i for one in node.attribute)
    theirs = (stored.T if turned else stored).reshape(stored.shape[1] if turned else stored.shape[0], -1)
    for layer in layers:
        if (order := _order(_rows(network.weights[layer.filter], layer), theirs)) is not None:
            break
    else:
        raise _unlike(f"no layer has the weights of {node.name or node.output[0]}")
    layers.remove(layer)
    new = _rows(np.asarray(learnt[layer.filter]), layer)[:, order]
    new = new.T.reshape(stored.shape) if turned else new.reshape(stored.shape)
    values[node.input[1]].CopyFrom(onnx.numpy_helper.from_array(np.ascontiguousarray(new), node.input[1]))
    if layer.bias is None:
        return
    name = f"{node.output[0]}_learnt_bias"
    graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(learnt[layer.bias], np.float32).ravel(), name))
    del node.input[2:]
    node.input.append(name)


def _rows(weights: NDArray[np.float32], layer: GraphOperator) -> NDArray[np.float32]:
    """Return a layer's weights as (output channels, weights of each)."""
    assert layer.channels is not None  # noqa: S101  # It is a layer with weights.
    moved = np.moveaxis(weights, layer.channels, 0)
    return moved.reshape(len(moved), -1)


def _order(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> NDArray[np.int64] | None:
    """Return the order of our columns that makes them theirs; None if they are others."""
    if ours.shape != theirs.shape:
        return None
    mixed = np.random.default_rng(0).standard_normal(len(ours))
    order = np.empty(ours.shape[1], np.int64)
    order[np.argsort(mixed @ theirs, kind="stable")] = np.argsort(mixed @ ours, kind="stable")
    return order if _close(ours[:, order], theirs) else None


def _close(first: NDArray[Any], second: NDArray[Any]) -> bool:
    return bool(np.allclose(first, second, rtol=0, atol=_CLOSE * max(1e-6, float(np.abs(first).max(initial=0)))))


def _unlike(reason: str) -> NotTrainable:
    return NotTrainable(f"its .onnx file is not built like its .tflite file ({reason})")
