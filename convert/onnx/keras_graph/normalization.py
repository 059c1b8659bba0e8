"""Layers that normalise, and those that scale pixels."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecnn.convert.keras.load import load_keras
from edgecnn.convert.onnx.keras_graph.convolutions import numbers
from edgecnn.convert.onnx.keras_graph.graph import AFFINE
from edgecnn.convert.onnx.keras_graph.values import Handler, LayerCall, Value, axis_in


def scaled(call: LayerCall, value: Value, scale: NDArray[Any], offset: NDArray[Any]) -> Value:
    """Return a value times `scale` plus `offset`, which are one number or one for each channel, in float64."""
    channels = value.shape[-1]
    if channels is None:
        raise call.refuse("takes any number of channels")
    for factors in (scale, offset):  # Those of rows or columns may be as many as the channels.
        if factors.size > 1 and not factors.size == factors.shape[-1] == channels:
            raise call.refuse(f"has factors of shape {factors.shape} for {channels} channels")
    tensor, layout = value.either()
    if value.dtype != call.dtype:
        tensor = call.graph.add("Cast", [tensor], f"{call.name}/cast", to=_FLOAT)
    rank = len(value.shape)
    found = {"scale": np.broadcast_to(scale.ravel(), channels), "offset": np.broadcast_to(offset.ravel(), channels)}
    return call.result(call.graph.add(AFFINE, [tensor], call.name, axis=axis_in(layout, -1, rank), rank=rank, **found), layout)


_FLOAT = 1  # onnx.TensorProto.FLOAT.


def batch_normalization(call: LayerCall, value: Value) -> Value:
    """Convert BatchNormalization with its moving averages."""
    call.require_floats(value)
    layer = call.layer
    if layer.axis not in (-1, len(value.shape) - 1):
        raise call.refuse(f"has axis={layer.axis}")
    mean, variance = (numbers(moving).astype(np.float64) for moving in (layer.moving_mean, layer.moving_variance))
    scale = 1 / np.sqrt(variance + layer.epsilon)
    scale = scale * numbers(layer.gamma) if layer.scale else scale
    offset = -mean * scale
    return scaled(call, value, scale, offset + numbers(layer.beta) if layer.center else offset)


def rescaling(call: LayerCall, value: Value) -> Value:
    """Convert Rescaling."""
    _require_float_result(call)
    # As float32, in which Keras computes.
    scale, offset = (np.asarray(given, np.float32).astype(np.float64) for given in (call.layer.scale, call.layer.offset))
    return scaled(call, value, scale, offset)


def normalization(call: LayerCall, value: Value) -> Value:
    """Convert Normalization with the mean and the variance that it was given or adapted to."""
    _require_float_result(call)
    layer = call.layer
    if layer.invert:
        raise call.refuse("has invert=True")
    mean, variance = (numbers(known).astype(np.float64) for known in (layer.mean, layer.variance))
    if mean.size > 1 and mean.shape[-1] != mean.size:
        raise call.refuse(f"has axis={layer.axis}")
    scale = 1 / np.maximum(np.sqrt(variance), load_keras().config.epsilon())
    return scaled(call, value, scale, -mean * scale)


def _require_float_result(call: LayerCall) -> None:
    if call.dtype != "float32":
        raise call.refuse(f"gives {call.dtype}")


def layer_normalization(call: LayerCall, value: Value) -> Value:
    """Convert LayerNormalization over the last axes: one operator from opset 17 on."""
    call.require_floats(value)
    layer, rank = call.layer, len(value.shape)
    axes = sorted(axis % rank for axis in (layer.axis if isinstance(layer.axis, list | tuple) else [layer.axis]))
    if layer.rms_scaling or axes != list(range(axes[0], rank)):
        raise call.refuse("does not normalise over the last axes alone")
    sizes = value.shape[axes[0] :]
    if None in sizes:
        raise call.refuse("takes images of any size")
    gamma = numbers(layer.gamma) if layer.gamma is not None else np.ones([size or 0 for size in sizes], np.float32)
    scale, graph = call.weights("gamma", gamma), call.graph
    offset = [call.weights("beta", numbers(layer.beta))] if layer.beta is not None else []
    if graph.opset >= _ONE_OPERATOR:
        attributes = {"axis": axes[0] - rank, "epsilon": float(layer.epsilon)}
        return call.result(graph.add("LayerNormalization", [value.last(), scale, *offset], call.name, **attributes), "last")

    def step(kind: str, inputs: list[str], name: str, **attributes: Any) -> str:
        return graph.add(kind, inputs, f"{call.name}/{name}", **attributes)

    negative = [axis - rank for axis in axes]
    mean = step("ReduceMean", [value.last()], "mean", axes=negative, keepdims=1)
    centred = step("Sub", [value.last(), mean], "centred")
    variance = step("ReduceMean", [step("Mul", [centred, centred], "squares")], "variance", axes=negative, keepdims=1)
    epsilon = graph.constant(f"{call.name}/epsilon", np.float32(layer.epsilon))
    deviation = step("Sqrt", [step("Add", [variance, epsilon], "steadied")], "deviation")
    found = step("Mul", [step("Div", [centred, deviation], "normalised"), scale], "scaled")
    found = graph.add("Add", [found, *offset], call.name) if offset else found
    return call.result(found, "last")


_ONE_OPERATOR = 17

LAYERS: dict[str, Handler] = {
    "BatchNormalization": batch_normalization,
    "LayerNormalization": layer_normalization,
    "Normalization": normalization,
    "Rescaling": rescaling,
}
