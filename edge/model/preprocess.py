"""Turns pixels into a model input, a model output into probabilities, and these into accuracy and loss.

It is the same code in training and deployment.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecnn.edge.errors import ArtifactError, ConfigError, field
from edgecnn.edge.manifest import Preprocessing, TensorSpec
from edgecnn.edge.model.interface import HOW_TO_SAY
from edgecnn.edge.model.threshold import Threshold

# Of 16 bits, as a power of two: a picture that ends below is of 12 bits or fewer, or keeps less than 16 of 256 greys.
_LEAST_BITS = 12
_BITS_PER_SAMPLE, _PHOTOMETRIC = 258, 262  # Tags of a TIFF file.
_WHITE_IS_ZERO = 0
_LEAST_PROBABILITY = 1e-7  # The clipping of Keras.


def deep_bits(file: Any) -> int:
    """Return the bits of a number in a PIL image that is not loaded yet, if they are more than 8; else 8."""
    tags = getattr(file, "tag_v2", {})
    if _BITS_PER_SAMPLE in tags:
        return int(tags[_BITS_PER_SAMPLE][0])
    # How it is decoded: of a PNG file the kind of its pixels, of a PPM file that and its largest number.
    how = [tile[3] for tile in getattr(file, "tile", ())]
    is_deep = file.mode.startswith(("I", "F")) or any(str(item).endswith(";16B") or item == ("RGB", 65_535) for item in how)
    return 16 if is_deep else 8


def eight_bits(file: Any, bits: int, name: str) -> Any:
    """Return a loaded PIL image, whose file has numbers of so many `bits`, with at most 8 bits a pixel and channel.

    Of integers of 12 or 16 bits the high bits are taken. Floats that end at 1 or below are multiplied by 255, and whole numbers
    from 0 to 255 stay as they are. The image is not yet turned, as its file's tags tell more of it; messages call it `name`.

    Raises:
        ArtifactError: If its values have another range.
    """
    from PIL import Image  # Which made `file`.

    if not file.mode.startswith(("I", "F")):
        # Pillow keeps the high bytes alone; of a PPM file it rounds.
        colours = [np.asarray(file.getchannel(band)).max() for band in file.getbands() if band.upper() != "A"]
        high = int(max(colours)) - (file.format == "PPM")
        if bits == 8 or high >> (_LEAST_BITS - 8):
            return file
        raise _unknown_scale(name, "16-bit", 0, high << 8 | 255)
    values = np.asarray(file)
    low, high, is_float = values.min(), values.max(), values.dtype.kind == "f"
    if getattr(file, "tag_v2", {}).get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        raise ArtifactError(f"{name} has deep pixels that count from white: save it with 8 bits a pixel, 0 to 255")
    # 16 bits of a PNG or PPM file become 32 in some releases of Pillow.
    if file.mode.startswith("I;16") or (file.format in ("PNG", "PPM") and not is_float):
        if high == 0 or high >> (bits + _LEAST_BITS - 16):
            if (clear := file.info.get("transparency")) is not None:
                values = np.where(values == clear, (1 << bits) - 1, values)
            return Image.fromarray((values >> (bits - 8)).astype(np.uint8))
    elif low >= 0 and (high == 0 or (is_float and high <= 1)):
        return Image.fromarray(np.rint(255 * values).astype(np.uint8))
    elif low >= 0 and 1 < high <= 255 and (values == np.rint(values)).all():
        return Image.fromarray(values.astype(np.uint8))
    raise _unknown_scale(name, "floating-point" if is_float else "integer", low, high)


def _unknown_scale(name: str, kind: str, low: Any, high: Any) -> ArtifactError:
    return ArtifactError(
        f"{name} has {kind} pixels from {low:g} to {high:g}, whose scale is unknown: save it with 8 bits a pixel, 0 to 255"
    )


LEAST_SPREAD = 1e-4
"""Outputs that vary less between images count as equal: float32 sums of two machines differ by as much."""

Images = NDArray[np.uint8]
Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]

_PIXELS = np.arange(256, dtype=np.float32)
# A file calibrated on a dark dataset rightly clips some bright pixels; one that expects other numbers clips far more.
_MOST_CLIPPED = 1 / 4
# Calibration leaves little of an input's range unused.
_LEAST_USED = 0.6
# Twenty rows never all sum to 1 by chance; a few may.
_SURE_ROWS = 20


@dataclass(frozen=True, eq=False)
class InputTable:
    """The model input for each of the 256 pixel values.

    Attributes:
        values: (256,) in the model's input dtype, or (channels, 256) in the model's order if channels differ.
        bgr: Whether the model takes blue first.
    """

    values: NDArray[Any]
    bgr: bool

    @cached_property
    def shift(self) -> NDArray[np.uint8] | None:
        """The number that an 8-bit table (256,) adds to every pixel, modulo 256, without an axis; None if it does more.

        If the input scale is one pixel step, it only adds; adding is one vector instruction, and looking up is not.
        """
        if self.values.itemsize != 1 or self.values.ndim != 1:
            return None
        offset: NDArray[Any] = self.values.view(np.uint8) - np.arange(256, dtype=np.uint8)
        return np.array(offset[0]) if (offset == offset[0]).all() else None


def input_table(preprocessing: Preprocessing, spec: TensorSpec) -> InputTable:
    """Return the model input for each of the 256 pixel values.

    A pixel has only 256 values, so this table holds all of preprocessing and input quantization: an int8 model gets its
    pixels by one look-up, without going through float. For MNIST's scale 1/255 and zero point -128 the table is
    p - 128.

    Raises:
        ArtifactError: If the input is an integer type of unknown meaning: without a scale and not `raw`, or with
            several scales.
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
            f"input {spec.name} is {spec.dtype} without one scale and zero point: convert it with them, or, if it takes "
            f"unscaled pixels in uint8 or wider, use {field('preprocess')}=raw"
        )
    stored = np.rint(real / spec.quantization.scales[0]) + spec.quantization.zero_points[0]
    return InputTable(np.clip(stored, limits.min, limits.max).astype(dtype), bgr)


