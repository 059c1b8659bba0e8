"""Sums, products and other functions of several values, of values and numbers, and over axes."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgecnn.convert.keras.load import load_keras
from edgecnn.convert.onnx.keras_graph.activations import plain
from edgecnn.convert.onnx.keras_graph.convolutions import global_pooling, numbers
from edgecnn.convert.onnx.keras_graph.values import Handler, LayerCall, Layout, Value, axis_in, in_layout

_ALL_PIXELS = {"ReduceMean": global_pooling("GlobalAveragePool"), "ReduceMax": global_pooling("GlobalMaxPool")}


def _operand(call: LayerCall, given: Any, layout: Layout, rank: int, number: int) -> str:
    """Return the tensor of a value or of a constant, whose axes are the last ones."""
    if isinstance(given, Value):
        return in_layout(given, layout)
    # As float32, in which Keras computes: Python's numbers, arrays and variables.
    values = np.asarray(load_keras().ops.convert_to_numpy(given), np.float32)
    values = values.reshape((1,) * (rank - values.ndim) + values.shape)
    if layout == "first":
        values = np.moveaxis(values, -1, 1)
    return call.graph.constant(f"{call.name}/number_{number}", values if values.size > 1 else values.reshape(()))


def _joined(kind: str) -> Handler:
    """Return the conversion of a function of two, as an operation or as a layer of a list of values."""

    def convert(call: LayerCall, *given: Any) -> Value:
        operands = given[0] if len(given) == 1 else given
        values = [operand for operand in operands if isinstance(operand, Value)]
        for value in values:
            call.require_floats(value)
        rank = len(call.shape)
        if any(len(value.shape) != rank for value in values):
            raise call.refuse("joins values of different numbers of axes")
        if any(not isinstance(other, Value) and np.ndim(other) > rank for other in operands):
            raise call.refuse("joins a value and a constant of more axes")
        layouts = [value.either()[1] for value in values]
        layout: Layout = "first" if "first" in layouts else "last"
        first, *others = [_operand(call, operand, layout, rank, number) for number, operand in enumerate(operands)]
        for number, other in enumerate(others, 1):
            first = call.graph.add(kind, [first, other], call.name if number == len(others) else f"{call.name}/{number}")
        return call.result(first, layout)

    return convert


def average(call: LayerCall, values: Sequence[Value]) -> Value:
    """Convert Average."""
    total = _joined("Add")(call, values)
    tensor, layout = total.either()
    count = call.graph.constant(f"{call.name}/count", np.float32(1 / len(values)))
    return call.result(call.graph.add("Mul", [tensor, count], f"{call.name}/mean"), layout)


def layer_scale(call: LayerCall, value: Value) -> Value:
    """Convert the layer of keras.applications' ConvNeXt."""
    return _joined("Mul")(call, value, numbers(call.layer.gamma))


def custom_scale(call: LayerCall, values: Sequence[Value]) -> Value:
    """Convert the layer of keras.applications' InceptionResNetV2: one value plus another, scaled."""
    tensor, layout = values[1].either()
    factor = call.graph.constant(f"{call.name}/scale", np.float32(call.layer.scale))
    scaled = values[1].like(call.graph.add("Mul", [tensor, factor], f"{call.name}/mul"), layout)
    return _joined("Add")(call, [values[0], scaled])


def _reduced(kind: str) -> Handler:
    """Return the conversion of an operation over axes."""

    def convert(call: LayerCall, value: Value) -> Value:
        call.require_floats(value)
        rank, axes = len(value.shape), call.layer.axis
        if axes is None or 0 in (places := {int(axis) % rank for axis in axes}):
            raise call.refuse("goes over the batch")
        if getattr(call.layer, "initial", None) is not None:
            raise call.refuse("begins with a value of its own")
        if rank == 4 and places == {1, 2} and kind in _ALL_PIXELS:
            return _ALL_PIXELS[kind](call, value)
        tensor, layout = value.either() if call.layer.keepdims else (value.last(), "last")
        found = sorted(axis_in(layout, axis, rank) for axis in places)
        name, keep = call.name, int(call.layer.keepdims)
        return call.result(call.graph.add(kind, [tensor], name, axes=found, keepdims=keep), layout)

    return convert


LAYERS: dict[str, Handler] = {
    "Add": _joined("Add"),
    "Average": average,
    "Maximum": _joined("Max"),
    "Minimum": _joined("Min"),
    "Multiply": _joined("Mul"),
    "Subtract": _joined("Sub"),
    "LayerScale": layer_scale,
    "CustomScaleLayer": custom_scale,
}
OPERATIONS: dict[str, Handler] = {
    "Add": _joined("Add"),
    "Divide": _joined("Div"),
    "Maximum": _joined("Max"),
    "Minimum": _joined("Min"),
    "Multiply": _joined("Mul"),
    "Subtract": _joined("Sub"),
    "TrueDivide": _joined("Div"),
    "Max": _reduced("ReduceMax"),
    "Mean": _reduced("ReduceMean"),
    "Min": _reduced("ReduceMin"),
    "Abs": plain("Abs"),
    "Absolute": plain("Abs"),
    "Exp": plain("Exp"),
    "Negative": plain("Neg"),
    "Sqrt": plain("Sqrt"),
}
