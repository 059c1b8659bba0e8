"""Convolutions, pooling and dense layers."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecnn.convert.keras.load import load_keras
from edgecnn.convert.onnx.keras_graph.activations import activated
from edgecnn.convert.onnx.keras_graph.values import Handler, LayerCall, Value


def numbers(variable: Any) -> NDArray[np.float32]:
    """Return a variable's values."""
    return np.asarray(load_keras().ops.convert_to_numpy(variable), np.float32)


def windows(
    call: LayerCall,
    value: Value,
    kernel: Sequence[int],
    strides: Sequence[int],
    padding: str,
    dilations: Sequence[int] = (1, 1),
) -> dict[str, list[int]]:
    """Return ONNX's attributes of windows that TensorFlow pads: with `same`, the odd pixel goes below and to the right.

    Source: https://www.tensorflow.org/api_docs/python/tf/nn#notes_on_padding_2.
    """
    require_channels_last(call)
    begins, ends = [], []
    for size, length, stride, dilation in zip(value.shape[1:3], kernel, strides, dilations, strict=True):
        if size is None:
            raise call.refuse("takes images of any size")
        missing = max(0, (-(-size // stride) - 1) * stride + (length - 1) * dilation + 1 - size)
        begins.append(missing // 2)
        ends.append(missing - missing // 2)
    if padding not in ("same", "valid"):
        raise call.refuse(f"has padding={padding}")
    pads = [*begins, *ends] if padding == "same" else [0, 0, 0, 0]
    found = {"kernel_shape": list(kernel), "strides": list(strides), "pads": pads}
    return found if tuple(dilations) == (1, 1) else {**found, "dilations": list(dilations)}


def require_channels_last(call: LayerCall) -> None:
    """Refuse a layer whose channels are not last."""
    if getattr(call.layer, "data_format", "channels_last") != "channels_last":
        raise call.refuse("has its channels first")


def _bias(call: LayerCall) -> list[str]:
    """Return the name of a layer's bias, if there is one that is not zero everywhere."""
    values = numbers(call.layer.bias) if call.layer.use_bias else np.zeros(1, np.float32)
    return [call.weights("bias", values)] if values.any() else []


def _convolved(call: LayerCall, value: Value, kernel: NDArray[np.float32], name: str, purpose: str, **attributes: Any) -> str:
    """Add a convolution with a kernel (out, in, h, w) and the layer's bias, which the last one of a layer has."""
    bias = _bias(call) if name == call.name else []
    return call.graph.add("Conv", [value.first(), call.weights(purpose, kernel), *bias], name, **attributes)


def conv2d(call: LayerCall, value: Value) -> Value:
    """Convert Conv2D."""
    call.require_floats(value)
    layer = call.layer
    found = windows(call, value, layer.kernel_size, layer.strides, layer.padding, layer.dilation_rate)
    kernel = numbers(layer.kernel).transpose(3, 2, 0, 1)
    tensor = _convolved(call, value, kernel, call.name, "kernel", **found, group=layer.groups)
    return activated(call, layer.activation, call.result(tensor, "first"))


def _depthwise(call: LayerCall, value: Value, kernel: Any, name: str) -> str:
    layer = call.layer
    found = windows(call, value, layer.kernel_size, layer.strides, layer.padding, layer.dilation_rate)
    h, w, channels, several = kernel.shape
    weights = numbers(kernel).transpose(2, 3, 0, 1).reshape(channels * several, 1, h, w)
    return _convolved(call, value, weights, name, "depthwise", **found, group=channels)


def depthwise_conv2d(call: LayerCall, value: Value) -> Value:
    """Convert DepthwiseConv2D."""
    call.require_floats(value)
    tensor = _depthwise(call, value, call.layer.kernel, call.name)
    return activated(call, call.layer.activation, call.result(tensor, "first"))


def separable_conv2d(call: LayerCall, value: Value) -> Value:
    """Convert SeparableConv2D: a depthwise convolution, and one of single pixels."""
    call.require_floats(value)
    layer = call.layer
    between = call.result(_depthwise(call, value, layer.depthwise_kernel, f"{call.name}/depthwise"), "first")
    kernel = numbers(layer.pointwise_kernel).transpose(3, 2, 0, 1)
    tensor = _convolved(call, between, kernel, call.name, "pointwise", kernel_shape=[1, 1])
    return activated(call, layer.activation, call.result(tensor, "first"))


def conv2d_transpose(call: LayerCall, value: Value) -> Value:
    """Convert Conv2DTranspose, the gradient of a convolution from the sizes of its result."""
    call.require_floats(value)
    require_channels_last(call)
    layer = call.layer
    if layer.output_padding is not None or tuple(layer.dilation_rate) != (1, 1):
        raise call.refuse("has output_padding or dilation_rate")
    begins, ends, added = [], [], []
    for small, large, length, stride in zip(value.shape[1:3], call.shape[1:3], layer.kernel_size, layer.strides, strict=True):
        if small is None or large is None:
            raise call.refuse("takes images of any size")
        surplus = (small - 1) * stride + length - large
        # Cut off where a convolution would have padded; a longer result is filled at its end.
        cut = max(0, surplus) if layer.padding == "same" else 0
        begins.append(cut // 2)
        ends.append(cut - cut // 2)
        added.append(max(0, -surplus))
    kernel = call.weights("kernel", numbers(layer.kernel).transpose(3, 2, 0, 1))
    found = {"strides": list(layer.strides), "pads": [*begins, *ends], "output_padding": added}
    tensor = call.graph.add(
        "ConvTranspose", [value.first(), kernel, *_bias(call)], call.name, kernel_shape=list(layer.kernel_size), **found
    )
    return activated(call, layer.activation, call.result(tensor, "first"))


def dense(call: LayerCall, value: Value) -> Value:
    """Convert Dense: on vectors as one operator; on feature maps with channels first as a convolution of single pixels."""
    call.require_floats(value)
    layer, kernel = call.layer, numbers(call.layer.kernel)
    bias = numbers(layer.bias) if layer.use_bias else np.zeros(kernel.shape[1], np.float32)
    if len(value.shape) == 2:
        tensor, order = _vectors(value)
        rows = call.weights("kernel", kernel.T) if order is None else call.weights("kernel_channels_first", kernel[order].T)
        found = call.graph.add("Gemm", [tensor, rows, call.weights("bias", bias)], call.name, transB=1)
        return activated(call, layer.activation, call.result(found, "last"))
    tensor, layout = value.either()
    if layout == "first":
        inputs = [tensor, call.weights("kernel_first", kernel.T[..., None, None]), call.weights("bias", bias)]
        found = call.graph.add("Conv", inputs, call.name, kernel_shape=[1, 1])
    else:
        found = call.graph.add("MatMul", [tensor, call.weights("kernel_last", kernel)], f"{call.name}/product")
        found = call.graph.add("Add", [found, call.weights("bias", bias)], call.name)
    return activated(call, layer.activation, call.result(found, layout))


def _vectors(value: Value) -> tuple[str, NDArray[np.int64] | None]:
    """Return the tensor (n, features) to multiply, and the order of a kernel's rows for it; None for Keras's order.

    The rows of a kernel move at no cost, a feature map does not.
    """
    whole = value.flattened
    if whole is None or "last" in value.forms or "last" in whole.forms:
        return value.last(), None
    _, h, w, c = (size or 0 for size in whole.shape)
    order = np.arange(h * w * c).reshape(h, w, c).transpose(2, 0, 1).ravel()
    tensor = value.graph.reshape(whole.first(), (None, c, h, w), value.shape, f"{whole.name}/flat_channels_first")
    return tensor, order


def _pooling(kind: str, **attributes: Any) -> Handler:
    """Return the conversion of pooling by windows."""

    def convert(call: LayerCall, value: Value) -> Value:
        call.require_floats(value)
        layer = call.layer
        found = windows(call, value, layer.pool_size, layer.strides, layer.padding)
        return call.result(call.graph.add(kind, [value.first()], call.name, **found, **attributes), "first")

    return convert


def global_pooling(kind: str) -> Handler:
    """Return the conversion to one number for each channel, with or without two axes of size one."""

    def convert(call: LayerCall, value: Value) -> Value:
        call.require_floats(value)
        require_channels_last(call)
        batch, _, _, channels = value.shape
        if call.layer.keepdims:
            return call.result(call.graph.add(kind, [value.first()], call.name), "first")
        tensor = call.graph.add(kind, [value.first()], f"{call.name}/pool")
        return call.result(call.graph.reshape(tensor, (batch, channels, 1, 1), (batch, channels), call.name), "last")

    return convert


LAYERS: dict[str, Handler] = {
    "Conv2D": conv2d,
    "DepthwiseConv2D": depthwise_conv2d,
    "SeparableConv2D": separable_conv2d,
    "Conv2DTranspose": conv2d_transpose,
    "Dense": dense,
    "MaxPooling2D": _pooling("MaxPool"),
    "AveragePooling2D": _pooling("AveragePool", count_include_pad=0),  # Over the pixels that exist.
    "GlobalAveragePooling2D": global_pooling("GlobalAveragePool"),
    "GlobalMaxPooling2D": global_pooling("GlobalMaxPool"),
}
