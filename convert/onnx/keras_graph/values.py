"""What a layer computes: a tensor of the graph, with channels first, last or both ways, whichever its readers want."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from edgecnn.convert.onnx.keras_graph.graph import Graph, Shape, Unsupported

Layout = Literal["first", "last"]
_TO_FIRST, _TO_LAST = (0, 3, 1, 2), (0, 2, 3, 1)


@dataclass(eq=False)
class Value:
    """The result of a layer.

    Attributes:
        graph: Where it is computed.
        shape: Its shape in Keras, (n, h, w, c) for a feature map.
        dtype: numpy's name of its type.
        forms: The tensors that hold it: `last` as Keras orders it; a feature map also `first`, (n, c, h, w).
        flattened: The feature map of which this is the flattened form; what reads it may take that form's order instead.
        is_image: Whether it is the model's input, which becomes channels first as soon as something reads it.
    """

    graph: Graph
    shape: Shape
    dtype: str
    forms: dict[Layout, str]
    flattened: "Value | None" = None
    is_image: bool = False

    def first(self) -> str:
        """Return the tensor with channels first."""
        if len(self.shape) != 4:
            raise Unsupported(f"a layer for feature maps reads {len(self.shape)} dimensions")
        if "first" not in self.forms:
            n, h, w, c = self.shape
            self.forms["first"] = self._moved(self.forms["last"], (n, h, w, c), (n, c, h, w), _TO_FIRST, "channels_first")
        return self.forms["first"]

    def last(self) -> str:
        """Return the tensor as Keras orders it."""
        if "last" not in self.forms:
            if self.flattened is not None:
                whole = self.flattened
                self.forms["last"] = self.graph.reshape(whole.last(), whole.shape, self.shape, f"{whole.name}/flat")
            else:
                n, h, w, c = self.shape
                self.forms["last"] = self._moved(self.forms["first"], (n, c, h, w), self.shape, _TO_LAST, "channels_last")
        return self.forms["last"]

    def either(self) -> tuple[str, Layout]:
        """Return the tensor that is there, and which it is: for operators that don't mind."""
        if len(self.shape) == 4 and ("first" in self.forms or self.is_image):
            return self.first(), "first"
        return self.last(), "last"

    def like(self, tensor: str, layout: Layout) -> "Value":
        """Return a value of the same shape and type in another tensor."""
        return Value(self.graph, self.shape, self.dtype, {layout: tensor})

    @property
    def name(self) -> str:
        """Name of a tensor that holds it."""
        return next(iter(self.forms.values()))

    def _moved(self, tensor: str, shape: Shape, wanted: Shape, order: tuple[int, ...], name: str) -> str:
        # Nothing moves if there is one channel or one pixel.
        if self.shape[3] == 1 or self.shape[1] == self.shape[2] == 1:
            return self.graph.reshape(tensor, shape, wanted, f"{tensor}/{name}")
        return self.graph.add("Transpose", [tensor], f"{tensor}/{name}", perm=list(order))


def in_layout(value: Value, layout: Layout) -> str:
    """Return a value's tensor in a layout."""
    return value.first() if layout == "first" else value.last()


def axis_in(layout: Layout, axis: int, rank: int) -> int:
    """Return where an axis of Keras's is in a layout."""
    axis %= rank
    return _TO_FIRST.index(axis) if layout == "first" else axis


@dataclass(frozen=True)
class LayerCall:
    """One call of a layer or an operation.

    Attributes:
        graph: The graph to add to.
        name: Name of the result: the layer's, after those of the models that it is in.
        layer: The layer or operation.
        shape: Shape of the result in Keras.
        dtype: Type of the result.
    """

    graph: Graph
    name: str
    layer: Any
    shape: Shape
    dtype: str

    def weights(self, purpose: str, values: Any) -> str:
        """Return the name of a constant of the layer; `values` are those of the first call."""
        key, known = (id(self.layer), purpose), self.graph.of_layers
        if key not in known:
            known[key] = self.graph.constant(f"{self.name}/{purpose}", values)
        return known[key]

    def result(self, tensor: str, layout: Layout) -> Value:
        """Return the result that a tensor holds."""
        return Value(self.graph, self.shape, self.dtype, {layout: tensor})

    def refuse(self, what: str) -> Unsupported:
        """Return the refusal of something about the layer."""
        return Unsupported(f"{type(self.layer).__name__} {self.name} {what}")

    def require_floats(self, value: Value) -> None:
        """Refuse numbers that are not float32."""
        if value.dtype != "float32" or self.dtype != "float32":
            raise self.refuse(f"takes {value.dtype} and gives {self.dtype}")

    def require_type(self, *values: Value) -> None:
        """Refuse values of another type than the result: pixels that are cut or joined are floats to Keras, and stay bytes."""
        for value in values:
            if value.dtype != self.dtype:
                raise self.refuse(f"takes {value.dtype} and gives {self.dtype}")

    def floats(self, value: Value) -> tuple[str, Layout]:
        """Return the tensor of float32 that is there, and its layout: for operators that don't mind that."""
        self.require_floats(value)
        return value.either()


Handler = Callable[..., Value]
"""Converts the call of a layer or an operation, a `LayerCall`, with what it was called with."""
