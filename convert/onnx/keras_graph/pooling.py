"""Pooling layers."""

from typing import Any

from edgecnn.convert.onnx.keras_graph.convolutions import require_channels_last, windows
from edgecnn.convert.onnx.keras_graph.values import LayerCall, Value


def _pooled(call: LayerCall, value: Value, kind: str, **attributes: Any) -> Value:
    call.require_floats(value)
    layer = call.layer
    found = windows(call, value, layer.pool_size, layer.strides, layer.padding)
    return call.result(call.graph.add(kind, [value.first()], call.name, **found, **attributes), "first")


def max_pooling(call: LayerCall, value: Value) -> Value:
    """Convert MaxPooling2D."""
    return _pooled(call, value, "MaxPool")


def average_pooling(call: LayerCall, value: Value) -> Value:
    """Convert AveragePooling2D, whose average is over the pixels that exist."""
    return _pooled(call, value, "AveragePool", count_include_pad=0)


def global_pooled(call: LayerCall, value: Value, kind: str, keepdims: bool) -> Value:
    """Return one number for each channel, with or without two axes of size one."""
    call.require_floats(value)
    batch, _, _, channels = value.shape
    name = call.name if keepdims else f"{call.name}/pool"
    tensor = call.graph.add(kind, [value.first()], name)
    if keepdims:
        return call.result(tensor, "first")
    return call.result(call.graph.reshape(tensor, (batch, channels, 1, 1), (batch, channels), call.name), "last")


def global_average_pooling(call: LayerCall, value: Value) -> Value:
    """Convert GlobalAveragePooling2D."""
    require_channels_last(call)
    return global_pooled(call, value, "GlobalAveragePool", call.layer.keepdims)


def global_max_pooling(call: LayerCall, value: Value) -> Value:
    """Convert GlobalMaxPooling2D."""
    require_channels_last(call)
    return global_pooled(call, value, "GlobalMaxPool", call.layer.keepdims)


LAYERS = {
    "MaxPooling2D": max_pooling,
    "AveragePooling2D": average_pooling,
    "GlobalAveragePooling2D": global_average_pooling,
    "GlobalMaxPooling2D": global_max_pooling,
}
