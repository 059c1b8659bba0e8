"""TensorFlow's functions between the layers of a Keras 2 model, such as those of `preprocess_input`, as layers of Keras 3."""

from collections.abc import Callable
from math import isfinite
from typing import Any

from edgecnn.convert.keras.layer_config import Config, Refused, is_reference, made

CALLS = ("TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer")
"""Keras 2's layers that hold a call of a TensorFlow function; TensorFlow 2.0 to 2.3 wrote the last."""

_CONSTANT = "_CONSTANT_VALUE"
# Names that mean the same, and those of operators, which TensorFlow 2.0 to 2.3 stored.
_SAME = {
    "math.divide": "math.truediv",
    "__operators__.add": "math.add",
    "nn.swish": "nn.silu",
    "nn.sigmoid": "math.sigmoid",
    "nn.tanh": "math.tanh",
    "math.softplus": "nn.softplus",
    "dtypes.cast": "cast",
    "RealDiv": "math.truediv",
    "Sub": "math.subtract",
    "Mul": "math.multiply",
    "Add": "math.add",
    "AddV2": "math.add",
    "BiasAdd": "nn.bias_add",
    "Cast": "cast",
    "Identity": "identity",
    "Relu": "nn.relu",
    "Relu6": "nn.relu6",
    "Sigmoid": "math.sigmoid",
    "Tanh": "math.tanh",
    "Softmax": "nn.softmax",
}
_PAIRS = {"math.add": "Add", "nn.bias_add": "Add", "math.subtract": "Subtract", "math.multiply": "Multiply"}
_ACTIVATIONS = {
    "nn.relu": "relu",
    "nn.relu6": "relu6",
    "nn.silu": "silu",
    "nn.elu": "elu",
    "nn.selu": "selu",
    "nn.softplus": "softplus",
    "math.sigmoid": "sigmoid",
    "math.tanh": "tanh",
    "identity": "linear",
    "stop_gradient": "linear",
}
# By the numbers that each takes besides its input: TensorFlow's names, and Keras's.
_REDUCTIONS = {
    "math.reduce_mean": "Mean",
    "math.reduce_max": "Max",
    "math.reduce_sum": "Sum",
    "expand_dims": "ExpandDims",
    "squeeze": "Squeeze",
}
_OPERATIONS = ("Flip", *_REDUCTIONS.values())  # The others are layers.
_Made = tuple[str, Config]  # A class, and its arguments without the name.


def as_layers(layer: Config) -> list[Config]:
    """Return the layer of Keras 3 that computes what a call of a TensorFlow function does.

    Raises:
        Refused: If Keras has no such layer.
    """
    config, nodes = layer["config"], layer.get("inbound_nodes", [])
    name = layer.get("name", config.get("name"))
    function = str(_operator(config) if layer["class_name"] == "TensorFlowOpLayer" else config.get("function"))
    function = function.removeprefix("compat.v1.")
    function = _SAME.get(function, function)
    try:
        (node,) = nodes
        inputs, arguments = _called(node, config.get("constants", {}))
        (kind, given), taken = _made(function, inputs, arguments)
        if arguments:
            raise ValueError(f"unknown arguments {', '.join(arguments)}")
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise Refused(
            f"it calls TensorFlow's {function} at {name} in a way for which Keras 3 has no layer: save the model without that "
            "call, or with a layer of Keras in its place"
        ) from error
    module = "keras.src.ops.numpy" if kind in _OPERATIONS else "keras.layers"
    new = made(kind, {**given, "name": name}, layer, module)
    return [{**new, "name": name, "inbound_nodes": [[[*reference[:3], {}] for reference in taken]]}]


def _operator(config: Config) -> str:
    node = config.get("node_def")
    return str(node.get("op")) if isinstance(node, dict) else "an operator"


def _called(node: Any, constants: dict[str, Any]) -> tuple[list[Any], Config]:
    """Return the inputs of a call, each a reference to a layer or a constant, and its other arguments."""
    entries = [node] if isinstance(node[0], str) else node
    arguments = {key: value for entry in entries for key, value in (entry[3] if len(entry) > 3 else {}).items()}
    inputs = [entry[2] if entry[0] == _CONSTANT else entry[:3] for entry in entries]
    for place, value in sorted(constants.items()):
        inputs.insert(int(place), value)
    for key in ("y", "bias", "value"):
        if key in arguments:
            inputs.append(arguments.pop(key))
    usual = {"name": arguments.get("name"), "data_format": "NHWC"}
    return inputs, {key: value for key, value in arguments.items() if value is not None and value != usual.get(key)}


