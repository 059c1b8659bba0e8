"""Chooses the training images that set the activation ranges of quantized files."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgecnn.edge.data.dataset import Dataset
from edgecnn.edge.data.pixel_digests import pixel_digests
from edgecnn.edge.data.splits import Split, chunks
from edgecnn.edge.errors import ConfigError, ConversionError, field
from edgecnn.edge.files import sha256
from edgecnn.edge.formats import FORMATS, CalibrationName
from edgecnn.edge.model.preprocess import Images

COUNT = 500
SEED = 0

# minmax is the default of both: its scales don't depend on which half of the images is used, and on networks
# other than the mission's CNN the entropy method cost up to 12 dB.
DEFAULT_METHOD: CalibrationName = "minmax"

# With fewer images than this, a range depends on few of them.
_ENOUGH = 100


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


def calibration_methods(method: CalibrationName | None, formats: Sequence[str]) -> dict[str, CalibrationName]:
    """Return the calibration method of each format.

    Args:
        method: Calibration method; None means the default.
        formats: Names from `edgecnn.edge.formats.device_formats`.

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