def range_doubt(preprocessing: Preprocessing, spec: TensorSpec, verified: bool) -> str | None:
    """Compare the preprocessed pixel values with the range of an integer input.

    The preprocessing is `verified` if it is known to be the model's; then clipping of any amount comes from calibration.

    Returns:
        A note if some pixels are clipped by more than a step, or much of the input's range is never used; else None.

    Raises:
        ArtifactError: If more than a quarter of the pixel values are clipped and the preprocessing is unverified.
    """
    if np.dtype(spec.dtype).kind == "f" or spec.quantization is None:
        return None
    real, limits = _real(preprocessing), np.iinfo(spec.dtype)
    scale, zero_point = spec.quantization.scales[0], spec.quantization.zero_points[0]
    lowest, highest = (limits.min - zero_point) * scale, (limits.max - zero_point) * scale
    # Rounding, and the one step by which 1.0 may exceed the largest integer.
    step = 1.001 * scale
    clipped = float(np.mean((real < lowest - step) | (real > highest + step)))
    takes = f"input {spec.name} takes {lowest:.3g} to {highest:.3g}"
    gives = f"{takes}, the preprocessing gives {real.min():.3g} to {real.max():.3g}"
    if clipped > _MOST_CLIPPED and not verified:
        raise ArtifactError(f"{gives}: state how the model was trained with {HOW_TO_SAY}")
    if clipped:
        return f"{gives}: {clipped:.1%} of the pixel values are clipped"
    # Without a zero point a signed range is symmetric, whatever the pixels are.
    used = np.abs(real).max() / highest if zero_point == 0 else np.ptp(real) / (highest - lowest)
    if used < _LEAST_USED:
        return f"{gives}, only {used:.0%} of it: was the model trained like this?"
    return None