def _made(function: str, inputs: list[Any], arguments: Config) -> tuple[_Made, list[Any]]:
    """Return what a call becomes, and the inputs that are layers; take the arguments that this says.

    What it raises means that it becomes nothing.
    """
    layers = [value for value in inputs if is_reference(value)]
    if function in (*_PAIRS, "math.truediv") and not arguments and len(inputs) == 2:
        if len(layers) == 2:
            return (_PAIRS[function], {}), layers
        return ("Rescaling", _line(function, *inputs)), layers
    if function == "concat":
        return ("Concatenate", {"axis": _whole(arguments.pop("axis"))}), layers
    (only,) = inputs
    return _of_one(function, arguments), [only]


def _line(function: str, first: Any, second: Any) -> Config:
    """Return the scale and offset that a call with one constant is."""
    if is_reference(second):
        if function == "math.subtract":
            return {"scale": -1.0, "offset": _numbers(first)}
        if function == "math.truediv":
            raise ValueError("a constant divided by an image")
        first, second = second, first
    numbers = _numbers(second)
    scaled: Callable[[Callable[[float], float]], Any] = lambda change: (  # noqa: E731 - Of one number, or of each channel's.
        [change(value) for value in numbers] if isinstance(numbers, list) else change(numbers)
    )
    if function == "math.multiply":
        return {"scale": numbers, "offset": 0.0}
    if function == "math.truediv":
        return {"scale": scaled(lambda value: 1 / value), "offset": 0.0}
    return {"scale": 1.0, "offset": scaled(lambda value: -value) if function == "math.subtract" else numbers}


def _numbers(value: Any) -> float | list[float]:
    """Return one number, or one per channel, of which lists around have a single item each."""
    while isinstance(value, list) and len(value) == 1:
        (value,) = value
    if isinstance(value, list):
        found = [float(item) for item in value]
        if not all(map(isfinite, found)):
            raise ValueError("not finite")
        return found
    if not isfinite(float(value)):
        raise ValueError("not finite")
    return float(value)


def _of_one(function: str, arguments: Config) -> _Made:
    """Return what a call with one input becomes."""
    if function in _ACTIVATIONS:
        return "Activation", {"activation": _ACTIVATIONS[function]}
    if function == "nn.softmax":
        return "Softmax", {"axis": _whole(arguments.pop("axis", -1))}
    if function == "nn.leaky_relu":
        return "LeakyReLU", {"negative_slope": float(arguments.pop("alpha", 0.2))}
    if function == "cast":
        if arguments.pop("dtype", "float32") != "float32":
            raise ValueError("a type other than the layers' own")
        arguments.pop("Truncate", None)
        return "Rescaling", {"scale": 1.0, "offset": 0.0}  # Casts what it gets.
    if function == "reshape":
        batch, *shape = arguments.pop("shape")
        if batch != -1 or -1 in shape:
            raise ValueError("a shape that mixes images")
        return "Reshape", {"target_shape": [_whole(size) for size in shape]}
    if function == "image.resize":
        height, width = arguments.pop("size")
        method = arguments.pop("method", "bilinear")
        if arguments.pop("antialias", False) or arguments.pop("preserve_aspect_ratio", False):
            raise ValueError("resized otherwise")
        return "Resizing", {"height": _whole(height), "width": _whole(width), "interpolation": method}
    if function == "__operators__.getitem":
        *others, last = arguments.pop("slice_spec")
        whole = [{"class_name": "__ellipsis__"}], [{"start": None, "stop": None, "step": None}] * 3
        if others not in whole or last != {"start": None, "stop": None, "step": -1}:
            raise ValueError("a slice other than the colours in reverse")
        return "Flip", {"axis": -1}
    axis = arguments.pop("axis")
    axes = [_whole(one) for one in axis] if isinstance(axis, list) else _whole(axis)
    if 0 in (axes if isinstance(axes, list) else [axes]):
        raise ValueError("over the images")
    given = {"axis": axes}
    if function.startswith("math.") and "keepdims" in arguments:
        given["keepdims"] = bool(arguments.pop("keepdims"))
    return _REDUCTIONS[function], given


def _whole(value: Any) -> int:
    if not isinstance(value, int):
        raise TypeError("no whole number")
    return value
