"""Decides whether an exported file is accurate enough, and changes layers back to float until it is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgecnn.convert.diagnose import LayerError
from edgecnn.edge.data.pixel_digests import evidence, held_out
from edgecnn.edge.data.splits import Labels, Split
from edgecnn.edge.errors import ConfigError, ConversionError, GateFailed, field
from edgecnn.edge.export_records import Parity
from edgecnn.edge.formats import PRECISIONS
from edgecnn.edge.manifest import TF2ONNX
from edgecnn.edge.model.preprocess import Floats, correct, spread

# Two classes whose probabilities in the float model differ by less than this are a tie, which rounding decides.
_TIE = 1e-5


def check_parity(name: str, precision: str, candidate: Floats, reference: Floats, of: str = "Keras") -> Parity:
    """Compare class probabilities (n, classes) on the same images; `of` is the reference's name in messages.

    Raises:
        ConversionError: If the shapes differ, a float file differs by more than its precision's tolerance, or a float32
            file gives another class for an image that is not a tie.
    """
    if candidate.shape != reference.shape:
        raise ConversionError(f"{name} gives {candidate.shape}, but {of} {reference.shape}: the conversion is wrong")
    difference = float(np.abs(candidate - reference).max())
    same = int((candidate.argmax(axis=1) == reference.argmax(axis=1)).sum())
    parity = Parity(len(reference), same, difference, spread(reference))
    remedy = f"name the other {field('formats')} alone, or for ONNX {field('onnx_converter')}={TF2ONNX}"
    allowed, fix = PRECISIONS[precision].tolerance, f"so nothing is exported: {remedy}"
    if difference > allowed:
        raise ConversionError(f"{name} differs from {of} by up to {difference:.2g}, more than {allowed}, {fix}")
    if precision == "float32":
        second, first = np.sort(reference, axis=1)[:, -2:].T
        other = int(((candidate.argmax(axis=1) != reference.argmax(axis=1)) & (first - second > _TIE)).sum())
        if other:
            raise ConversionError(f"{name} gives another class than {of} for {other} images, {fix}")
    return parity


# Number of images that a file may lose in the half that judges it: with fewer, hardly any file would pass.
_SPARE = 3


class UnfitReference(ConfigError):
    """Not even the float model's own answers would pass, so that nothing can be judged by them."""


@dataclass(frozen=True)
class Judge:
    """Decides whether a quantized file is accurate enough, and measures what float layers cost.

    Attributes:
        objection: (its probabilities, the float model's, labels) -> why its loss is not shown to be within
            `max_drop_points`, or None.
        max_drop_points: Percentage points that it may lose.
        slowdown: (format, bytes of one file, bytes of another) -> median time of one inference of the second over that of
            the first.
    """

    objection: Callable[[Floats, Floats, Labels], str | None]
    max_drop_points: float
    slowdown: Callable[[str, bytes, bytes], float]


@dataclass(frozen=True, eq=False)
class JudgedImages:
    """The test images that judge files, as masks, bool (n,), without copies of others and of training images.

    Attributes:
        reference: The float model's probabilities on all test images (n, classes).
        labels: Labels of all.
        every: All of them; they judge a file that nothing chose.
        choosing: Images that choose which layers stay float.
        held_out: Images that judge the choice; None if there are too few to hold any out.
    """

    reference: Floats
    labels: Labels
    every: NDArray[np.bool_]
    choosing: NDArray[np.bool_]
    held_out: NDArray[np.bool_] | None

    @property
    def number_held_out(self) -> int:
        """Number of images that judge the choice."""
        return 0 if self.held_out is None else int(self.held_out.sum())

    def judged(self, judge: Judge, ours: Floats, on: NDArray[np.bool_]) -> tuple[str | None, float]:
        """Judge a file's probabilities on all test images (n, classes) by those in a mask.

        Returns:
            Why it is not accurate enough there, or None; and the percentage points that it loses there.
        """
        ours, reference, labels = ours[on], self.reference[on], self.labels[on]
        points = 100 * float(correct(reference, labels).mean() - correct(ours, labels).mean())
        return judge.objection(ours, reference, labels), points


def judged_images(judge: Judge, test: Split, reference: Floats, learnt: Sequence[int] = ()) -> JudgedImages:
    """Split the test images; half are held out if a file could lose three of that half and still pass.

    Args:
        judge: Judge whose limit applies.
        test: The images, read a chunk at a time.
        reference: The float model's probabilities for them (n, classes).
        learnt: Places of those that are copies of training images.

    Raises:
        UnfitReference: If not even its own answers would pass, or every image is a copy of a training image.
    """
    every, digests = evidence(test, learnt)
    if len(test.labels) and not every.any():
        raise UnfitReference("every test image is an exact copy of a training image: give images that it was not trained on")
    own = reference[every]
    if objection := judge.objection(own, own, test.labels[every]):
        raise UnfitReference(
            f"not even the float model itself would pass ({objection}): give more images, or allow more with "
            f"{field('keep_accuracy')}"
        )
    held = every & held_out(digests)
    own, labels = reference[held], test.labels[held]
    spoilt = np.flatnonzero(correct(own, labels))[:_SPARE]
    lossy = own.copy()
    lossy[spoilt] = np.roll(own[spoilt], 1, axis=1)
    enough = len(spoilt) == _SPARE and judge.objection(lossy, own, labels) is None
    halves = (every & ~held, held) if enough else (every, None)
    return JudgedImages(reference, test.labels, every, *halves)


MOST_TRIES = 20
"""Largest number of files to judge, including the plain one."""


def mend(
    name: str,
    quantize: Callable[[Sequence[str]], bytes],
    rank: Callable[[bytes], Sequence[LayerError]],
    passes: Callable[[bytes], bool],
    *,
    precision: str = "float",
    most: int = MOST_TRIES,
    others: Sequence[str] = (),
    on_step: Callable[[str], None] = lambda text: None,
) -> tuple[bytes, tuple[str, ...]]:
    """Change the worst layers back to float, or to 16 bits, one by one, until the file passes.

    The layers are ranked again after each one, since removing an error also removes its effect on later layers. A layer
    goes back together with its readers, which would otherwise still quantize its output.

    Args:
        name: Name of the file for messages.
        quantize: Function that makes the file with these operators left in float.
        rank: Function that returns a file's layers, the worst first, as `diagnose` does.
        passes: Function that judges a file.
        precision: What they are changed to, for the messages.
        most: Largest number of files to judge.
        others: Other precisions that its format has, for the message.
        on_step: Called with a line of text for each try.

    Returns:
        The file, and the operators that had to change, by the name of their output tensor, in the order of the changes.

    Raises:
        GateFailed: If no file passes.
        ConversionError: If a file can't be made.
    """
    data = quantize(())
    kept: list[str] = []
    for tries in range(1, most + 1):
        if passes(data):
            return data, tuple(kept)
        # A layer whose operators are all float has nothing left to change back.
        worst = next((layer for layer in rank(data) if not set(layer.keep) <= set(kept)), None)
        if worst is None or tries == most:
            break
        kept += [operator for operator in worst.keep if operator not in kept]
        on_step(f"{name}: {worst.operator} {worst.label} loses most: {len(kept)} operators in {precision}")
        data = quantize(kept)
    another = f"use {field('precisions')}={' or '.join(others)}, " if others else ""
    raise GateFailed(
        f"{name} is not accurate enough with any of {tries} choices of layers in {precision}, the last with {len(kept)}: ship "
        f"float32, {another}or allow more loss with {field('keep_accuracy')}"
    )
