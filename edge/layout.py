"""How a model's tensors hold images and classes: which axis is what, from nothing but their shapes."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import ArtifactError
from edge.manifest import TensorSpec

Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class Layout:
    """How an input holds images.

    Attributes:
        shape: (height, width, channels) of one image.
        item: Sizes of one image in the model's own order: (h, w, c), (c, h, w) or, of grey without an axis for it, (h, w).
        batch: How many images a call takes: a number, None if any, 0 if the input has no axis for it.
    """

    shape: tuple[int, int, int]
    item: tuple[int, ...]
    batch: int | None

    def arrange(self, inputs: NDArray[Any]) -> NDArray[Any]:
        """Return inputs (n, h, w, c) as (n, *item)."""
        if self.item == self.shape:
            return inputs
        # One channel lies in memory alike first, last or without an axis.
        channels_first = self.shape[2] > 1
        arranged: NDArray[Any] = np.ascontiguousarray(inputs.transpose(0, 3, 1, 2)) if channels_first else inputs
        return arranged.reshape(len(inputs), *self.item)


def image_layout(spec: TensorSpec, origin: str) -> Layout:
    """Tell how an input holds images.

    1 and 3 are counts of channels; heights and widths are above 3, so that no shape has two readings but (3, h, w), which
    is one colour image and never three grey ones:

    - 4 axes: a batch of (h, w, c) or (c, h, w);
    - 3 axes: one (h, w, 1 or 3) or (3, h, w), otherwise a batch of grey (h, w);
    - 2 axes: one grey (h, w).

    Raises:
        ArtifactError: If the input is none of these, or height, width or channels are free.
    """
    shape = spec.shape
    has_batch = len(shape) == 4 or (len(shape) == 3 and shape[0] != 3 and shape[2] not in (1, 3))
    batch, item = (shape[0], shape[1:]) if has_batch else (0, shape)
    if len(item) == 3 and None in item:
        raise ArtifactError(
            f"{origin} takes {shape_text(shape)}, whose image size is free: export it with a fixed one "
            "(python -m onnxruntime.tools.make_dynamic_shape_fixed does it to most ONNX files)"
        )
    sizes = tuple(size or 0 for size in item)
    image: tuple[int, ...] = ()
    if len(sizes) == 2:
        image = (*sizes, 1)
    elif len(sizes) == 3:
        image = sizes if sizes[2] in (1, 3) else (*sizes[1:], sizes[0])
    if len(image) != 3 or min(image[:2]) <= 3 or image[2] not in (1, 3):
        raise ArtifactError(
            f"{origin} takes {shape_text(shape)}, which is not an image of 1 or 3 channels: give an image classifier"
        )
    height, width, channels = image
    return Layout((height, width, channels), sizes, batch)


def output_columns(spec: TensorSpec, batch: int | None, origin: str) -> int | None:
    """Return how many numbers an output gives for one image: its classes, 1 for a binary classifier, None if it is free.

    Axes of size 1 do not count, as in (1, 1000, 1, 1). Where a call takes one image, the output may have no batch axis.

    Args:
        spec: The output.
        batch: From the input's `Layout`.
        origin: The file, for messages.

    Raises:
        ArtifactError: If the output has two axes for one image, or another batch than the input.
    """
    shape = spec.shape
    has_batch = len(shape) > 1 or batch not in (0, 1)
    if has_batch and batch is not None and shape[:1] not in ((None,), (batch or 1,)):
        raise ArtifactError(f"{origin} takes {batch or 1} image(s) but gives {shape_text(shape)}: give an image classifier")
    sizes = [size for size in shape[has_batch:] if size != 1]
    if len(sizes) > 1 or not shape:
        raise ArtifactError(f"{origin} gives {shape_text(shape)}, not (n, classes): give an image classifier")
    return sizes[0] if sizes else 1


def shape_text(shape: Shape) -> str:
    """Return a shape with n for what is free."""
    return "(" + ", ".join("n" if size is None else str(size) for size in shape) + ")"
