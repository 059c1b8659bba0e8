"""What a comparison of two files needs to know about their format.

Each format has its own module, which `edgecnn.edge.formats` names and which has `open_pair(float32, quantized) -> Pair`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

Values = NDArray[Any]


@dataclass(frozen=True)
class Operator:
    """One operator of the float file.

    Attributes:
        name: Name of its output tensor.
        kind: Name in the format: CONV_2D, Conv, ...
        inputs: Tensors that it reads, without constants.
        passing: Whether it only passes its input's numbers on, some of them or clipped: a max pooling, a reshape.
        regroups: Whether its channels are not its input's, as in a reshape. Its loss can't be compared with theirs.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    passing: bool
    regroups: bool


@dataclass(frozen=True)
class Representable:
    """The values that an integer tensor can represent: from `low` to `high`, `step` apart."""

    low: float
    high: float
    step: float


class Pair(Protocol):
    """A float file and a quantized one of the same network, opened.

    Attributes:
        operators: Operators of the float file, in the order of execution.
        quantized: For each float tensor, the integers that stand for it in the quantized file.
    """

    operators: Sequence[Operator]
    quantized: dict[str, Representable]

    def run(self, image: Values) -> Iterator[tuple[str, Values, Values]]:
        """Run one model input, without its batch dimension, through both files.

        Yields each tensor that both have: its name, and both values as real numbers with channels last.
        """
