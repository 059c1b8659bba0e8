"""Chooses the images that set the activation ranges of quantized files, and checks how well they represent the others."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecnn.convert.export.converters import Converter, Ranges
from edgecnn.edge.data.dataset import Dataset
from edgecnn.edge.data.pixel_digests import pixel_digests
from edgecnn.edge.data.splits import CHUNK, Split, chunks
from edgecnn.edge.errors import ConfigError, ConversionError, field
from edgecnn.edge.export_records import Calibration, ScaleChange
from edgecnn.edge.files import sha256
from edgecnn.edge.formats import FORMATS, CalibrationName
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.model.preprocess import Images


@dataclass(frozen=True, eq=False)
class Draw:
    """Calibration images and how they were drawn.

    Attributes:
        images: The images, uint8 (n, h, w, c).
        indices: Their positions in the training split, rising.
        class_counts: Number of images of each class.
        passed_over: Number of training images skipped because a test image has the same pixels.
        seed: Seed of the draw.
        warnings: What a reader should know about the draw, one sentence each.
    """

    images: Images
    indices: tuple[int, ...]
    class_counts: tuple[int, ...]
    passed_over: int
    seed: int
    warnings: tuple[str, ...]

    @property
    def sha256(self) -> str:
        """SHA-256 of the pixels, in that order."""
        return sha256(self.images.tobytes())


class Calibrator:
    """Draws the calibration images when a quantized file first needs them, and keeps the results.

    Args:
        dataset: Dataset whose training split they come from, and whose test images they must not repeat.
        model: The float model as a classifier, which turns images into model inputs.
        methods: Calibration method of each format.
    """

    def __init__(self, dataset: Dataset, model: Classifier, methods: Mapping[str, CalibrationName]) -> None:
        self._dataset, self._model, self._methods = dataset, model, methods
        self._ranges: dict[tuple[str, Converter], Ranges] = {}
        self._halves: dict[str, ScaleChange] = {}

    @cached_property
    def _draw(self) -> Draw:
        return draw_calibration(self._dataset)

    @cached_property
    def inputs(self) -> NDArray[Any]:
        """Model inputs of the images, (n, ...) without a batch axis."""
        return self._model.inputs(self._draw.images)

    def ranges(self, model_format: str, converter: Converter) -> Ranges:
        """Return the range of each activation for a format."""
        if (model_format, converter) not in self._ranges:
            self._ranges[model_format, converter] = converter.calibrate(self.inputs)
        return self._ranges[model_format, converter]

    def method(self, model_format: str) -> CalibrationName:
        """Return the calibration method of a format."""
        return self._methods[model_format]

    def compare_halves(self, name: str, precision: str, converter: Converter) -> None:
        """Record a file's activation whose scale depends most on the choice of calibration images."""
        if change := compare_halves(converter, precision, self.inputs):
            self._halves[name] = change

    def record(self, earlier: Calibration | None) -> Calibration | None:
        """Return the manifest's record; results of an earlier export with the same images stay."""
        if not self._ranges:
            return earlier
        methods = {name: self._methods[name] for name, _ in self._ranges}
        halves = self._halves
        if earlier and earlier.images_sha256 == self._draw.sha256:
            methods, halves = {**earlier.method, **methods}, {**earlier.halves, **halves}
        return calibration_record(self._draw, self._dataset.train, self._model.inputs, methods, halves)


# Number of training images examined for their range: reading all would decode the whole split.
LOOKED_AT = 2000

_COVERED = 0.9
_CHANGED = 1.2

Inputs = NDArray[Any]


def _range(inputs: Inputs, name: str) -> tuple[float, float]:
    if not np.isfinite(inputs).all():
        raise ConversionError(f"a {name} image becomes a model input that is NaN or infinite: check the preprocessing")
    return float(inputs.min()), float(inputs.max())


def compare_halves(converter: Converter, precision: str, inputs: Inputs) -> ScaleChange | None:
    """Quantize with the ranges of each half of the inputs, and find the activation whose scale differs most.

    Returns:
        That activation; None if there are fewer than two inputs, or no activation is quantized.
    """
    if len(inputs) < 2:
        return None
    files = (converter.quantize(precision, converter.calibrate(inputs[half::2])) for half in (0, 1))
    first, second = map(converter.scales, files)
    ratios = {name: max(scale, second[name]) / min(scale, second[name]) for name, scale in first.items() if name in second}
    name = max(ratios, key=lambda name: ratios[name], default=None)
    return None if name is None else ScaleChange(name, ratios[name])


def calibration_record(
    draw: Draw,
    train: Split,
    to_inputs: Callable[[Images], Inputs],
    methods: Mapping[str, CalibrationName],
    halves: Mapping[str, ScaleChange],
) -> Calibration:
    """Return the manifest's record of the calibration, whose warnings compare it with a sample of the training images.

    Args:
        draw: The calibration images.
        train: The split from which they come.
        to_inputs: Function that turns images uint8 (n, h, w, c) into model inputs (n, ...).
        methods: Calibration method of each format.
        halves: Result of `compare_halves` for each file name.

    Raises:
        ConversionError: If an input is NaN or infinite.
    """
    calibration = _range(to_inputs(draw.images), "calibration")
    sample = np.sort(np.random.default_rng(draw.seed).permutation(len(train.labels))[:LOOKED_AT])
    parts = [sample[start : start + CHUNK] for start in range(0, len(sample), CHUNK)]
    found = [calibration, *(_range(to_inputs(train.images(part)), "training") for part in parts)]
    low, high = min(low for low, _ in found), max(high for _, high in found)
    warnings = list(draw.warnings)
    if calibration[1] - calibration[0] < _COVERED * (high - low):
        warnings.append(
            f"calibration inputs range from {calibration[0]:.4g} to {calibration[1]:.4g}, training inputs from "
            f"{low:.4g} to {high:.4g}: values outside the calibration range are clipped"
        )
    warnings += _unsteady(halves)
    return Calibration(
        dict(methods),
        draw.indices,
        draw.sha256,
        draw.seed,
        draw.class_counts,
        draw.passed_over,
        calibration,
        (low, high),
        dict(halves),
        tuple(warnings),
    )


