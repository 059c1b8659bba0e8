"""Which file to take: the Pareto front of accuracy, time and size, and three picks.

A file is on the front if no other is at least as good in all three and better in one. What is off it has no use: the
other file costs nothing.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.accuracy import Accuracy
from benchmarks.gate import PASS, UNDECIDED, UNJUDGED
from benchmarks.intervals import mean_interval
from benchmarks.proportions import mcnemar_p
from benchmarks.results import FileResult, Report
from benchmarks.summary import round_medians, typical_ns

# What counts as a whole step on each scale if the front spans less: one image in 10,000, or a microsecond, is no reason
# to take another file.
_LEAST_ACCURACY = 0.005
_LEAST_FACTOR = 2.0
_SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Candidate:
    """A file by its three objectives.

    Attributes:
        name: The file's.
        images: How many were classified.
        correct: How many of them right; more is better.
        p50_ns: `typical_ns`; less is better.
        size_bytes: Of the file; less is better.
    """

    name: str
    images: int
    correct: int
    p50_ns: float
    size_bytes: int


@dataclass(frozen=True)
class Picks:
    """Three files, which may be the same one.

    Attributes:
        most_accurate: Most images right; of equals the faster, then the smaller.
        balanced: The nearest to the best of everything, see `pick`.
        fastest: Smallest p50; of equals the more accurate, then the smaller.
    """

    most_accurate: Candidate
    balanced: Candidate
    fastest: Candidate


def candidates(report: Report) -> tuple[Candidate, ...]:
    """Return what may be picked, in the report's order: exported files that are neither FAIL nor INVALID.

    Nothing where accuracy was not measured: a pick that is blind to it would be the fastest, however wrong.
    """
    return tuple(
        Candidate(file.name, file.accuracy.images, file.accuracy.correct, typical_ns(file.launches), file.artifact.size_bytes)
        for file in report.files
        if file.accuracy and file.artifact.format != "keras" and file.verdict.status in (PASS, UNDECIDED, UNJUDGED)
    )


def front(files: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """Return the files that no other one beats, in their order; equal files don't beat each other."""
    files = tuple(files)
    return tuple(file for file in files if not any(_beats(other, file) for other in files))


def pick(files: Iterable[Candidate]) -> Picks | None:
    """Pick from the front of `files`; None if there are none.

    The balanced file has the shortest distance to an imagined one that has the front's best accuracy, p50 and size.
    Accuracy is scaled linearly, p50 and size by their logarithms (twice as long is as bad at 10 µs as at 10 ms), from
    0, the front's best, to 1, its worst. A scale spans at least 0.5 points of accuracy or a factor of 2, so that a
    difference that nobody would pay for does not count as much as one that matters. Equal distances go to the more
    accurate file, then to the faster, then to the smaller.
    """
    best = front(files)
    if not best:
        return None
    return Picks(
        most_accurate=min(best, key=_by_accuracy),
        # Rounded, since equal distances may differ in their last binary digit.
        balanced=min(best, key=lambda file: (round(_distance(file, best), 9), *_by_accuracy(file))),
        fastest=min(best, key=lambda file: (file.p50_ns, -file.correct / file.images, file.size_bytes)),
    )


def as_accurate(file: FileResult, others: Iterable[FileResult]) -> tuple[str, ...]:
    """Return which of `others` the images do not tell from `file`: McNemar's exact p is above 0.05."""
    return tuple(
        other.name
        for other in others
        if file.accuracy and other.accuracy and mcnemar_p(*_apart(file.accuracy, other.accuracy)) > _SIGNIFICANT
    )


def as_fast(file: FileResult, others: Iterable[FileResult]) -> tuple[str, ...]:
    """Return which of `others` the launches do not tell from `file`: the ratio's 95 % interval holds 1.

    With a single launch there is no interval, and no other file is told from it.
    """
    mine = round_medians(file.launches)
    names = []
    for other in others:
        ratios = np.log(round_medians(other.launches) / mine).mean(axis=1)
        interval = mean_interval(ratios) if len(ratios) > 1 else None
        if interval is None or interval.low <= 0 <= interval.high:
            names.append(other.name)
    return tuple(names)


def _apart(one: Accuracy, other: Accuracy) -> tuple[int, int]:
    """Return how many images only `one` has right, and only `other`; both were compared with the same reference."""
    chosen = [{flip.image: flip.candidate for flip in accuracy.flips} for accuracy in (one, other)]
    flips = {flip.image: flip for flip in (*one.flips, *other.flips)}.values()
    right = [[of.get(flip.image, flip.reference) == flip.label for of in chosen] for flip in flips]
    return right.count([True, False]), right.count([False, True])


def _beats(one: Candidate, other: Candidate) -> bool:
    objectives = [(-file.correct / file.images, file.p50_ns, file.size_bytes) for file in (one, other)]
    return objectives[0] != objectives[1] and all(a <= b for a, b in zip(*objectives, strict=True))


def _by_accuracy(file: Candidate) -> tuple[float, float, int]:
    return -file.correct / file.images, file.p50_ns, file.size_bytes


def _distance(file: Candidate, best: Sequence[Candidate]) -> float:
    wrong = [1 - other.correct / other.images for other in best]
    times = [math.log(other.p50_ns) for other in best]
    sizes = [math.log(other.size_bytes) for other in best]
    return math.hypot(
        (1 - file.correct / file.images - min(wrong)) / max(max(wrong) - min(wrong), _LEAST_ACCURACY),
        (math.log(file.p50_ns) - min(times)) / max(max(times) - min(times), math.log(_LEAST_FACTOR)),
        (math.log(file.size_bytes) - min(sizes)) / max(max(sizes) - min(sizes), math.log(_LEAST_FACTOR)),
    )
