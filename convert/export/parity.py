"""Checks that an exported file still computes what Keras computes."""

import numpy as np

from edgecnn.edge.errors import ConversionError
from edgecnn.edge.export_records import Parity
from edgecnn.edge.formats import PRECISIONS
from edgecnn.edge.model.metrics import spread
from edgecnn.edge.model.preprocess import Floats

# Two classes whose Keras probabilities differ by less than this are a tie, which rounding decides.
_TIE = 1e-5


def check_parity(name: str, precision: str, candidate: Floats, reference: Floats) -> Parity:
    """Compare class probabilities (n, classes) on the same images.

    Raises:
        ConversionError: If the shapes differ, a float file differs by more than its precision's tolerance, or a float32
            file gives another class for an image that is not a tie.
    """
    if candidate.shape != reference.shape:
        raise ConversionError(f"{name} gives {candidate.shape}, but Keras {reference.shape}: the conversion is wrong")
    difference = float(np.abs(candidate - reference).max())
    same = int((candidate.argmax(axis=1) == reference.argmax(axis=1)).sum())
    parity = Parity(len(reference), same, difference, spread(reference))
    allowed = PRECISIONS[precision].tolerance
    if difference > allowed:
        raise ConversionError(f"{name} differs from Keras by up to {difference:.2g}, more than {allowed}: not exported")
    if precision == "float32":
        second, first = np.sort(reference, axis=1)[:, -2:].T
        other = int(((candidate.argmax(axis=1) != reference.argmax(axis=1)) & (first - second > _TIE)).sum())
        if other:
            raise ConversionError(f"{name} gives another class than Keras for {other} images: not exported")
    return parity
