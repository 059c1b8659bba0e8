"""uint8 image -> model input, model output -> probabilities: the one code that trains, calibrates and deploys."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import ArtifactError, ConfigError
from edge.interface import HOW_TO_SAY
from edge.manifest import Preprocessing, TensorSpec

Images = NDArray[np.uint8]
Floats = NDArray[np.float32]

_PIXELS = np.arange(256, dtype=np.float32)
# A file calibrated on a dark data set clips some bright pixels and is right; one that takes other numbers clips far more.
_MOST_CLIPPED = 1 / 4
# Calibration leaves little of an input's range unused.
_LEAST_USED = 0.6
# So many rows that each sum to 1 by chance don't exist.
_SURE_ROWS = 20


@dataclass(frozen=True, eq=False)
class InputTable:
    """What each of the 256 pixel values becomes.

    Attributes:
        values: In the model's input dtype, (256,), or (channels, 256) where channels differ, in the model's order.
        bgr: Whether the model takes blue first.
    """

    values: NDArray[Any]
    bgr: bool

    @cached_property
    def shift(self) -> NDArray[np.uint8] | None:
        """What a table (256,) of 8 bits adds to every pixel, modulo 256 and without an axis; None if it does more.

        That of an input scale of one pixel's step does no more, and adding is one vector instruction where looking up is not.
        """
        if self.values.itemsize != 1 or self.values.ndim != 1:
            return None
        offset: NDArray[Any] = self.values.view(np.uint8) - np.arange(256, dtype=np.uint8)
        return np.array(offset[0]) if (offset == offset[0]).all() else None


def input_table(preprocessing: Preprocessing, spec: TensorSpec) -> InputTable:
    """Return what each of the 256 pixel values becomes in the model's input.

    A pixel has only 256 values, so the whole of preprocessing and input quantisation is this table: an int8 model gets
    its pixels by one look-up, without passing through float. For MNIST's scale 1/255 and zero point -128 the table is
    p - 128.

    Raises:
        ArtifactError: If the input is an integer type whose meaning cannot be known: without a scale and not `raw`, or
            with several.
        ConfigError: If the preprocessing gives infinities or NaN.
    """
    real, bgr = _real(preprocessing), preprocessing.channel_order == "bgr"
    if spec.dtype not in ("float16", "float32", "float64", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64"):
        raise ArtifactError(f"input {spec.name} is {spec.dtype}: give a model of float, int8, uint8 or int16 images")
    dtype = np.dtype(spec.dtype)
    if dtype.kind == "f":
        return InputTable(real.astype(dtype), bgr)
    limits = np.iinfo(dtype)
    if spec.quantization is None and np.array_equal(real, _PIXELS) and limits.max >= 255:
        return InputTable(_PIXELS.astype(dtype), bgr)
    if spec.quantization is None or len(spec.quantization.scales) != 1:
        raise ArtifactError(
            f"input {spec.name} is {spec.dtype} without one scale and zero point: export it with them, or, if it takes "
            "pixels as they are in uint8 or wider, say --preprocess raw"
        )
    stored = np.rint(real / spec.quantization.scales[0]) + spec.quantization.zero_points[0]
    return InputTable(np.clip(stored, limits.min, limits.max).astype(dtype), bgr)


def range_doubt(preprocessing: Preprocessing, spec: TensorSpec, vouched: bool) -> str | None:
    """Compare the numbers that the pixels become with those that an integer input can stand for.

    Args:
        preprocessing: Of the images.
        spec: The input.
        vouched: The preprocessing is known to be the model's; then clipping, however much, comes from calibration.

    Returns:
        A sentence if some pixels are clipped by more than a step or much of the input's range is never used; else None.

    Raises:
        ArtifactError: If more than a quarter of the pixel values are clipped and nothing vouches for the preprocessing.
    """
    if np.dtype(spec.dtype).kind == "f" or spec.quantization is None:
        return None
    real, limits = _real(preprocessing), np.iinfo(spec.dtype)
    scale, zero_point = spec.quantization.scales[0], spec.quantization.zero_points[0]
    lowest, highest = (limits.min - zero_point) * scale, (limits.max - zero_point) * scale
    # Rounding, and the one step by which 1.0 itself may lie beyond the largest integer.
    step = 1.001 * scale
    clipped = float(np.mean((real < lowest - step) | (real > highest + step)))
    takes = f"input {spec.name} takes {lowest:.3g} to {highest:.3g}"
    gives = f"{takes}, the preprocessing gives {real.min():.3g} to {real.max():.3g}"
    if clipped > _MOST_CLIPPED and not vouched:
        raise ArtifactError(f"{gives}: say how the model was trained, with {HOW_TO_SAY}")
    if clipped:
        return f"{gives}: {clipped:.1%} of the pixel values are clipped"
    # Without a zero point a signed range is symmetric, whatever the pixels are.
    used = np.abs(real).max() / highest if zero_point == 0 else np.ptp(real) / (highest - lowest)
    if used < _LEAST_USED:
        return f"{gives}, only {used:.0%} of it: is that how the model was trained?"
    return None


def to_input(images: Images, table: InputTable) -> NDArray[Any]:
    """Look every pixel of images (n, h, w, c) up in `table`. The shape stays, colours are in the model's order.

    Raises:
        ValueError: If the table is for another number of channels.
    """
    ordered = images[..., ::-1] if table.bgr else images
    if table.values.ndim == 1:
        if table.shift is not None:
            return np.add(ordered, table.shift, order="C").view(table.values.dtype)
        inputs: NDArray[Any] = np.take(table.values, ordered)
        return inputs
    if len(table.values) != images.shape[-1]:
        raise ValueError(f"images must have {len(table.values)} channels, got {images.shape[-1]}")
    inputs = np.empty(images.shape, table.values.dtype)
    for channel, values in enumerate(table.values):
        inputs[..., channel] = values[ordered[..., channel]]
    return inputs


def to_probabilities(output: NDArray[Any], spec: TensorSpec, kind: str = "probabilities") -> Floats:
    """Return class probabilities float32 (n, classes) from a model's raw output, integers by their scale.

    Args:
        output: (n, classes), or (n, 1) of a binary classifier: of class 1, and the result has two columns.
        spec: The output.
        kind: `probabilities`, which are checked, or `logits`, which become probabilities by softmax (binary: sigmoid).

    Raises:
        ArtifactError: If the rows are not of this kind. Probabilities: not finite, negative, or not summing to 1 within
            what the output's quantisation step allows. Logits: NaN, or every row sums to 1 already.
    """
    real = output.astype(np.float32, copy=False)
    step = 0.0
    if output.dtype.kind != "f":
        if spec.quantization is None or len(spec.quantization.scales) != 1:
            raise ArtifactError(f"output {spec.name} is {spec.dtype} without one scale and zero point: export it with them")
        scale, zero_point = spec.quantization.scales[0], spec.quantization.zero_points[0]
        real = (output.astype(np.int32) - zero_point).astype(np.float32) * np.float32(scale)
        step = scale
    elif not _are_probabilities(real, step):
        step = _step_inside(real)
    if kind == "logits":
        return _softmax(real, spec, step)
    probabilities = np.concatenate([1 - real, real], axis=-1) if real.shape[-1] == 1 else real
    if not _are_probabilities(probabilities, step):
        raise ArtifactError(
            f"output {spec.name} is not class probabilities, of which each row sums to 1: the model must end in softmax, or in "
            "one sigmoid, without NaN; say --logits if it ends before that"
        )
    return probabilities


def _softmax(logits: Floats, spec: TensorSpec, step: float) -> Floats:
    if len(logits) >= _SURE_ROWS and logits.shape[-1] > 1 and _are_probabilities(logits, step):
        raise ArtifactError(f"output {spec.name} is probabilities already, each row sums to 1: leave --logits away")
    if logits.shape[-1] == 1:
        logits = np.concatenate([np.zeros_like(logits), logits], axis=-1)
    with np.errstate(invalid="ignore"):  # Infinite logits become NaN, which is refused below.
        powers = np.exp(logits - logits.max(axis=-1, keepdims=True, initial=-np.inf))
        probabilities: Floats = powers / powers.sum(axis=-1, keepdims=True)
    if not np.isfinite(probabilities).all():
        raise ArtifactError(f"output {spec.name} has NaN or infinite logits: train or export the model again")
    return probabilities


def _step_inside(rows: Floats) -> float:
    """Return the step of float outputs that were 8-bit probabilities inside the model, as 1/256 in TFLite; else 0."""
    for step in (1 / 256, 1 / 255):
        levels = rows / np.float32(step)
        with np.errstate(invalid="ignore"):  # NaN and infinity, which are none.
            if np.abs(levels - np.rint(levels)).max(initial=0) < 1e-3:
                return step
    return 0.0


def _are_probabilities(rows: Floats, step: float) -> bool:
    """Tell whether each value is 0 to 1 and each row sums to 1, as far as outputs in quantisation steps can."""
    # Each class is rounded to the nearest step, and 1.0 itself may lie one step beyond the largest integer.
    each, together = 1e-3 + step, 1e-3 + step * (rows.shape[-1] / 2 + 1)
    # NaN is in none of these ranges.
    in_range = rows.min(initial=0) >= -each and rows.max(initial=0) <= 1 + each
    return bool(in_range and np.abs(rows.sum(axis=-1) - 1).max(initial=0) <= together)


def _real(preprocessing: Preprocessing) -> Floats:
    """Return what each pixel value stands for, (256,) or (channels, 256)."""
    mean, std = (np.array(values, np.float32)[:, np.newaxis] for values in (preprocessing.mean, preprocessing.std))
    with np.errstate(all="ignore"):  # Refused below.
        real: Floats = (_PIXELS * np.float32(preprocessing.scale) - mean) / std
    if not np.isfinite(real).all():
        raise ConfigError("the preprocessing gives infinite numbers: scale, mean and std must be finite, std not 0")
    return real[0] if len(real) == 1 else real
