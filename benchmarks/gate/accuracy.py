"""A file's predictions compared with those of its reference, and whether that is worth comparing with."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgecnn.benchmarks.statistics import binomial
from edgecnn.edge.export_records import Interval, Parity
from edgecnn.edge.formats import is_exported
from edgecnn.edge.manifest import Manifest
from edgecnn.edge.model.preprocess import Floats

# Range of the difference of two scores, from -2 to 2.
_RANGE = 4.0
# A file shown to be better by more than this, or than a larger limit, did not come from the reference.
_LEAST_POINTS = 0.5


def brier_scores(probabilities: Floats, labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return each image's sum over the classes of (probability - 1 for the label, else 0)^2, float64 (n,), 0 to 2.

    Brier (1950, Monthly Weather Review 78: 1-3). Like the cross-entropy it is a proper score, but bounded: a probability
    that was rounded to 0 can't outweigh everything else.
    """
    rows = probabilities.astype(np.float64)
    of_label = rows[np.arange(len(labels)), labels]
    found: NDArray[np.float64] = (rows**2).sum(axis=1) - 2 * of_label + 1
    return found


def difference_interval(mean: float, variance: float, images: float) -> Interval:
    """95 % interval of the mean difference of two Brier scores of the same images, whatever their distribution.

    The empirical Bernstein bound (Maurer and Pontil, 2009, "Empirical Bernstein bounds and sample variance penalization",
    theorem 4), on each side. The upper end of Student's interval, the usual choice, is below the truth in a quarter of samples
    of 1,000 images if one image in a thousand decides, as in a quantized file (`tests/benchmarks/gate/test_brier.py`).

    Args:
        mean: Mean of the differences, -2 to 2.
        variance: Variance of the differences of single images.
        images: Number of images, or of their equivalent.
    """
    if images <= 1:
        return Interval(mean, -_RANGE / 2, _RANGE / 2)
    log = math.log(4 / (1 - 0.95))
    half = math.sqrt(2 * variance * log / images) + 7 * _RANGE * log / (3 * (images - 1))
    return Interval(mean, max(mean - half, -_RANGE / 2), min(mean + half, _RANGE / 2))


# Name in texts of the reference for a manifest's files that were made of a Keras model.
KERAS_REFERENCE = "the float Keras model"


def reference_name(manifest: Manifest) -> str:
    """Return the name in texts of the reference for a manifest's files."""
    return manifest.source_name if is_exported(manifest.source().format) else KERAS_REFERENCE


@dataclass(frozen=True)
class ClassCounts:
    """One class of the labels.

    Attributes:
        images: Number of images with this label.
        correct: Number of them that this file classifies correctly.
        reference_correct: Number of them that the reference classifies correctly.
        lost: Number correct by the reference only. None in a result before schema 4.
        gained: Number correct by this file only. None in a result before schema 4.
        p: McNemar's exact two-sided p of "this file is right as often as the reference on this class", with Holm's
            correction for the number of classes; with groups of images, of the groups that lost and gained. None in a
            result before schema 4, and for a class without images.
        weight: Weight of one of these images in its intervals, 0 to 1: 1 without groups.
    """

    images: int
    correct: int
    reference_correct: int
    lost: int | None = None
    gained: int | None = None
    p: float | None = None
    weight: float = 1.0


@dataclass(frozen=True)
class Flip:
    """An image to which the two models give different classes.

    Attributes:
        image: Its index in the test set, from 0.
        label: The true class.
        reference: The reference's class.
        candidate: This file's class.
        reference_confidence: The reference's probability of its own class, 0 to 1.
        candidate_confidence: This file's probability of its own class, 0 to 1.
    """

    image: int
    label: int
    reference: int
    candidate: int
    reference_confidence: float
    candidate_confidence: float


