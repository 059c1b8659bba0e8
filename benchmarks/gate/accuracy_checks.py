"""The limits on accuracy, on each class and on confidence, and whether the reference is worth judging by."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from edgecnn.benchmarks.gate.accuracy import Accuracy
from edgecnn.benchmarks.statistics import binomial
from edgecnn.benchmarks.statistics.proportions import drop_interval
from edgecnn.benchmarks.statistics.sample_size import Need, chance_to_pass, images_to_decide, images_to_decide_share
from edgecnn.edge.export_records import Interval, Parity

# A file shown to be better by more than this, or than a larger limit, did not come from the reference.
_LEAST_POINTS = 0.5
# How many classes a text names.
MOST_NAMED = 5
# One image may be lost by chance. An equally good file that changes 0.3 % of its answers loses both images of a class of two
# in fewer than 1 of 300 test sets with 300 such classes (`tests/benchmarks/gate/test_class_changes.py`).
_LEAST_RIGHT = 2


def differs(model: Accuracy, tolerance: float) -> str | None:
    """Return how the Keras model differs from its stored outputs; None if it does not.

    Args:
        model: The Keras model as it computes here, compared with its stored outputs.
        tolerance: Largest accepted difference of a probability, 0 to 1.
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

    Args:
        accuracy: Accuracy of the file compared with the stored reference.
        recorded: Agreement of the file with the model at its export.
        allowed: Largest accepted drop in percentage points; None means no limit.
        reference: Name of the reference in texts.
    """
    fix = "export it again, or measure it together with the Keras model"
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


_CONFIDENCE = 0.95
# A class that keeps less than half of its accuracy is lost: a file shown to have lost one fails, whatever its other limits. A
# file that is never right on a class may have lost it, and does not pass.
_LOST_CLASS_POINTS = 50.0

ALL_LEARNT = (
    "accuracy can't be judged: every test image is an exact copy of a training image, which the model may know by heart: give "
    "images that it was not trained on"
)


@dataclass(frozen=True)
class LimitCheck:
    """One limit compared with the measurement.

    Attributes:
        within: Whether it is shown to be met.
        beyond: Whether it is shown not to be met.
        text: The figure, its evidence and the limit.
    """

    within: bool
    beyond: bool
    text: str


def is_a_guess(right: Interval, commonest: float) -> bool:
    """Return whether a model is not shown to be right more often than always answering the commonest class.

    Args:
        right: Share of images that it classifies correctly, with its interval.
        commonest: Share of the most frequent class, 0 to 1.
    """
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


def drop(accuracy: Accuracy, allowed: float, reference: str) -> LimitCheck:
    """Compare the drop of accuracy with its limit in percentage points."""
    found = accuracy.drop
    within, beyond = 100 * found.high <= allowed, 100 * found.low > allowed
    direction = "above" if found.estimate < 0 else "below"
    text = (
        f"accuracy {accuracy.accuracy:.2%} is {100 * abs(found.estimate):.2f} points {direction} {reference}, the "
        f"drop lies in {100 * found.low:+.3f} to {100 * found.high:+.3f} (95 %), the limit is {allowed:.2f}"
    )
    if not (within or beyond or accuracy.groups):
        need = images_to_decide(accuracy.lost, accuracy.gained, accuracy.images, allowed / 100)
        smallest = math.ceil(1e4 * drop_interval(0, 0, accuracy.images).high) / 100
        if allowed < smallest:
            text += (
                f"; {accuracy.images:,} images can't decide a limit below {smallest:.2f}, even for a file that loses nothing: "
                f"{_decides(need)}"
            )
        else:
            flips = (accuracy.lost + accuracy.gained) / accuracy.images
            equal = chance_to_pass(flips / 2, flips / 2, accuracy.images, allowed / 100)
            text += (
                f"; {accuracy.images:,} images do not decide: a file as good as the reference, with as many flips, passes on "
                f"{'' if equal < 0.995 else 'nearly '}{equal:.0%} of such sets; {_need(need)}"
            )
    return LimitCheck(within, beyond, text)


def agreement(accuracy: Accuracy, least: float, reference: str) -> LimitCheck:
    """Compare the share of images with the reference's class with its limit in percent."""
    return _share(accuracy.agreement, accuracy.same_class, accuracy, least, f"of images have {reference}'s class")


def minimum(accuracy: Accuracy, least: float) -> LimitCheck:
    """Compare the share of correct images with its limit in percent."""
    if accuracy.right is None:
        raise ValueError("accuracy must have its interval to be judged")
    return _share(accuracy.right, accuracy.correct, accuracy, least, "of images are right")


def _share(share: Interval, count: int, accuracy: Accuracy, least: float, what: str) -> LimitCheck:
    within, beyond = 100 * share.low >= least, 100 * share.high < least
    text = (
        f"{100 * share.estimate:.2f} % {what} ({100 * share.low:.2f} to {100 * share.high:.2f} %, 95 %), the limit is at least "
        f"{least:.2f} %"
    )
    if not (within or beyond or accuracy.groups):
        need = images_to_decide_share(count, accuracy.images, least / 100)
        largest = math.floor(1e4 * binomial.interval(accuracy.images, accuracy.images).low) / 100
        text += (
            f"; {accuracy.images:,} images can't show more than {largest:.2f} %, even if every one counts: {_decides(need)}"
            if least > largest
            else f"; {accuracy.images:,} images do not decide: {_need(need)}"
        )
    return LimitCheck(within, beyond, text)


