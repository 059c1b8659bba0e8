"""Keeps decoded images in memory, as far as they fit."""

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from edgecnn.edge.data.splits import Indices, Shape
from edgecnn.edge.model.preprocess import Images

# Starts to read the images at some positions, and returns a function that waits for them: uint8 (n, h, w, c).
Start = Callable[[Indices], Callable[[], Images]]


class CachedImages:
    """Images of a split, each decoded once if there is room. One thread may start what another one finishes.

    Those that come first stay. In an order that is drawn again in each epoch no other choice finds more of them.

    Attributes:
        room: Largest number of images that are kept.
    """

    def __init__(self, start: Start, count: int, shape: Shape, room: int) -> None:
        """Keep at most `room` of `count` images of `shape` that `start` reads."""
        self.room = min(count, room)
        self._start = start
        # The kernel gives a page of it memory when something is written there.
        self._kept = np.empty((self.room, *shape), np.uint8)
        self._rows = np.full(count, -1)
        self._used = 0

    def start(self, indices: Indices) -> Callable[[], Images]:
        """Start to decode the images that are not kept, and return a function that waits for all: see `Start`."""
        chosen = np.asarray(indices, np.int64)
        rows = self._rows[chosen]
        missing = np.flatnonzero(rows < 0)
        decoded = self._start(chosen[missing]) if missing.size else None
        return partial(self._finished, chosen, rows, missing, decoded)

    def _finished(
        self,
        chosen: NDArray[np.int64],
        rows: NDArray[np.int64],
        missing: NDArray[np.int64],
        decoded: Callable[[], Images] | None,
    ) -> Images:
        if decoded is None:
            return self._kept[rows]
        fresh = decoded()
        self._keep(chosen[missing], fresh)
        if len(missing) == len(chosen):
            return fresh
        images = self._kept[rows]
        images[missing] = fresh
        return images

    def _keep(self, numbers: NDArray[np.int64], images: Images) -> None:
        # Keras reads the first batches twice.
        new = np.flatnonzero(self._rows[numbers] < 0)[: self.room - self._used]
        rows = np.arange(self._used, self._used + len(new))
        self._kept[rows] = images[new]
        self._rows[numbers[new]] = rows
        self._used += len(new)
