"""One image through an 8-bit file in as few steps as Python allows: what a camera loop does.

The general way spends a third of a small model's time around it, on copies, looks at shapes and dequantisation. Here input
and output are tables of 256 entries.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.layout import Layout
from edge.preprocess import InputTable
from edge.runtimes import Runtime


class SingleImage:
    """Runs one image at a time, in buffers that are used again. `single_image` makes it, for the files that it is for.

    Attributes:
        buffers: By the shape of an image that it takes, (h, w, c) and (1, h, w, c): where that becomes the model's input.
        probabilities: From a raw output, with `mode="wrap"`: float32 of the same shape.
    """

    def __init__(self, runtime: Runtime, layout: Layout, table: InputTable) -> None:
        self._run = runtime.run
        self._call = np.empty(layout.item if layout.batch == 0 else (1, *layout.item), table.values.dtype)
        # Seen as uint8, which adds modulo 256.
        self.buffers: dict[tuple[int, ...], NDArray[Any]] = {
            shape: self._call.view(np.uint8).reshape(shape) for shape in (layout.shape, (1, *layout.shape))
        }
        values = table.values.view(np.uint8)
        self._take = values.take
        self._shift = table.shift
        spec = runtime.output_spec
        assert spec.quantization  # noqa: S101 - `single_image` has looked.
        # What each output stands for, as `to_probabilities` says; -1 is the last.
        every = np.arange(256, dtype=np.uint8).view(spec.dtype).astype(np.int32) - spec.quantization.zero_points[0]
        self.probabilities = (every.astype(np.float32) * np.float32(spec.quantization.scales[0])).take

    def run(self, image: NDArray[Any], buffer: NDArray[Any]) -> NDArray[Any]:
        """Return the raw output (1, classes) of a uint8 image; `buffer` is the one for its shape."""
        if self._shift is not None:
            np.add(image, self._shift, buffer)
        else:
            self._take(image, None, buffer, "clip")
        return self._run(self._call)


def single_image(runtime: Runtime, layout: Layout, table: InputTable, columns: int) -> SingleImage | None:
    """Return the quick way for one image, or None for a file that it is not for.

    It is for 8 bits in and out with one scale each, an output for each of several classes, and a call that takes one image
    with its channels last. It does not look at whether outputs are probabilities: the caller knows what vouches for it.

    Args:
        runtime: The opened file.
        layout: Of its input.
        table: What pixels become.
        columns: Numbers in the output for one image.
    """
    output = runtime.output_spec
    plain_input = table.values.itemsize == 1 and table.values.ndim == 1 and not (table.bgr and layout.shape[2] > 1)
    channels_last = layout.item == layout.shape or layout.shape[2] == 1
    scaled = output.quantization is not None and len(output.quantization.scales) == 1 and output.dtype in ("int8", "uint8")
    one_each = layout.batch in (None, 0, 1) and columns > 1 and output.shape in ((1, columns), (None, columns))
    counts_in_int64 = np.dtype(np.intp).itemsize == 8  # As class indices are; a 32-bit numpy would have to convert them.
    fits = plain_input and channels_last and scaled and one_each and counts_in_int64
    return SingleImage(runtime, layout, table) if fits else None