def to_input(images: Images, table: InputTable) -> NDArray[Any]:
    """Look up every pixel of images (n, h, w, c) in `table`. The shape stays; colours are in the model's order.

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
    """Return class probabilities float32 (n, classes) from a model's raw output; integers are dequantized.

    Args:
        output: (n, classes), or (n, 1) for a binary classifier: the probability of class 1. The result then has two columns.
        spec: Specification of the output.
        kind: `probabilities`, which are checked, or `logits`, which become probabilities by softmax (binary: sigmoid).

    Raises:
        ArtifactError: If the rows are not of this kind. Probabilities: not finite, negative, or not summing to 1 within the
            tolerance of the output's quantization step. Logits: NaN, or every row already sums to 1.
    """
    real, step = _dequantized(output, spec)
    if kind == "logits":
        return _softmax(real, spec, step)
    probabilities = np.concatenate([1 - real, real], axis=-1) if real.shape[-1] == 1 else real
    if not _are_probabilities(probabilities, step):
        why = f"the model must end in softmax, or in one sigmoid, without NaN; use {field('logits')} if it ends before that"
        if np.isfinite(real).all() and real.min() >= 0 and real.max() <= 1:
            fix = f"end the model in softmax, or before the sigmoids and add {field('logits')}"
            why = f"its values are 0 to 1, as if each class had a sigmoid of its own: {fix}"
        raise ArtifactError(f"output {spec.name} is not class probabilities, whose rows sum to 1: {why}")
    return probabilities


def top_logits(output: NDArray[Any], spec: TensorSpec) -> Floats:
    """Return each row's largest logit, float32 (n,), of raw logits; 0 counts as class 0's of a binary classifier.

    Arguments and errors are those of `to_probabilities`.
    """
    real = _dequantized(output, spec)[0]
    tops: Floats = real.max(axis=-1)
    return np.maximum(tops, 0) if real.shape[-1] == 1 else tops


def scores(kind: str, probabilities: Floats, tops: Floats | None) -> Floats:
    """Return the score of each answer, float32 (n,), higher where the model is surer; `edgecnn.edge.model.threshold.Threshold`.

    `probability` is the softmax probability (Hendrycks and Gimpel, 2017, arXiv 1610.02136), `max-logit` the largest logit
    (Hendrycks and others, 2022, arXiv 1911.11132), `energy` the negative free energy (Liu and others, 2020, arXiv 2010.03759).
    The softmax takes from a logit what is equal in all, so that a file of probabilities has only these: the probability and its
    `margin`, the difference to the next one (Scheffer and others, 2001, "Active hidden Markov models"). Where 8 bits end at
    255/256, it tells apart answers that have this probability.

    Args:
        kind: Name of the score.
        probabilities: float32 (n, classes).
        tops: Result of `top_logits` (n,); None for a file of probabilities.
    """
    surest: Floats = probabilities.max(axis=1)
    if kind == "probability":
        return surest
    if kind == "margin":
        two = np.partition(probabilities, -2, axis=1)[:, -2:]
        return surest - two[:, 0]
    if tops is None:
        raise ValueError(f"{kind} needs logits")
    return tops if kind == "max-logit" else tops - np.log(surest)


def accepts(threshold: Threshold, probabilities: Floats, tops: Floats | None) -> NDArray[np.bool_]:
    """Return whether each answer is accepted, (n,). Arguments: `scores`."""
    found = scores(threshold.score, probabilities, tops)
    accepted: NDArray[np.bool_] = found >= threshold.least
    return accepted if threshold.most is None else accepted & (found <= threshold.most)


def sum_to_one(output: NDArray[Any], spec: TensorSpec) -> bool:
    """Return whether each row of a raw output of several classes is 0 to 1 and sums to 1. Arguments: `to_probabilities`."""
    return output.shape[-1] > 1 and _are_probabilities(*_dequantized(output, spec))


def _dequantized(output: NDArray[Any], spec: TensorSpec) -> tuple[Floats, float]:
    """Return a raw output as real numbers, and the step by which quantization rounds them. Errors: `to_probabilities`."""
    if output.dtype.kind != "f":
        if spec.quantization is None or len(spec.quantization.scales) != 1:
            raise ArtifactError(f"output {spec.name} is {spec.dtype} without one scale and zero point: convert it with them")
        scale, zero_point = spec.quantization.scales[0], spec.quantization.zero_points[0]
        return (output.astype(np.int32) - zero_point).astype(np.float32) * np.float32(scale), scale
    real = output.astype(np.float32, copy=False)
    return real, 0.0 if _are_probabilities(real, 0.0) else _step_inside(real)


def are_probabilities(rows: Floats) -> bool:
    """Return whether each row of float32 (n, classes) is class probabilities, within float32 or quantization error."""
    return _are_probabilities(rows, 0) or _are_probabilities(rows, _step_inside(rows))


def _softmax(logits: Floats, spec: TensorSpec, step: float) -> Floats:
    if len(logits) >= _SURE_ROWS and logits.shape[-1] > 1 and _are_probabilities(logits, step):
        raise ArtifactError(f"output {spec.name} is already probabilities (each row sums to 1): omit {field('logits')}")
    if logits.shape[-1] == 1:
        logits = np.concatenate([np.zeros_like(logits), logits], axis=-1)
    with np.errstate(invalid="ignore"):  # Infinite logits become NaN, which raises below.
        powers = np.exp(logits - logits.max(axis=-1, keepdims=True, initial=-np.inf))
        probabilities: Floats = powers / powers.sum(axis=-1, keepdims=True)
    if not np.isfinite(probabilities).all():
        raise ArtifactError(f"output {spec.name} has NaN or infinite logits: train or export the model again")
    return probabilities


def _step_inside(rows: Floats) -> float:
    """Return the step of float outputs that were 8-bit probabilities inside the model, 1/256 in TFLite; else 0."""
    for step in (1 / 256, 1 / 255):
        levels = rows / np.float32(step)
        with np.errstate(invalid="ignore"):  # NaN and infinity are not probabilities.
            if np.abs(levels - np.rint(levels)).max(initial=0) < 1e-3:
                return step
    return 0.0


def _are_probabilities(rows: Floats, step: float) -> bool:
    """Return whether each value is 0 to 1 and each row sums to 1, within quantization error."""
    # Each class is rounded to the nearest step, and 1.0 itself may lie one step beyond the largest integer.
    each = 1e-3 + step
    # NaN is in none of these ranges.
    in_range = rows.min(initial=0) >= -each and rows.max(initial=0) <= 1 + each
    least, most = (np.maximum(rows + sign * step / 2, 0).sum(axis=-1) for sign in (-1, 1))
    return bool(in_range and least.max(initial=0) <= 1 + each and most.min(initial=1) >= 1 - each)


def _real(preprocessing: Preprocessing) -> Floats:
    """Return the preprocessed value of each pixel value, (256,) or (channels, 256)."""
    mean, std = (np.array(values, np.float32)[:, np.newaxis] for values in (preprocessing.mean, preprocessing.std))
    with np.errstate(all="ignore"):  # Such values raise below.
        real: Floats = (_PIXELS * np.float32(preprocessing.scale) - mean) / std
    if not np.isfinite(real).all():
        raise ConfigError("the preprocessing gives infinite numbers: scale, mean and std must be finite, std not 0")
    return real[0] if len(real) == 1 else real


def correct(probabilities: Floats, labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return whether each image's most probable class (on a tie, the first) is its label, shape (n,)."""
    right: NDArray[np.bool_] = probabilities.argmax(axis=1) == labels
    return right


