"""Decides whether a quantized file is accurate enough, and on which images."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgecnn.edge.data.pixel_digests import evidence, held_out
from edgecnn.edge.data.splits import Labels, Split
from edgecnn.edge.errors import ConfigError, field
from edgecnn.edge.model.metrics import correct
from edgecnn.edge.model.preprocess import Floats

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
