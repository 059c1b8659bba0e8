"""An ONNX graph while it is being made: its operators, and its constants."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Shape = tuple[int | None, ...]
"""Sizes with the batch first, as Keras says them; None where a size is free."""

AFFINE = "Affine"
"""Stands for a multiplication and an addition per channel until `fold` has put it into the operator before, or made it one."""


class Unsupported(Exception):
    """A model has something that this converter does not know. Its text names the layer and what it is."""


@dataclass
class Node:
    """An operator with one output, which has its name.

    Attributes:
        kind: ONNX's name of the operator, or `AFFINE`.
        inputs: Names of what it reads, the constants among them.
        output: Name of what it writes.
        attributes: Its attributes by ONNX's names; of `AFFINE` its `scale` and `offset` (channels,) and its `axis`.
    """

    kind: str
    inputs: list[str]
    output: str
    attributes: dict[str, Any]


class Graph:
    """Operators in the order in which they run, and constants by name.

    Args:
        opset: Opset of ai.onnx.
    """

    def __init__(self, opset: int) -> None:
        self.opset = opset
        self.nodes: list[Node] = []
        self.constants: dict[str, NDArray[Any]] = {}
        # Names of the constants of layers by layer and purpose: a layer that is called twice has them once.
        self.of_layers: dict[tuple[int, str], str] = {}
        # The input's name is taken.
        self._used: Counter[str] = Counter(["image"])
        # What a reshape was made of: another one after it reads that.
        self._origins: dict[str, tuple[str, Shape]] = {}

    def add(self, kind: str, inputs: Sequence[str], name: str, **attributes: Any) -> str:
        """Add an operator and return the name of its output: `name`, with a number if there is one of that name."""
        output = self._unique(name)
        self.nodes.append(Node(kind, list(inputs), output, attributes))
        return output

    def constant(self, name: str, values: Any) -> str:
        """Add a constant and return its name."""
        name = self._unique(name)
        self.constants[name] = np.ascontiguousarray(values) if np.ndim(values) else np.asarray(values)
        return name

    def filled(self, number: int, count: int) -> str:
        """Return the name of a constant (count,) of one number, of which there is one for all."""
        name = f"{('zeros', 'ones')[number]}/{count}"
        return name if name in self.constants else self.constant(name, np.full(count, number, np.float32))

    def reshape(self, tensor: str, shape: Shape, wanted: Shape, name: str) -> str:
        """Return a tensor of one shape in another, whose batch stays free."""
        if None in wanted[1:]:
            raise Unsupported(f"the sizes of {name} are not fixed")
        origin, before = self._origins.get(tensor, (tensor, shape))
        if before[1:] == wanted[1:]:
            return origin
        sizes = self.constant(f"{name}/shape", np.array([-1, *(size or 0 for size in wanted[1:])], np.int64))
        output = self.add("Reshape", [origin, sizes], name)
        self._origins[output] = origin, before
        return output

    def readers(self) -> Counter[str]:
        """Return how often each tensor is read."""
        return Counter(name for node in self.nodes for name in node.inputs)

    def _unique(self, name: str) -> str:
        self._used[name] += 1
        return name if self._used[name] == 1 else self._unique(f"{name}_{self._used[name]}")