@dataclass(frozen=True)
class Accuracy:
    """Counts first: every share follows from them.

    Attributes:
        images: Number of images judged: distinct ones, of which none is a copy of another.
        correct: Number that this file classifies correctly.
        reference_correct: Number that the reference classifies correctly.
        lost: Number correct by the reference and wrong by this file.
        gained: Number wrong by the reference and correct by this file.
        same_class: Number for which both predict the same class, right or wrong.
        drop: (lost - gained) / images, with its interval; negative if the file is better.
        agreement: same_class / images, with its interval (Clopper-Pearson).
        mcnemar_p: Exact two-sided p of "this file is right as often as the reference"; with groups of images, of the groups
            that lost and gained.
        loss: This file's mean cross-entropy in nats.
        largest_confidence_change: Largest absolute change of the probability of the reference's class, 0 to 1.
        mean_confidence_change: Mean absolute change of it, 0 to 1.
        classes: Counts for each true class.
        confusion: (true label, this file's class, images), for pairs that occur, in this order.
        flips: Every image whose class differs from the reference's, by index.
        right: correct / images, with its interval (Clopper-Pearson). None in a result before schema 4, like all below.
        reference_right: reference_correct / images, with its interval (Clopper-Pearson).
        reference_loss: The reference's mean cross-entropy in nats.
        brier_increase: This file's mean Brier score minus the reference's, -2 to 2, with its interval (empirical Bernstein).
        calibration_error: Expected calibration error of this file, 0 to 1: how far the probability of its predicted class is
            from how often it is right, over 15 bins (Guo et al., 2017, "On Calibration of Modern Neural Networks").
        reference_calibration_error: The reference's.
        copies: Number of images skipped because an earlier one has the same pixels.
        chose: Number of images skipped because they chose which layers of this file stay float.
        groups: Number of groups of images, which widen every interval; None if the images are independent.
        weight: Weight of an image in the intervals, 0 to 1: 1 without groups.
        conflicting: Number of copies with another label than the original.
        learnt: Number of images skipped because they are exact copies of training images.
        all_learnt: Whether no image was left without these, so that they are counted, and nothing is judged by them.
        accepted: Number of images whose answer reaches the file's threshold; None for a file without one, and before schema 8.
        accepted_wrong: Number of errors among these.
    """

    images: int
    correct: int
    reference_correct: int
    lost: int
    gained: int
    same_class: int
    drop: Interval
    agreement: Interval
    mcnemar_p: float
    loss: float
    largest_confidence_change: float
    mean_confidence_change: float
    classes: tuple[ClassCounts, ...]
    confusion: tuple[tuple[int, ...], ...]
    flips: tuple[Flip, ...]
    right: Interval | None = None
    reference_right: Interval | None = None
    reference_loss: float | None = None
    brier_increase: Interval | None = None
    calibration_error: float | None = None
    reference_calibration_error: float | None = None
    copies: int = 0
    chose: int = 0
    groups: int | None = None
    weight: float = 1.0
    conflicting: int = 0
    learnt: int = 0
    all_learnt: bool = False
    accepted: int | None = None
    accepted_wrong: int = 0

    @property
    def all_images(self) -> int:
        """Number of images, including those that do not count."""
        return self.images + self.copies + self.chose + self.learnt

    @property
    def accuracy(self) -> float:
        """Share classified correctly, 0 to 1."""
        return self.correct / self.images


def differs(model: Accuracy, tolerance: float) -> str | None:
    """Return how the float model, as it computes here, differs from its stored outputs; None if it does not.

    `tolerance` is the largest accepted difference of a probability, 0 to 1.
    """
    if model.largest_confidence_change <= tolerance:
        return None
    return (
        f"another class for {model.images - model.same_class:,} of {model.images:,} test images, probabilities that differ by "
        f"up to {model.largest_confidence_change:.3g} where the limit is {tolerance:g}"
    )


def doubt(accuracy: Accuracy, recorded: Parity, allowed: float | None, reference: str) -> str | None:
    """Return why a file can't have come from the stored reference; None if nothing contradicts it.

    A file shown to be better than its float model, by more than its limit for a drop, was made from another model. So was
    one that agrees with it on fewer images than at its export (95 % intervals apart) without losing accuracy. A file that
    loses accuracy computes worse on this machine, which the limits judge.

    `recorded` is its agreement with the model at its export; `allowed`, the limit in percentage points, or None.
    """
    fix = "export it again, or measure it together with its float model"
    better = -100 * accuracy.drop.high
    if better > max(allowed or 0.0, _LEAST_POINTS):
        return (
            f"accuracy can't be judged: the file is right on {accuracy.accuracy:.2%} of the images, at least {better:.2f} "
            f"points (95 %) more than what was stored of {reference}, so it was not made of that: {fix}"
        )
    # Of all images: a copy can't be a flip more often here than at the export, which counted copies.
    flips, then = accuracy.images - accuracy.same_class, recorded.images - recorded.same_class
    here, there = binomial.interval(flips, accuracy.all_images), binomial.interval(then, recorded.images)
    if here.low <= there.high or accuracy.drop.low > 0:
        return None
    return (
        f"accuracy can't be judged: the file gives another class than what was stored of {reference} for {flips:,} of "
        f"{accuracy.images:,} images, at its export for {then:,} of {recorded.images:,}, and loses nothing by it, so it was "
        f"not made of that: {fix}"
    )


def is_a_guess(right: Interval, commonest: float) -> bool:
    """Return whether a model's share of right answers is not shown to be above that of the commonest class, 0 to 1."""
    return right.low <= commonest


def nothing_to_judge_by(accuracy: Accuracy, reference: str) -> str | None:
    """Return why a reference is worthless: `is_a_guess`."""
    share = accuracy.reference_right
    commonest = max((of.images for of in accuracy.classes), default=0) / accuracy.images
    if share is None or not is_a_guess(share, commonest):
        return None
    return (
        f"accuracy can't be judged: {reference}, the reference, is right on {share.estimate:.2%} of the images "
        f"({share.low:.2%} to {share.high:.2%}, 95 %), not clearly above the {commonest:.2%} of the most frequent class: check "
        "the images, their labels and the model's preprocessing"
    )
