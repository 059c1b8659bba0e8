"""Checks whether the calibration images represent the training images, and how much the ranges depend on the choice."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecnn.convert.export.calibration import Draw
from edgecnn.edge.data.splits import CHUNK, Split
from edgecnn.edge.errors import ConversionError
from edgecnn.edge.export_records import Calibration, ScaleChange
from edgecnn.edge.formats import CalibrationName
from edgecnn.edge.model.preprocess import Images

# Number of training images examined for their range: reading all would decode the whole split.
LOOKED_AT = 2000

_COVERED = 0.9
_CHANGED = 1.2

Inputs = NDArray[Any]


@dataclass(frozen=True)
class InputRange:
    """The range of the numbers that enter the model.

    Attributes:
        calibration: Smallest and largest model input of the calibration images.
        train: Smallest and largest model input of those and of a sample of the training images.
        warnings: What a reader should know, one sentence each.
    """

    calibration: tuple[float, float]
    train: tuple[float, float]
    warnings: tuple[str, ...]


def check_inputs(draw: Draw, train: Split, to_inputs: Callable[[Images], Inputs]) -> InputRange:
    """Compare the range of the calibration images with that of the training images.

    Args:
        draw: The calibration images.
        train: The split from which they come.
        to_inputs: Function that turns images uint8 (n, h, w, c) into model inputs (n, ...).

    Raises:
        ConversionError: If an input is NaN or infinite.
    """
    calibration = _range(to_inputs(draw.images), "calibration")
    count = len(train.labels)
    sample = np.sort(np.random.default_rng(draw.seed).permutation(count)[:LOOKED_AT])
    parts = [sample[start : start + CHUNK] for start in range(0, len(sample), CHUNK)]
    found = [calibration, *(_range(to_inputs(train.images(part)), "training") for part in parts)]
    low, high = min(low for low, _ in found), max(high for _, high in found)
    warnings = []
    if calibration[1] - calibration[0] < _COVERED * (high - low):
        warnings.append(
            f"calibration inputs range from {calibration[0]:.4g} to {calibration[1]:.4g}, training inputs from "
            f"{low:.4g} to {high:.4g}: "
            "values outside the calibration range are clipped"
        )
    return InputRange(calibration, (low, high), tuple(warnings))


def _range(inputs: Inputs, name: str) -> tuple[float, float]:
    if not np.isfinite(inputs).all():
        raise ConversionError(f"a {name} image becomes a model input that is NaN or infinite: check the preprocessing")
    return float(inputs.min()), float(inputs.max())


def compare_halves(
    calibrate: Callable[[Inputs], Mapping[str, tuple[float, float]]],
    scales: Callable[[Mapping[str, tuple[float, float]]], Mapping[str, float]],
    inputs: Inputs,
) -> ScaleChange | None:
    """Calibrate on each half of the inputs, and find the activation whose scale differs most.

    Args:
        calibrate: Function that returns activation ranges of inputs, as `calibrate_tflite` and `calibrate_onnx` do.
        scales: Function that returns the activation scales of a file quantized with such ranges.
        inputs: Model inputs of all calibration images.

    Returns:
        That activation; None if there are fewer than two inputs, or no activation is quantized.
    """
    if len(inputs) < 2:
        return None
    first, second = (scales(calibrate(inputs[half::2])) for half in (0, 1))
    ratios = {name: max(scale, second[name]) / min(scale, second[name]) for name, scale in first.items() if name in second}
    name = max(ratios, key=lambda name: ratios[name], default=None)
    return None if name is None else ScaleChange(name, ratios[name])


def calibration_record(
    draw: Draw, inputs: InputRange, methods: Mapping[str, CalibrationName], halves: Mapping[str, ScaleChange]
) -> Calibration:
    """Return the manifest's record of the calibration.

    Args:
        draw: The images.
        inputs: Result of `check_inputs`.
        methods: Calibration method of each format.
        halves: Result of `compare_halves` for each file name.
    """
    return Calibration(
        dict(methods),
        draw.indices,
        draw.sha256,
        draw.seed,
        draw.class_counts,
        draw.passed_over,
        inputs.calibration,
        inputs.train,
        dict(halves),
        (*draw.warnings, *inputs.warnings, *_unsteady(halves)),
    )


def _unsteady(halves: Mapping[str, ScaleChange]) -> Sequence[str]:
    return [
        # TFLite's converter joins the names of all layers it fused.
        f"{file}: the scale of {change.tensor.split(';')[0]} differs by a factor of {change.ratio:.2f} between "
        "two halves of the "
        "calibration images: it depends on few of them"
        for file, change in halves.items()
        if change.ratio > _CHANGED
    ]
