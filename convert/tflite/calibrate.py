"""The range of each activation of a float32 .tflite file over calibration images, by four methods."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecnn.convert.export.converters import Ranges, finite, widen
from edgecnn.convert.tflite.quantize import activations, open_tflite
from edgecnn.edge.formats import CalibrationName
from edgecnn.edge.model.preprocess import counts as bins

_BINS = 2048
_LEVELS = 256  # Of 8 bits.
_COUNTED = 100  # Images for a histogram: each value is looked at.
# What a range may be shortened to, as shares of the smallest and the largest value.
_SHARES = np.linspace(0.3, 1, 36)
_WITHIN = 0.9999  # Share of the values in the range of `percentile`.


def calibrate_tflite(float32: bytes, inputs: NDArray[Any], method: CalibrationName = "minmax") -> Ranges:
    """Return the range of every activation, by tensor name.

    litert-quantizer's own calibration takes a moving average over images, which clips values that only few images reach.

    Args:
        float32: The model, which takes one image at a time.
        inputs: Model inputs (n, ...) in its dtype, without the batch dimension.
        method: `minmax` (smallest and largest value), `percentile` (99.99 % of the values), `mse` (least squared error of 256
            levels) or `entropy` (least Kullback-Leibler divergence of 256 levels; Migacz, 2017, "8-bit inference with
            TensorRT").

    Raises:
        ConversionError: If an activation is not finite.
        MissingDependency: If ai-edge-litert is not installed.
    """
    interpreter = open_tflite(float32)
    tensors = {index: name for index, name, _ in activations(interpreter)}
    found: dict[str, tuple[float, float]] = {}
    for _ in _runs(interpreter, inputs):
        for index, name in tensors.items():
            widen(found, name, interpreter.get_tensor(index))
    ranges = finite(found, "TFLite")
    if method == "minmax":
        return ranges
    counts = {index: np.zeros(_BINS) for index in tensors}
    for _ in _runs(interpreter, inputs[:: max(1, len(inputs) // _COUNTED)]):
        for index, name in tensors.items():
            counts[index] += np.histogram(interpreter.get_tensor(index), _BINS, _widened(*ranges[name]))[0]
    return {name: shortened(counts[index], *ranges[name], method) for index, name in tensors.items()}


def _runs(interpreter: Any, inputs: NDArray[Any]) -> Iterator[None]:
    """Run the inputs one after another, and yield after each."""
    entry = interpreter.get_input_details()[0]["index"]
    for image in inputs:
        interpreter.reset_all_variables()  # An image's ranges must not depend on the state that earlier images left.
        interpreter.set_tensor(entry, image[np.newaxis])
        interpreter.invoke()
        yield


def _widened(low: float, high: float) -> tuple[float, float]:
    return (low, high) if low < high else (low, low + 1)


def shortened(counts: NDArray[np.float64], low: float, high: float, method: CalibrationName) -> tuple[float, float]:
    """Return the range that a method takes of the values from `low` to `high`, whose histogram is `counts` (bins,)."""
    edges = np.linspace(*_widened(low, high), len(counts) + 1)
    if low >= high or not counts.sum():
        return low, high
    if method == "percentile":
        passed = np.cumsum(counts) / counts.sum()
        first, last = np.searchsorted(passed, [(1 - _WITHIN) / 2, (1 + _WITHIN) / 2])
        return float(edges[first]), float(edges[min(last, len(counts) - 1) + 1])
    errors = [_error(counts, edges, low * share, high * share, method) for share in _SHARES]
    share = float(_SHARES[int(np.argmin(errors))])
    return low * share, high * share


def _error(counts: NDArray[np.float64], edges: NDArray[np.float64], low: float, high: float, method: CalibrationName) -> float:
    """Return how far the values are from 256 levels in a range, as `calibrate_tflite` defines it."""
    values = (edges[:-1] + edges[1:]) / 2
    if method == "mse":
        step = (high - low) / (_LEVELS - 1)
        clipped = np.maximum(np.maximum(low - values, values - high), 0)
        return float((counts * np.where(clipped > 0, clipped**2, step**2 / 12)).sum())
    # What is outside counts in the outermost levels.
    inside = (values >= low) & (values <= high)
    if not inside.any():
        return math.inf
    exact = np.where(inside, counts, 0)
    places = np.flatnonzero(inside)
    exact[places[0]] += counts[: places[0]].sum()
    exact[places[-1]] += counts[places[-1] + 1 :].sum()
    level = np.minimum(((values - low) / (high - low) * _LEVELS).astype(int), _LEVELS - 1)[inside]
    present = counts[inside] > 0
    sums = bins(level, _LEVELS, counts[inside])
    numbers = bins(level, _LEVELS, present.astype(np.float64))
    spread = np.divide(sums, numbers, out=np.zeros(_LEVELS), where=numbers > 0)
    rounded = np.zeros(len(counts))
    rounded[inside] = np.where(present, spread[level], 0)
    p, q = exact / exact.sum(), rounded / max(rounded.sum(), 1e-12)
    some = p > 0
    return float((p[some] * np.log(p[some] / np.maximum(q[some], 1e-12))).sum())
