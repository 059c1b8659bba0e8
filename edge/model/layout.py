"""How a model's tensors hold images and classes: the meaning of each axis, from the shapes alone."""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgecnn.edge.errors import ArtifactError
from edgecnn.edge.manifest import TensorSpec
from edgecnn.edge.text import counted

Shape = tuple[int | None, ...]

_LONGEST_NO_HEIGHT = 3
# Rows of these are the numbers of words.
_OF_WORDS = ("int32", "int64")


class Layout(NamedTuple):
    """How an input holds images.

    Attributes:
        shape: (height, width, channels) of one image.
        item: Sizes of one image in the model's order: (h, w, c), (c, h, w) or, of grey alone, (h, w) or (h * w,).
        batch: Images per call: a number, None for any number, 0 if the input has no batch axis.
    """

    shape: tuple[int, int, int]
    item: tuple[int, ...]
    batch: int | None

    def arrange(self, inputs: NDArray[Any]) -> NDArray[Any]:
        """Return inputs (n, h, w, c) as (n, *item)."""
        if self.item == self.shape:
            return inputs
        # With one channel, memory is the same with channels first, last or without an axis.
        channels_first = self.shape[2] > 1
        arranged: NDArray[Any] = np.ascontiguousarray(inputs.transpose(0, 3, 1, 2)) if channels_first else inputs
        return arranged.reshape(len(inputs), *self.item)


def image_layout(spec: TensorSpec, origin: str) -> Layout:
    """Return how an input holds images.

    1 and 3 are numbers of channels; heights and widths are above 3. So only (3, h, w) has two readings; it is always one
    colour image and never three grey ones:

    - 4 axes: a batch of (h, w, c) or (c, h, w);
    - 3 axes: one (h, w, 1 or 3) or (3, h, w), otherwise a batch of grey (h, w);
    - 2 axes: one grey (h, w), or a batch of square grey images, row by row, as 784 numbers each for 28x28.

    Raises:
        ArtifactError: If the input has another shape, or its height, width or channels are free.
    """
    shape = spec.shape
    batch, item = (shape[0], shape[1:]) if has_batch(shape) else (0, shape)
    if len(item) == 3 and None in item:
        raise ArtifactError(
            f"{origin} takes {shape_text(shape)}, whose image size is free: make it with a fixed one (of most ONNX files, "
            "python -m onnxruntime.tools.make_dynamic_shape_fixed does)"
        )
    sizes = tuple(size or 0 for size in item)
    image: tuple[int, ...] = ()
    if len(sizes) == 1 and batch != 0 and spec.dtype not in _OF_WORDS and (side := math.isqrt(sizes[0])) ** 2 == sizes[0]:
        image = (side, side, 1)
    elif len(sizes) == 2:
        image = (*sizes, 1)
    elif len(sizes) == 3:
        image = sizes if sizes[2] in (1, 3) else (*sizes[1:], sizes[0])
    if len(image) != 3 or min(image[:2]) <= _LONGEST_NO_HEIGHT or image[2] not in (1, 3):
        raise ArtifactError(
            f"{origin} takes {shape_text(shape)}, which is not an image of 1 or 3 channels: give an image classifier"
        )
    height, width, channels = image
    return Layout((height, width, channels), sizes, batch)


def has_batch(shape: Shape) -> bool:
    """Return whether an input's first axis counts images (or other items), by the rules of `image_layout`.

    A single axis never does: it is the length of a waveform. The first of two does if it is free or too short for a height.
    """
    if len(shape) == 2:
        return shape[0] is None or shape[0] <= _LONGEST_NO_HEIGHT
    return len(shape) > 3 or (len(shape) == 3 and shape[0] != 3 and shape[2] not in (1, 3))


def output_columns(spec: TensorSpec, batch: int | None, origin: str) -> int | None:
    """Return the number of outputs for one image: its classes, 1 for a binary classifier, None if it is free.

    Axes of size 1 do not count, as in (1, 1000, 1, 1). If a call takes one image, the output may have no batch axis. `batch` is
    that of the input's `Layout`.

    Raises:
        ArtifactError: If the output has two axes for one image, or another batch than the input.
    """
    shape = spec.shape
    batched = len(shape) > 1 or batch not in (0, 1)
    if batched and batch is not None and shape[:1] not in ((None,), (batch or 1,)):
        images = counted(batch or 1, "image")
        raise ArtifactError(f"{origin} takes {images} but gives {shape_text(shape)}: give an image classifier")
    sizes = [size for size in shape[batched:] if size != 1]
    if len(sizes) > 1 or not shape:
        raise ArtifactError(f"{origin} gives {shape_text(shape)}, not (n, classes): give an image classifier")
    return sizes[0] if sizes else 1


def shape_text(shape: Shape) -> str:
    """Return a shape as text, with n for a free size."""
    return "(" + ", ".join("n" if size is None else str(size) for size in shape) + ")"
