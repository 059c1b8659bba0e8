"""Finds losses class by class: a class that is never predicted any more hardly shows in the overall accuracy."""

from collections.abc import Sequence
from functools import cache

from edgecnn.benchmarks.gate.accuracy import Accuracy
from edgecnn.benchmarks.statistics.proportions import drop_interval
from edgecnn.edge.export_records import Interval

SIGNIFICANT = 0.05
_SHOWN = 5
# One image may be lost by chance. An equally good file that changes 0.3 % of its answers loses both images of a class of two
# in fewer than 1 of 300 test sets with 300 such classes (`tests/benchmarks/gate/test_class_changes.py`).
_LEAST_RIGHT = 2


def holm(p: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number: the chance that any is this small although none should be.

    Holm (1979, Scandinavian Journal of Statistics 6: 65-70); it holds however the tests depend on each other.
    """
    corrected, least = [0.0] * len(p), 0.0
    for rank, place in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        least = max(least, min(1.0, (len(p) - rank) * p[place]))
        corrected[place] = least
    return corrected


def class_drops(accuracy: Accuracy, confidence: float, least: float = -1.0) -> dict[int, Interval]:
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
    counts = [(class_names[place], accuracy.classes[place]) for place in places[:_SHOWN]]
    texts = [
        f"class {name}: 0 of {of.images:,} where the reference is right on {of.reference_correct:,}" for name, of in counts
    ]
    more = f", and {len(places) - _SHOWN} more" if len(places) > _SHOWN else ""
    return f"never right on {', on '.join(texts)}{more}"


def moved_classes(name: str, accuracy: Accuracy, class_names: Sequence[str]) -> list[str]:
    """Return a line on classes on which a file is never right, and one on those where it is shown to be right less often."""
    never = [f"{name} is {never_right_text(accuracy, class_names)}."] if never_right(accuracy) else []
    lost = [
        (of.p, of.correct - of.reference_correct, place)
        for place, of in enumerate(accuracy.classes)
        if of.p is not None and of.p <= SIGNIFICANT and of.correct < of.reference_correct
    ]
    if not lost:
        return never
    texts = []
    for p, _, place in sorted(lost)[:_SHOWN]:
        of = accuracy.classes[place]
        texts.append(
            f"{class_names[place]} ({of.correct:,} of {of.images:,} right, the reference {of.reference_correct:,}; p {p:.2g})"
        )
    more = f" and {len(lost) - _SHOWN} more" if len(lost) > _SHOWN else ""
    return [*never, f"{name} loses classes: {', '.join(texts)}{more}. p is McNemar's, with Holm's correction for all classes."]
