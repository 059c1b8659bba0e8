"""Do the calibration images stand for the training images, and do the ranges depend on which ones they are?"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.calibrate import Draw
from edge.errors import ConversionError
from edge.manifest import Calibration, ScaleChange
from edge.preprocess import Images
from edge.splits import CHUNK, Split

# Training images that are looked at for their range: reading all would cost a decoding of the whole split.
LOOKED_AT = 2000

_COVERED = 0.9
_CHANGED = 1.2

Inputs = NDArray[Any]


@dataclass(frozen=True)
class InputRange:
    """The numbers that enter the model.

    Attributes:
        calibration: Smallest and largest model input of the calibration images.
        train: Likewise of those and of a sample of the training images.
        warnings: What a reader should know, a sentence each.
    """

    calibration: tuple[float, float]
    train: tuple[float, float]
    warnings: tuple[str, ...]


def check_inputs(draw: Draw, train: Split, to_inputs: Callable[[Images], Inputs]) -> InputRange:
    """Compare the range of the calibration images with that of the training images.

    Args:
        draw: The calibration images.
        train: The split that they come from.
        to_inputs: Makes model inputs (n, ...) of images uint8 (n, h, w, c).

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
            f"calibration inputs are {calibration[0]:.4g} to {calibration[1]:.4g}, training inputs {low:.4g} to {high:.4g}: "
            "values beyond the calibration's are clipped"
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
    """Calibrate on every other input, and on the rest, and find the activation whose scale differs most.

    Args:
        calibrate: Returns activation ranges of inputs, as `calibrate_tflite` and `calibrate_onnx` do.
        scales: Returns the activation scales of a file that is quantised with such ranges.
        inputs: Of all calibration images.

    Returns:
        None where there are fewer than two inputs, or no activation is quantised.
    """
    if len(inputs) < 2:
        return None
    first, second = (scales(calibrate(inputs[half::2])) for half in (0, 1))
    ratios = {name: max(scale, second[name]) / min(scale, second[name]) for name, scale in first.items() if name in second}
    name = max(ratios, key=lambda name: ratios[name], default=None)
    return None if name is None else ScaleChange(name, ratios[name])


def calibration_record(
    draw: Draw, inputs: InputRange, methods: Mapping[str, str], halves: Mapping[str, ScaleChange]
) -> Calibration:
    """Put together what the manifest says of the calibration.

    Args:
        draw: The images.
        inputs: From `check_inputs`.
        methods: How ranges were taken, for each format.
        halves: File name -> what `compare_halves` found.
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
        # TFLite's converter joins the names of all that it fused.
        f"{file}: the scale of {change.tensor.split(';')[0]} differs {change.ratio:.2f} times between two halves of the "
        "calibration images: it rests on few of them"
        for file, change in halves.items()
        if change.ratio > _CHANGED
    ]
