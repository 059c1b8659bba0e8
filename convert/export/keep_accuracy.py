"""Decides whether an exported file still computes what Keras computes, and is accurate enough."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgecnn.edge.data.pixel_digests import evidence, held_out
from edgecnn.edge.data.splits import Labels, Split
from edgecnn.edge.errors import ConfigError, ConversionError, field
from edgecnn.edge.export_records import Parity
from edgecnn.edge.formats import PRECISIONS
from edgecnn.edge.model.preprocess import Floats, correct, spread

# Two classes whose Keras probabilities differ by less than this are a tie, which rounding decides.
_TIE = 1e-5


def check_parity(name: str, precision: str, candidate: Floats, reference: Floats) -> Parity:
    """Compare class probabilities (n, classes) on the same images.

    Raises:
        ConversionError: If the shapes differ, a float file differs by more than its precision's tolerance, or a float32
            file gives another class for an image that is not a tie.
    """
    if candidate.shape != reference.shape:
        raise ConversionError(f"{name} gives {candidate.shape}, but Keras {reference.shape}: the conversion is wrong")
    difference = float(np.abs(candidate - reference).max())
    same = int((candidate.argmax(axis=1) == reference.argmax(axis=1)).sum())
    parity = Parity(len(reference), same, difference, spread(reference))
    allowed = PRECISIONS[precision].tolerance
    if difference > allowed:
        raise ConversionError(f"{name} differs from Keras by up to {difference:.2g}, more than {allowed}: not exported")
    if precision == "float32":
        second, first = np.sort(reference, axis=1)[:, -2:].T
        other = int(((candidate.argmax(axis=1) != reference.argmax(axis=1)) & (first - second > _TIE)).sum())
        if other:
            raise ConversionError(f"{name} gives another class than Keras for {other} images: not exported")
    return parity


# Number of images that a file may lose in the half that judges it: with fewer, hardly any file would pass.
_SPARE = 3


class UnfitReference(ConfigError):
    """Not even the float Keras model's own answers would pass, so that nothing can be judged by them."""


@dataclass(frozen=True)
class Judge:
    """Decides whether a quantized file is accurate enough, and measures what float layers cost.

    Attributes:
        objection: (its probabilities, Keras's, labels) -> why its loss is not shown to be within `max_drop_points`, or None.
        max_drop_points: Percentage points that it may lose.
        slowdown: (format, bytes of one file, bytes of another) -> median time of one inference of the second over that of
            the first.
    """

    objection: Callable[[Floats, Floats, Labels], str | None]
    max_drop_points: float
    slowdown: Callable[[str, bytes, bytes], float]


@dataclass(frozen=True, eq=False)
class JudgedImages:
    """Masks over the test images, bool (n,), without copies of others and of training images.

    Attributes:
        every: All of them; they judge a file that nothing chose.
        choosing: Images that choose which layers stay float.
        held_out: Images that judge the choice; None if there are too few to hold any out.
    """

    every: NDArray[np.bool_]
    choosing: NDArray[np.bool_]
    held_out: NDArray[np.bool_] | None


def judged_images(judge: Judge, test: Split, reference: Floats, learnt: Sequence[int] = ()) -> JudgedImages:
    """Split the test images; half are held out if a file could lose three of that half and still pass.

    Args:
        judge: Judge whose limit applies.
        test: The images, read a chunk at a time.
        reference: Keras's probabilities for them (n, classes).
        learnt: Places of those that are copies of training images.

    Raises:
        UnfitReference: If not even Keras's own answers would pass, or every image is a copy of a training image.
    """
    every, digests = evidence(test, learnt)
    if len(test.labels) and not every.any():
        raise UnfitReference("every test image is an exact copy of a training image: give images that it was not trained on")
    keras = reference[every]
    if objection := judge.objection(keras, keras, test.labels[every]):
        raise UnfitReference(
            f"not even the float Keras model would pass ({objection}): give more images, or allow more with "
            f"{field('keep_accuracy')}"
        )
    held = every & held_out(digests)
    keras, labels = reference[held], test.labels[held]
    spoilt = np.flatnonzero(correct(keras, labels))[:_SPARE]
    lossy = keras.copy()
    lossy[spoilt] = np.roll(keras[spoilt], 1, axis=1)
    enough = len(spoilt) == _SPARE and judge.objection(lossy, keras, labels) is None
    return JudgedImages(every, every & ~held, held) if enough else JudgedImages(every, every, None)
