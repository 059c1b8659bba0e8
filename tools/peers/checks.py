"""Checks that a file gives the same predictions."""

import numpy as np
from numpy.typing import NDArray

from edgecnn.edge.model.preprocess import Floats
from tools.peers.lineup import Agreement

# Largest drop of an int8 file in percentage points, the default limit of `edgecnn bench`.
INT8_DROP_POINTS = 0.5


def agreement(probabilities: Floats, reference: Floats, labels: NDArray[np.int64]) -> Agreement:
    """Compare a file's outputs with Keras's on the same images.

    Args:
        probabilities: Probabilities from the file, (n, classes).
        reference: Probabilities from the float Keras model, (n, classes).
        labels: Labels of the images, (n,).

    Raises:
        ValueError: If the shapes differ.
    """
    if probabilities.shape != reference.shape or len(labels) != len(reference):
        raise ValueError(f"outputs must be {reference.shape} for {len(labels)} labels, got {probabilities.shape}")
    classes, expected = probabilities.argmax(axis=1), reference.argmax(axis=1)
    difference = np.abs(probabilities.astype(np.float64) - reference).max()
    return Agreement(
        images=len(labels),
        same_class=int((classes == expected).sum()),
        largest_difference=float(difference),
        right=int((classes == labels).sum()),
        reference_right=int((expected == labels).sum()),
    )


def disagreement(found: Agreement, precision: str) -> str | None:
    """Return what is wrong with a file's predictions, if anything.

    A float file must give Keras's class for every image; an int8 file must be right about as often as Keras.
    """
    if not np.isfinite(found.largest_difference):
        return "some of its outputs are not finite"
    if precision == "float32" and found.same_class < found.images:
        others = found.images - found.same_class
        return (
            f"another class than Keras for {others:,} of {found.images:,} images, "
            f"probabilities differ by up to {found.largest_difference:.2g}"
        )
    drop = 100 * (found.reference_right - found.right) / found.images
    if precision == "int8" and drop > INT8_DROP_POINTS:
        right = 100 * found.right / found.images
        return f"right on only {right:.2f} %, {drop:.2f} points below Keras (limit {INT8_DROP_POINTS:g})"
    return None
