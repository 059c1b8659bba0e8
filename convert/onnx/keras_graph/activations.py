"""Activation functions, as layers, as arguments of layers and as operations."""

from math import pi, sqrt
from typing import Any

import numpy as np

from edgecnn.convert.keras.load import load_keras
from edgecnn.convert.onnx.keras_graph.values import Handler, LayerCall, Value, axis_in


def activated(call: LayerCall, activation: Any, value: Value) -> Value:
    """Return what a layer's argument `activation` makes of a value."""
    keras = load_keras()
    if activation is None or activation is keras.activations.linear:
        return value
    name = getattr(activation, "__name__", type(activation).__name__)
    function = _FUNCTIONS.get(name)
    # Another function may have the same name.
    if function is None or getattr(keras.activations, name, None) is not activation:
        raise call.refuse(f"has the activation {name}")
    return function(call, value)


def plain(kind: str, **attributes: Any) -> Handler:
    """Return the conversion to one operator on each number."""

    def convert(call: LayerCall, value: Value) -> Value:
        tensor, layout = call.floats(value)
        return value.like(call.graph.add(kind, [tensor], _named(call, kind), **attributes), layout)

    return convert


def _named(call: LayerCall, kind: str) -> str:
    """Return a layer's name for an activation layer or an operation; with the operator's for the activation of a layer."""
    alone = not hasattr(call.layer, "activation") or type(call.layer).__name__ == "Activation"
    return call.name if alone else f"{call.name}/{kind.lower()}"


def _clipped(call: LayerCall, value: Value, low: float | None, high: float | None) -> Value:
    tensor, layout = call.floats(value)
    name = _named(call, "Clip")
    ends = [
        "" if end is None else call.graph.constant(f"{name}/{key}", np.float32(end))
        for key, end in (("low", low), ("high", high))
    ]
    return value.like(call.graph.add("Clip", [tensor, *ends], name), layout)


def relu(call: LayerCall, value: Value) -> Value:
    """Convert ReLU, LeakyReLU and the operations of these names."""
    layer = call.layer
    slope, most = float(layer.negative_slope), getattr(layer, "max_value", None)
    if getattr(layer, "threshold", 0):
        raise call.refuse("has a threshold")
    if slope:
        value = plain("LeakyRelu", alpha=slope)(call, value)
        return value if most is None else _clipped(call, value, None, float(most))
    return plain("Relu")(call, value) if most is None else _clipped(call, value, 0.0, float(most))


def prelu(call: LayerCall, value: Value) -> Value:
    """Convert PReLU, whose slopes may be shared along axes."""
    tensor, layout = call.floats(value)
    slopes = load_keras().ops.convert_to_numpy(call.layer.alpha)
    slopes = np.moveaxis(slopes, -1, 0) if layout == "first" else slopes
    return value.like(call.graph.add("PRelu", [tensor, call.weights(f"slopes_{layout}", slopes)], call.name), layout)


def elu(call: LayerCall, value: Value) -> Value:
    """Convert ELU."""
    return plain("Elu", alpha=float(call.layer.alpha))(call, value)


def softmax(call: LayerCall, value: Value) -> Value:
    """Convert Softmax as a layer or an operation."""
    if not isinstance(call.layer.axis, int):
        raise call.refuse("goes over several axes")
    return _over(call, value, "Softmax", call.layer.axis)


def gelu(call: LayerCall, value: Value) -> Value:
    """Convert the operation."""
    return _gelu_tanh(call, value) if call.layer.approximate else _gelu(call, value)


def _over(call: LayerCall, value: Value, kind: str, axis: int = -1) -> Value:
    tensor, layout = call.floats(value)
    axis = axis_in(layout, axis, len(value.shape))
    return value.like(call.graph.add(kind, [tensor], _named(call, kind), axis=axis), layout)


def _steps(call: LayerCall, tensor: str, *steps: tuple[str, float | str | None]) -> str:
    """Return what operators make of a tensor in turn; the second input of one is a number, a tensor or none."""
    for kind, other in steps:
        name = f"{_named(call, 'Activation')}/{kind.lower()}"
        if isinstance(other, float):
            other = call.graph.constant(f"{name}/number", np.float32(other))
        tensor = call.graph.add(kind, [tensor, *([other] if other else [])], name)
    return tensor


