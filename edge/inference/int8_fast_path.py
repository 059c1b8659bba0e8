"""Runs one image through an 8-bit file in as few steps as Python allows, for a camera loop.

The general way spends a third of a small model's time on copies, shape checks and dequantization. Here input and output
are tables of 256 entries.
"""

from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecnn.edge.model.layout import Layout
from edgecnn.edge.model.preprocess import InputTable
from edgecnn.edge.runtimes.base import LoadedModel


class SingleImage:
    """Runs one image at a time, in reused buffers. `single_image` creates it for the files that it suits.

    Attributes:
        buffers: By accepted image shape, (h, w, c) and (1, h, w, c): the buffer that becomes the model's input.
        probabilities: Table from raw outputs, with `mode="wrap"`: float32 of the same shape.
    """

    def __init__(self, runtime: LoadedModel, layout: Layout, table: InputTable) -> None:
        self._run, self._lock = runtime.run, Lock()
        self._call = np.empty(layout.item if layout.batch == 0 else (1, *layout.item), table.values.dtype)
        # Viewed as uint8, which adds modulo 256.
        self.buffers: dict[tuple[int, ...], NDArray[Any]] = {
            shape: self._call.view(np.uint8).reshape(shape) for shape in (layout.shape, (1, *layout.shape))
        }
        values = table.values.view(np.uint8)
        self._take = values.take
        self._shift = table.shift
        spec = runtime.output_spec
        assert spec.quantization  # noqa: S101 - `single_image` has checked.
        # The value of each raw output, as in `to_probabilities`; -1 is the last entry.
        every = np.arange(256, dtype=np.uint8).view(spec.dtype).astype(np.int32) - spec.quantization.zero_points[0]
        self.probabilities = (every.astype(np.float32) * np.float32(spec.quantization.scales[0])).take

    def run(self, image: NDArray[Any], buffer: NDArray[Any]) -> NDArray[Any]:
        """Return the raw output (1, classes) of a uint8 image; `buffer` is the buffer for its shape."""
        with self._lock:  # Threads would fill the same buffer.
            if self._shift is not None:
                np.add(image, self._shift, buffer)
            else:
                self._take(image, None, buffer, "clip")
            return self._run(self._call)


def single_image(runtime: LoadedModel, layout: Layout, table: InputTable, columns: int) -> SingleImage | None:
    """Return the fast path for one image, or None for a file that it does not suit.

    It suits files with 8 bits in and out and one scale each, one output for each of several classes, and calls of one image
    with channels last; `columns` is the number of outputs for one image. It does not check that outputs are probabilities: the
    caller knows that the file is verified.
    """
    output = runtime.output_spec
    plain_input = table.values.itemsize == 1 and table.values.ndim == 1 and not (table.bgr and layout.shape[2] > 1)
    channels_last = layout.item == layout.shape or layout.shape[2] == 1
    scaled = output.quantization is not None and len(output.quantization.scales) == 1 and output.dtype in ("int8", "uint8")
    one_each = layout.batch in (None, 0, 1) and columns > 1 and output.shape in ((1, columns), (None, columns))
    counts_in_int64 = np.dtype(np.intp).itemsize == 8  # Class indices are int64; a 32-bit numpy would have to convert them.
    fits = plain_input and channels_last and scaled and one_each and counts_in_int64
    return SingleImage(runtime, layout, table) if fits else None
