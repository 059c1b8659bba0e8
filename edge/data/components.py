"""Connected parts of a mask, by runs: Rosenfeld and Pfaltz, Sequential operations in digital picture processing, 1966."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Numbers = NDArray[np.intp]


class Parts(NamedTuple):
    """The parts of a mask whose pixels touch, at corners too, in the order of their first pixels. Arrays (n,) of integers.

    Attributes:
        labels: Number of the part that each pixel belongs to, (h, w); the number of parts for a pixel outside of all.
        area: Number of pixels.
        perimeter: Number of pixel edges around it, holes included.
        top: First row.
        bottom: Row after the last.
        left: First column.
        right: Column after the last.
    """

    labels: NDArray[np.int32]
    area: Numbers
    perimeter: Numbers
    top: Numbers
    bottom: Numbers
    left: Numbers
    right: Numbers


def runs(mask: Mask) -> tuple[Numbers, Numbers, int]:
    """Return the start and the end of each run of pixels in the rows of a mask (h, w), and how far two rows are apart.

    They are places in all rows behind one another, each of which has a pixel more at both ends, so that no run goes on.
    """
    padded = np.pad(mask, ((0, 0), (1, 1))).astype(np.int8)
    steps = np.diff(padded.reshape(-1), prepend=np.int8(0))
    return np.flatnonzero(steps == 1), np.flatnonzero(steps == -1), padded.shape[1]


def connected_parts(mask: Mask) -> Parts:
    """Return the parts of a mask (h, w)."""
    starts, ends, stride = runs(mask)
    part = _joined(starts, ends, stride)
    count = int(part.max(initial=-1)) + 1
    rows, first, last = starts // stride, starts % stride - 1, ends % stride - 1
    bounds = []
    for values, smallest in ((rows, True), (rows + 1, False), (first, True), (last, False)):
        bound = np.full(count, stride * len(mask) if smallest else -1, np.intp)
        (np.minimum if smallest else np.maximum).at(bound, part, values)
        bounds.append(bound)
    labels = np.full(mask.shape, count, np.int32)
    labels[mask] = np.repeat(part, ends - starts)
    area = np.bincount(part, weights=ends - starts, minlength=count).astype(np.intp)
    perimeter = 2 * np.bincount(part, minlength=count)
    for edge in (labels[0], labels[-1], labels[1:][mask[1:] > mask[:-1]], labels[:-1][mask[:-1] > mask[1:]]):
        perimeter = perimeter + np.bincount(edge, minlength=count + 1)[:count]
    return Parts(labels, area, perimeter, *bounds)


def _joined(starts: Numbers, ends: Numbers, stride: int) -> Numbers:
    """Return the number of the part that each run of pixels belongs to."""
    # Runs of the row above that touch each run, from `low` to before `high`.
    low, high = np.searchsorted(ends + stride, starts), np.searchsorted(starts + stride, ends, "right")
    counts = np.maximum(high - low, 0)
    below = np.repeat(np.arange(len(starts)), counts)
    above = np.arange(len(below)) - np.repeat(np.cumsum(counts) - counts, counts) + low[below]
    first = np.arange(len(starts))
    while True:
        lower = np.minimum(first[above], first[below])
        joined = first.copy()
        np.minimum.at(joined, first[above], lower)
        np.minimum.at(joined, first[below], lower)
        joined = joined[joined]
        if np.array_equal(joined, first):
            return np.asarray(np.unique(first, return_inverse=True)[1].reshape(-1), np.intp)
        first = joined