def _unsteady(halves: Mapping[str, ScaleChange]) -> list[str]:
    """Return a warning of each scale that the halves disagree on, with the files of which it says the same."""
    found: dict[str, list[str]] = {}
    for file, change in halves.items():
        if change.ratio > _CHANGED:
            # TFLite's converter joins the names of all layers it fused, and tf2onnx numbers a layer's outputs.
            tensor = change.tensor.split(";")[0].removesuffix(":0")
            found.setdefault(f"the scale of {tensor} differs by a factor of {change.ratio:.2f}", []).append(file)
    return [
        f"{', '.join(files)}: {text} between two halves of the calibration images: it depends on few of them"
        for text, files in found.items()
    ]


COUNT = 500
SEED = 0

# minmax is the default of both: its scales don't depend on which half of the images is used, and on networks
# other than the mission's CNN the entropy method cost up to 12 dB.
DEFAULT_METHOD: CalibrationName = "minmax"

# With fewer images than this, a range depends on few of them.
_ENOUGH = 100


def calibration_methods(method: CalibrationName | None, formats: Sequence[str]) -> dict[str, CalibrationName]:
    """Return the calibration method of each format; `method` is None for the default.

    Raises:
        ConfigError: If a format lacks the method.
    """
    known = dict.fromkeys(way for row in FORMATS.values() for way in row.calibrations)
    if method not in (None, *known):
        raise ConfigError(f"{field('calibration')}={method} is unknown: use {', '.join(known)}")
    chosen = dict.fromkeys(formats, method or DEFAULT_METHOD)
    for name, wanted in chosen.items():
        if wanted not in FORMATS[name].calibrations:
            has = ", ".join(FORMATS[name].calibrations)
            other = next(row.name for row in FORMATS.values() if wanted in row.calibrations)
            raise ConfigError(f"{name} has no {field('calibration')}={wanted} (it has {has}): use {field('formats')}={other}")
    return chosen


def draw_calibration(dataset: Dataset, count: int = COUNT, seed: int = SEED) -> Draw:
    """Draw `count` training images, or one per class if that is more, as evenly over the classes as possible.

    None of them is a test image.

    A training image with the same pixels as a test image is skipped, so that accuracy is never measured on an image
    that set a range. All test images are read to hash them; training images are read only as needed.

    Raises:
        ArtifactError: If an image can't be read.
        ConversionError: If no training image is left.
    """
    rng = np.random.default_rng(seed)
    seen = {digest for images in chunks(dataset.test) for digest in pixel_digests(images)}
    classes = len(dataset.class_names)
    count = max(count, classes)
    labels = dataset.train.labels
    pools = [rng.permutation(np.flatnonzero(labels == index)) for index in range(classes)]
    together = math.ceil(count / classes)
    left = [_candidates(dataset.train, pool, together, seen) for pool in pools]
    chosen: dict[int, Images] = {}
    passed_over = 0
    # Classes take turns, so that a small class runs out without making the others uneven.
    while left and len(chosen) < count:
        for candidates in list(left):
            for index, image in candidates:
                if image is not None:
                    chosen[index] = image
                    break
                passed_over += 1
            else:
                left.remove(candidates)
            if len(chosen) == count:
                break
    if not chosen:
        raise ConversionError(f"{dataset.name}: every training image is also a test image, so none is left to calibrate with")
    indices = sorted(chosen)
    class_counts = np.bincount(labels[indices], minlength=classes)
    return Draw(
        np.stack([chosen[index] for index in indices]),
        tuple(indices),
        tuple(class_counts.tolist()),
        passed_over,
        seed,
        tuple(_warnings(class_counts, dataset.class_names)),
    )


def _candidates(split: Split, pool: NDArray[np.int64], together: int, seen: set[bytes]) -> Iterator[tuple[int, Images | None]]:
    """Yield the images of a class in the order of `pool`; None in place of an image that is also a test image."""
    for start in range(0, len(pool), together):
        part = pool[start : start + together]
        images = split.images(part)
        for index, image, digest in zip(part.tolist(), images, pixel_digests(images), strict=True):
            yield index, None if digest in seen else image


def _warnings(class_counts: NDArray[np.int64], class_names: Sequence[str]) -> Iterator[str]:
    count, classes = int(class_counts.sum()), len(class_counts)
    enough = max(_ENOUGH, classes)
    if count < enough:
        yield f"there are only {count} calibration images for {classes} classes: give at least {enough} training images"
    absent = [name for name, found in zip(class_names, class_counts, strict=True) if not found]
    rare = [name for name, found in zip(class_names, class_counts, strict=True) if 0 < found < count / classes / 2]
    if absent:
        yield f"calibration has no image of {_list(absent)}: give training images of each class"
    if rare:
        yield f"calibration has less than half of an even share of {_list(rare)}: give more training images of these classes"


def _list(names: Sequence[str]) -> str:
    more = len(names) - 3
    return ", ".join(names[:3]) + (f" and {more} more classes" if more > 0 else "")
