"""Precisions, one row each."""

from math import inf
from typing import NamedTuple


class Precision(NamedTuple):
    """The numbers that a file computes with.

    Attributes:
        name: As in file names and in `precisions`.
        tolerance: What a probability may differ by from the float Keras model's, 0 to 1. The same sums in another order
            differ by about 1e-6 in float32; float16 weights have 11 significant bits. Infinite for a quantized file: what
            that loses has no bound, and is for `edgecnn bench` to judge.
        drift: What a probability may differ by where another runtime or machine runs the same file, 0 to 1: sums are made in
            another order, and a quantized file is rounded at other places. docs/reference/bundle.md
        calibrated: Whether training images set the ranges of its activations.
    """

    name: str
    tolerance: float
    drift: float
    calibrated: bool = False


PRECISIONS = {
    row.name: row
    for row in (
        Precision("float32", tolerance=1e-4, drift=1e-4),
        Precision("float16", tolerance=2e-2, drift=1e-4),
        Precision("dynamic", tolerance=inf, drift=0.05),
        Precision("int8", tolerance=inf, drift=0.05, calibrated=True),
        Precision("int16x8", tolerance=inf, drift=0.05, calibrated=True),
    )
}
"""Precisions by name, in the order in which results list them."""