def _gelu(call: LayerCall, value: Value) -> Value:
    # In the form that ONNX Runtime fuses.
    tensor, layout = call.floats(value)
    share = _steps(call, tensor, ("Div", sqrt(2)), ("Erf", None), ("Add", 1.0))
    return value.like(_steps(call, tensor, ("Mul", share), ("Mul", 0.5)), layout)


def _gelu_tanh(call: LayerCall, value: Value) -> Value:
    tensor, layout = call.floats(value)
    cube = _steps(call, tensor, ("Mul", tensor), ("Mul", tensor), ("Mul", 0.044715))
    share = _steps(call, tensor, ("Add", cube), ("Mul", sqrt(2 / pi)), ("Tanh", None), ("Add", 1.0))
    return value.like(_steps(call, tensor, ("Mul", share), ("Mul", 0.5)), layout)


def _hard_silu(call: LayerCall, value: Value) -> Value:
    if call.graph.opset >= 14:
        return plain("HardSwish")(call, value)
    return _times(call, value, "HardSigmoid", alpha=1 / 6, beta=0.5)


def _times(call: LayerCall, value: Value, kind: str, **attributes: Any) -> Value:
    """Return a value times what an operator makes of it."""
    tensor, layout = call.floats(value)
    gate = call.graph.add(kind, [tensor], f"{_named(call, 'Activation')}/{kind.lower()}", **attributes)
    return value.like(call.graph.add("Mul", [tensor, gate], _named(call, "Mul")), layout)


def _mish(call: LayerCall, value: Value) -> Value:
    tensor, layout = call.floats(value)
    return value.like(_steps(call, tensor, ("Softplus", None), ("Tanh", None), ("Mul", tensor)), layout)


_FUNCTIONS: dict[str, Handler] = {
    "relu": plain("Relu"),
    "relu6": lambda call, value: _clipped(call, value, 0.0, 6.0),
    "leaky_relu": plain("LeakyRelu", alpha=0.2),
    "elu": plain("Elu", alpha=1.0),
    "selu": plain("Selu"),
    "celu": plain("Celu", alpha=1.0),
    "sigmoid": plain("Sigmoid"),
    "tanh": plain("Tanh"),
    "softplus": plain("Softplus"),
    "softsign": plain("Softsign"),
    "exponential": plain("Exp"),
    "hard_sigmoid": plain("HardSigmoid", alpha=1 / 6, beta=0.5),
    "hard_tanh": lambda call, value: _clipped(call, value, -1.0, 1.0),
    "hard_silu": _hard_silu,
    "silu": lambda call, value: _times(call, value, "Sigmoid"),
    "gelu": _gelu,
    "mish": _mish,
    "softmax": lambda call, value: _over(call, value, "Softmax"),
    "log_softmax": lambda call, value: _over(call, value, "LogSoftmax"),
}
"""Functions of `keras.activations` by name, with their default arguments."""


LAYERS: dict[str, Handler] = {
    "Activation": lambda call, value: activated(call, call.layer.activation, value),
    "ReLU": relu,
    "LeakyReLU": relu,
    "PReLU": prelu,
    "ELU": elu,
    "Softmax": softmax,
}
OPERATIONS: dict[str, Handler] = {
    "ReLU": relu,  # keras.activations.relu of a symbolic tensor.
    "LeakyRelu": relu,
    "Elu": elu,
    "Softmax": softmax,
    "Gelu": gelu,
    "Relu": _FUNCTIONS["relu"],
    "Relu6": _FUNCTIONS["relu6"],
    "Selu": _FUNCTIONS["selu"],
    "Sigmoid": _FUNCTIONS["sigmoid"],
    "Tanh": _FUNCTIONS["tanh"],
    "Softplus": _FUNCTIONS["softplus"],
    "Softsign": _FUNCTIONS["softsign"],
    "HardSigmoid": _FUNCTIONS["hard_sigmoid"],
    "HardSilu": _FUNCTIONS["hard_silu"],
    "Silu": _FUNCTIONS["silu"],
}
