"""uint8 image -> model input, model output -> probabilities: the one code that trains, calibrates and deploys."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import ArtifactError
from edge.manifest import Preprocessing, TensorSpec

Images = NDArray[np.uint8]
Floats = NDArray[np.float32]


def image_shape(spec: TensorSpec, origin: str) -> tuple[int, int, int]:
    """Return (height, width, channels) of an image input.

    Raises:
        ArtifactError: If the input is not a batch of grey or colour images, channels last.
    """
    if len(spec.shape) == 4:
        _, height, width, channels = spec.shape
        if height and width and channels in (1, 3):
            return height, width, channels
    raise ArtifactError(
        f"{origin} takes {_text(spec.shape)}, which is not an image (n, height, width, 1 or 3): give an image classifier"
    )


def input_table(preprocessing: Preprocessing, spec: TensorSpec) -> NDArray[Any]:
    """Return what each of the 256 pixel values becomes, in the model's input dtype, shape (256,).

    A pixel has only 256 values, so the whole of preprocessing and input quantisation is this table: an int8 model gets
    its pixels by one look-up, without passing through float. For MNIST's scale 1/255 and zero point -128 the table is
    p - 128.

    Raises:
        ArtifactError: If the input is an integer type without a scale, whose meaning cannot be known.
    """
    real = np.arange(256, dtype=np.float32) * np.float32(preprocessing.scale)
    if spec.dtype not in ("float16", "float32", "float64", "int8", "uint8", "int16"):
        raise ArtifactError(f"input {spec.name} is {spec.dtype}: give a model of float, int8, uint8 or int16 images")
    dtype = np.dtype(spec.dtype)
    table: NDArray[Any]
    if dtype.kind == "f":
        table = real.astype(dtype)
    elif spec.quantization is None or len(spec.quantization.scales) != 1:
        raise ArtifactError(f"input {spec.name} is {spec.dtype} without one scale and zero point: export it with them")
    else:
        limits = np.iinfo(dtype)
        stored = np.rint(real / spec.quantization.scales[0]) + spec.quantization.zero_points[0]
        table = np.clip(stored, limits.min, limits.max).astype(dtype)
    return table


def to_input(images: Images, table: NDArray[Any]) -> NDArray[Any]:
    """Look every pixel up in `table` (from `input_table`). Shape stays (n, h, w, c)."""
    inputs: NDArray[Any] = np.take(table, images)
    return inputs


def to_probabilities(output: NDArray[Any], spec: TensorSpec) -> Floats:
    """Return class probabilities float32 (n, classes) from a model's raw output, integers by their scale.

    Raises:
        ArtifactError: If the rows are not probabilities: not finite, negative, or not summing to 1 within what the
            output's quantisation step allows.
    """
    probabilities: Floats
    slack = 1e-3
    if output.dtype.kind == "f":
        probabilities = output.astype(np.float32)
    else:
        if spec.quantization is None or len(spec.quantization.scales) != 1:
            raise ArtifactError(f"output {spec.name} is {spec.dtype} without one scale and zero point: export it with them")
        scale, zero_point = spec.quantization.scales[0], spec.quantization.zero_points[0]
        probabilities = (output.astype(np.int32) - zero_point).astype(np.float32) * np.float32(scale)
        # Each class is rounded to the nearest step, and 1.0 itself may lie one step beyond the largest integer.
        slack += scale * (output.shape[-1] / 2 + 1)
    sums = probabilities.sum(axis=-1)
    if not np.isfinite(sums).all() or probabilities.min(initial=0) < -slack or np.abs(sums - 1).max(initial=0) > slack:
        raise ArtifactError(f"output {spec.name} is not class probabilities: the model must end in softmax, without NaN")
    return probabilities


def _text(shape: tuple[int | None, ...]) -> str:
    return "(" + ", ".join("n" if size is None else str(size) for size in shape) + ")"