def counts(values: NDArray[np.integer[Any]], size: int, weights: NDArray[np.float64] | None = None) -> NDArray[Any]:
    """Return how often each of the numbers 0 to `size` - 1 occurs in `values`, or the sum of its weights, shape (size,).

    `np.bincount` alone refuses int64 on a 32-bit machine.
    """
    return np.bincount(values.astype(np.intp), weights, size)


def losses(probabilities: Floats, labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return each image's -ln p(label) in nats, float64 (n,), with p at least 1e-7.

    Each row is first divided by its sum: an 8-bit output ends at 255/256, which alone would cost 0.004. It also rounds small
    probabilities to 0, so its loss is larger than its accuracy suggests.
    """
    chosen = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    total = probabilities.sum(axis=1, dtype=np.float64)
    # With many classes, 8 bits may round them all to 0.
    shares = np.divide(chosen, total, out=np.zeros_like(chosen), where=total > 0)
    found: NDArray[np.float64] = -np.log(np.clip(shares, _LEAST_PROBABILITY, 1))
    return found


def cross_entropy(probabilities: Floats, labels: NDArray[np.int64]) -> float:
    """Return the mean of `losses`."""
    return abs(float(losses(probabilities, labels).mean()))


def spread(probabilities: Floats) -> float:
    """Return the largest range of any class's probability over the images (n, classes), 0 to 1."""
    return float(np.ptp(probabilities, axis=0).max())
