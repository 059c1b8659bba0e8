"""How a board's class probabilities compare with this machine's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgecnn.edge.formats import FORMATS, PRECISIONS
from edgecnn.edge.show.table import TextTable, table_text
from tools.pi.workstation import PRECISIONS_OF

# What `edgecnn verify` accepts where another package runs a file than the one that made its golden vectors.
DRIFT = {FORMATS[name].file_name(word): PRECISIONS[word].drift for name, words in PRECISIONS_OF.items() for word in words}
# Largest accepted difference of a probability from this machine's, measured in docs/explanation/arm.md. Floats are summed in
# another order.
# Integer kernels sometimes round halves differently, which changes an output by one step: 1/256 in int8, 1/32768 in int16.
# `dynamic` and ONNX Runtime's int8 have such steps inside, before a float softmax.
TOLERANCE = {
    **DRIFT,
    "float32.tflite": 1e-5,
    "float16.tflite": 1e-5,
    "dynamic.tflite": 0.02,
    "int8.tflite": 1 / 256,
    "int16x8.tflite": 1 / 32768,
    "float32.onnx": 1e-5,
    "int8.onnx": 0.02,
}
# tflite-runtime 2.14, nine releases older, has other integer kernels than ai-edge-litert.
TOLERANCE_32 = {**TOLERANCE, "int8.tflite": 0.05, "int16x8.tflite": 0.001}
HALF = "asimdhp"
"""Name in /proc/cpuinfo of the instructions that compute in float16."""
# Each operator rounds to 11 significant bits.
TOLERANCE_16 = {**DRIFT, "float32.tflite": 0.01, "float16.tflite": 0.01}

Probabilities = NDArray[np.float32]


@dataclass(frozen=True)
class Compared:
    """A file in a runtime on a board compared with the same file in its default runtime on this machine.

    Attributes:
        file: Name of the file.
        runtime: Name of the runtime.
        images: Number of images.
        same_class: Number of them with the same most probable class.
        largest_difference: Largest difference between two probabilities, 0 to 1.
        tolerance: Largest accepted difference.
    """

    file: str
    runtime: str
    images: int
    same_class: int
    largest_difference: float
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether the difference is within the tolerance; NaN is not."""
        return self.largest_difference <= self.tolerance


def compare(
    file: str, runtime: str, board: Probabilities, here: Probabilities, allowed: Mapping[str, float] = TOLERANCE
) -> Compared:
    """Compare class probabilities (n, classes) of the same images.

    Raises:
        ValueError: If their numbers of images or classes differ.
    """
    if board.shape != here.shape:
        raise ValueError(f"probabilities must have one shape, got {board.shape} and {here.shape}")
    same = int((board.argmax(axis=1) == here.argmax(axis=1)).sum())
    return Compared(file, runtime, len(here), same, float(np.abs(board - here).max()), allowed[file])


def complaint(compared: Compared) -> str | None:
    """Return what is wrong with a file on a board, if anything."""
    if compared.passed:
        return None
    return (
        f"{compared.file} in {compared.runtime}: a probability differs from this machine's by "
        f"{compared.largest_difference:.3g}, the limit is {compared.tolerance:.3g}; "
        f"same class for {compared.same_class} of {compared.images}"
    )


def to_text(board: str, compared: Sequence[Compared]) -> str:
    """Return a table with a row for each file."""
    rows = [
        (row.file, row.runtime, f"{row.same_class} of {row.images}", f"{row.largest_difference:.2g}", f"{row.tolerance:.2g}")
        for row in compared
    ]
    return table_text(TextTable((board, "runtime", "same class", "differs by", "allowed"), rows)) + "\n"
