"""Choosing the training images that set the activation ranges of quantised files."""

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convert.dataset import Dataset
from edge.errors import ConfigError, ConversionError
from edge.files import sha256
from edge.preprocess import Images
from edge.splits import Split, chunks

COUNT = 500
SEED = 0

# minmax is the default of both: the one whose scales don't depend on which half of the images is taken, and on networks
# other than the mission's CNN the entropy method cost up to 12 dB.
DEFAULT_METHOD = "minmax"
METHODS = {"tflite": ("minmax",), "onnx": ("minmax", "entropy", "percentile")}

# Below so many, a range rests on few images.
_ENOUGH = 100


@dataclass(frozen=True, eq=False)
class Draw:
    """Calibration images and how they were drawn.

    Attributes:
        images: uint8 (n, h, w, c).
        indices: Their places in the training split, rising.
        class_counts: How many of them each class has.
        passed_over: Training images that were not drawn because they have the very pixels of a test image.
        seed: Of the draw.
        warnings: What a reader should know of it, a sentence each.
    """

    images: Images
    indices: tuple[int, ...]
    class_counts: tuple[int, ...]
    passed_over: int
    seed: int
    warnings: tuple[str, ...]

    @property
    def sha256(self) -> str:
        """Of the pixels, in that order."""
        return sha256(self.images.tobytes())


def calibration_methods(method: str | None, formats: Sequence[str]) -> dict[str, str]:
    """Return how each format's ranges are taken from activations.

    Args:
        method: `minmax`, `entropy` or `percentile`; None is the default.
        formats: Of `tflite` and `onnx`.

    Raises:
        ConfigError: If a format does not have the method.
    """
    known = METHODS["onnx"]
    if method not in (None, *known):
        raise ConfigError(f"--calibration {method} is unknown: use {', '.join(known)}")
    chosen = dict.fromkeys(formats, method or DEFAULT_METHOD)
    for name, wanted in chosen.items():
        if wanted not in METHODS[name]:
            has = ", ".join(METHODS[name])
            raise ConfigError(f"{name} has no --calibration {wanted} (it has {has}): use it with --format onnx")
    return chosen


def draw_calibration(dataset: Dataset, count: int = COUNT, seed: int = SEED) -> Draw:
    """Draw `count` training images, or one a class if that is more, as even over the classes as there are images.

    None of them is a test image.

    A training image with the very pixels of a test image is passed over, so that accuracy is never measured on an image
    that set a range. All test images are read for their hashes, and no more training images than are looked at.

    Raises:
        ArtifactError: If an image can't be read.
        ConversionError: If no training image is left.
    """
    rng = np.random.default_rng(seed)
    seen = {_key(image) for images in chunks(dataset.test) for image in images}
    classes = len(dataset.class_names)
    count = max(count, classes)
    labels = dataset.train.labels
    pools = [rng.permutation(np.flatnonzero(labels == index)) for index in range(classes)]
    together = math.ceil(count / classes)
    left = [_candidates(dataset.train, pool, together, seen) for pool in pools]
    chosen: dict[int, Images] = {}
    passed_over = 0
    # One class after the other, so that a small class runs out without leaving the others uneven.
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
        raise ConversionError(f"{dataset.name}: every training image is also a test image: nothing is left to calibrate on")
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
    """Give the images of a class in the order of `pool`; None in place of one that is also a test image."""
    for start in range(0, len(pool), together):
        part = pool[start : start + together]
        for index, image in zip(part.tolist(), split.images(part), strict=True):
            yield index, None if _key(image) in seen else image


def _key(image: Images) -> bytes:
    # 16 bytes for each test image, however many there are.
    return hashlib.sha256(image.tobytes()).digest()[:16]


def _warnings(class_counts: NDArray[np.int64], class_names: Sequence[str]) -> Iterator[str]:
    count, classes = int(class_counts.sum()), len(class_counts)
    enough = max(_ENOUGH, classes)
    if count < enough:
        yield f"there are {count} calibration images for {classes} classes: give at least {enough} training images"
    absent = [name for name, found in zip(class_names, class_counts, strict=True) if not found]
    rare = [name for name, found in zip(class_names, class_counts, strict=True) if 0 < found < count / classes / 2]
    if absent:
        yield f"calibration has no image of {_list(absent)}: give training images of each class"
    if rare:
        yield f"calibration has less than half of an even share of {_list(rare)}: give more training images of it"


def _list(names: Sequence[str]) -> str:
    more = len(names) - 3
    return ", ".join(names[:3]) + (f" and {more} more classes" if more > 0 else "")
