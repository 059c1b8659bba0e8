"""What a comparison of two files needs to know of their format."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

Values = NDArray[Any]


@dataclass(frozen=True)
class Operator:
    """One operator of the float file.

    Attributes:
        name: Of its output tensor.
        kind: As the format calls it: CONV_2D, Conv, ...
        inputs: The tensors that it reads, without constants.
        passing: It hands on its input's numbers, some of them or clipped: a pooling by maximum, a reshape.
        regroups: Its channels are not its input's: a reshape. What it loses can't be compared with what they lost.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    passing: bool
    regroups: bool


@dataclass(frozen=True)
class Representable:
    """What an integer tensor can stand for: from `low` to `high`, `step` apart."""

    low: float
    high: float
    step: float


class Pair(Protocol):
    """A float file and a quantised one of the same network, opened.

    Attributes:
        operators: Of the float file, in the order of execution.
        quantized: Float tensor -> the integers that stand for it in the quantised file.
    """

    operators: Sequence[Operator]
    quantized: dict[str, Representable]

    def run(self, image: Values) -> Iterator[tuple[str, Values, Values]]:
        """Run one model input, without its batch dimension, through both files.

        Gives each tensor that both have: its name, and both values as real numbers, the channels last.
        """