def _need(need: Need) -> str:
    if need.images is None:
        return _decides(need)
    between = f"{need.fewest:,} to {need.most:,}" if need.most else f"{need.fewest:,} or more"
    return f"{_decides(need)} (80 % range: {between}); look once: every further look adds to the 2.5 % chance of a wrong PASS"


def _decides(need: Need) -> str:
    if need.images is None:
        return "no number of images like these would decide"
    return f"about {need.images:,} images like these would decide in 80 % of cases"


def worst_class(accuracy: Accuracy, allowed: float | None, class_names: Sequence[str]) -> LimitCheck | None:
    """Compare the largest drop of any class with its limit in percentage points.

    All classes are within only if each one is, so each interval decides by itself (Berger, 1982, Technometrics 24: 295-300).
    One of many is beyond by chance more often, so its interval is corrected for their number (Bonferroni).

    Returns:
        None if no limit is set and no class is lost. A class is lost if it is shown to have lost more than half of its
        accuracy, or if it is never right.
    """
    if allowed is None:
        return _lost_class(accuracy, class_names)
    alone = _class_drops(accuracy, _CONFIDENCE)
    highest = max(alone, key=lambda place: (alone[place].high, alone[place].estimate))
    together = _class_drops(accuracy, _corrected(len(alone)), allowed / 100)
    lowest = max(together, key=lambda place: together[place].low, default=highest)
    beyond = lowest in together and 100 * together[lowest].low > allowed
    place, drop = (lowest, together[lowest]) if beyond else (highest, alone[highest])
    text = f"{_class_text(accuracy, place, drop, class_names)}, the limit is {allowed:.2f}"
    return LimitCheck(100 * alone[highest].high <= allowed, beyond, text)


def _lost_class(accuracy: Accuracy, class_names: Sequence[str]) -> LimitCheck | None:
    corrected = _corrected(sum(of.images > 0 for of in accuracy.classes))
    drops = _class_drops(accuracy, corrected, _LOST_CLASS_POINTS / 100)
    place = max(drops, key=lambda place: drops[place].low, default=-1)
    if place < 0 or 100 * drops[place].low <= _LOST_CLASS_POINTS:
        text = f"{never_right_text(accuracy, class_names)}: more images of it would decide"
        return LimitCheck(False, False, text) if never_right(accuracy) else None
    text = f"{_class_text(accuracy, place, drops[place], class_names)}: more than half of the class is lost"
    return LimitCheck(False, True, text)


def _class_drops(accuracy: Accuracy, confidence: float, least: float = -1.0) -> dict[int, Interval]:
    """Return the drop in accuracy of each class with images, each with its own interval.

    Args:
        accuracy: Accuracy with the lost and gained images of each class.
        confidence: Confidence of each interval, between 0 and 1.
        least: Skip classes that drop by no more than this share.
    """
    weight, interval = accuracy.weight, cache(drop_interval)  # Most classes of a good file have the same counts.
    return {
        place: interval((of.lost or 0) * weight, (of.gained or 0) * weight, of.images * weight, confidence)
        for place, of in enumerate(accuracy.classes)
        if of.images and of.reference_correct - of.correct > least * of.images
    }


def never_right(accuracy: Accuracy) -> list[int]:
    """Return the classes on which a file is never right, but its reference is on two or more different images."""
    return [place for place, of in enumerate(accuracy.classes) if of.correct == 0 and of.reference_correct >= _LEAST_RIGHT]


def never_right_text(accuracy: Accuracy, class_names: Sequence[str]) -> str:
    """Return a text that names those classes; there must be at least one."""
    places = never_right(accuracy)
    counts = [(class_names[place], accuracy.classes[place]) for place in places[:MOST_NAMED]]
    texts = [
        f"class {name}: 0 of {of.images:,} where the reference is right on {of.reference_correct:,}" for name, of in counts
    ]
    more = f", and {len(places) - MOST_NAMED} more" if len(places) > MOST_NAMED else ""
    return f"never right on {', on '.join(texts)}{more}"


def _corrected(classes: int) -> float:
    return 1 - (1 - _CONFIDENCE) / max(classes, 1)


def _class_text(accuracy: Accuracy, place: int, drop: Interval, class_names: Sequence[str]) -> str:
    of = accuracy.classes[place]
    return (
        f"class {class_names[place]}: {of.correct:,} of {of.images:,} images are right, {of.reference_correct:,} by the "
        f"reference; its drop lies in {100 * drop.low:+.1f} to {100 * drop.high:+.1f} points"
    )


def brier_increase(accuracy: Accuracy, allowed: float) -> LimitCheck:
    """Compare the increase of the mean Brier score with its limit."""
    found = accuracy.brier_increase
    if found is None:
        raise ValueError("the Brier score must have been measured to be judged")
    text = (
        f"the Brier score differs by {found.estimate:+.4f} from the reference's ({found.low:+.4f} to "
        f"{found.high:+.4f}, 95 %), the "
        f"limit is {allowed:g}"
    )
    return LimitCheck(found.high <= allowed, found.low > allowed, text)
