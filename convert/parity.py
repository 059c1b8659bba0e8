"""Does an exported file still compute what Keras computes?"""

import numpy as np

from edge.errors import ConversionError
from edge.manifest import Parity
from edge.preprocess import Floats

# The same sums in another order differ by about 1e-6 in float32; float16 weights have 11 significant bits. Quantised files
# have no such bound: what they lose is for `edgecnn bench` to judge.
TOLERANCE = {"float32": 1e-4, "float16": 2e-2}
# Two classes that Keras finds this equally probable are a tie, which rounding decides.
_TIE = 1e-5


def check_parity(name: str, precision: str, candidate: Floats, reference: Floats) -> Parity:
    """Compare class probabilities (n, classes) on the same images.

    Raises:
        ConversionError: If the shapes differ, or a float file differs by more than `TOLERANCE`, or a float32 file gives
            another class for any image that is no tie.
    """
    if candidate.shape != reference.shape:
        raise ConversionError(f"{name} gives {candidate.shape}, Keras {reference.shape}: the conversion is wrong")
    difference = float(np.abs(candidate - reference).max())
    same = int((candidate.argmax(axis=1) == reference.argmax(axis=1)).sum())
    parity = Parity(len(reference), same, difference)
    allowed = TOLERANCE.get(precision)
    if allowed is not None and difference > allowed:
        raise ConversionError(f"{name} differs from Keras by up to {difference:.2g}, more than {allowed}: not exported")
    if precision == "float32":
        second, first = np.sort(reference, axis=1)[:, -2:].T
        other = int(((candidate.argmax(axis=1) != reference.argmax(axis=1)) & (first - second > _TIE)).sum())
        if other:
            raise ConversionError(f"{name} gives another class than Keras for {other} images: not exported")
    return parity
