"""The Pareto front of accuracy, time and size, and the three networks of a sweep that it names.

A file is on the front if no other is at least as good in all three and better in one. There is no reason to ship a file
that is off the front.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from edgecnn.benchmarks.gate.accuracy import Accuracy
from edgecnn.benchmarks.gate.gate import PASS, UNDECIDED, UNJUDGED
from edgecnn.benchmarks.results.latency_summary import typical_ns
from edgecnn.benchmarks.results.records import Report

# Smallest span of each scale: one image in 10,000, or a microsecond, is no reason
# to take another file.
_LEAST_ACCURACY = 0.005
_LEAST_FACTOR = 2.0
# Shares that differ in their last binary digit alone are equal.
DIGITS = 9
# A runtime alone takes tens of MiB of memory: below this, another file's smaller size saves nothing that one notices.
_SMALL_BYTES = 1 << 20


@dataclass(frozen=True)
class ParetoPoint:
    """A file by its three objectives.

    Attributes:
        name: Name of the file.
        right: Share of the images classified correctly, 0 to 1; more is better.
        time_ns: Typical time in nanoseconds, as ratios compare it (`typical_ns`); less is better. It is not the p50.
        size_bytes: Size of the file in bytes; less is better.
    """

    name: str
    right: float
    time_ns: float
    size_bytes: int


@dataclass(frozen=True)
class Picks:
    """Three files, which may be the same one.

    Attributes:
        most_accurate: Highest share of images correct; ties go to the faster, then to the smaller.
        balanced: Nearest to the best of everything, see `pick`.
        fastest: Smallest typical time; ties go to the more accurate, then to the smaller.
    """

    most_accurate: ParetoPoint
    balanced: ParetoPoint
    fastest: ParetoPoint


def pareto_points(report: Report, own_references: bool = False) -> tuple[ParetoPoint, ...]:
    """Return the files that may be recommended, in the report's order: exported files that neither failed nor went unjudged.

    There are none if accuracy was not measured or could not be judged: without it the fastest would be recommended, however
    wrong.

    Args:
        report: The measurement.
        own_references: Whether each file has a reference of its own, as in a sweep; then only those files are left out whose
            own could not judge them, and shares of held-out images stay as they are.
    """
    unjudged = {file.name for file in report.files if any(check.status == UNJUDGED for check in file.verdict.checks)}
    if unjudged and not own_references:
        return ()
    return tuple(
        ParetoPoint(
            file.name,
            round(file.accuracy.accuracy if own_references else share_of_all(report, file.accuracy), DIGITS),
            typical_ns(file.launches),
            file.artifact.size_bytes,
        )
        for file in report.files
        if file.accuracy and file.artifact.exported and file.name not in unjudged
        if file.verdict.status in (PASS, UNDECIDED) or not file.verdict.judged
    )


def reference_share(report: Report) -> float:
    """Return the share of all images that the reference classifies correctly, 0 to 1; of as many as a file's result has."""
    most = min((file.accuracy for file in report.files if file.accuracy), key=lambda accuracy: accuracy.chose)
    return most.reference_correct / most.images


def share_of_all(report: Report, accuracy: Accuracy) -> float:
    """Return the share that a file classifies correctly, 0 to 1, so that it can be compared with the report's other files.

    Images that chose a file's float layers don't judge it, and the others may be easier or harder than all: on these the
    file is compared with the reference.
    """
    return reference_share(report) - accuracy.drop.estimate if accuracy.chose else accuracy.accuracy


def front(files: Iterable[ParetoPoint]) -> tuple[ParetoPoint, ...]:
    """Return the files that no other file beats, in their order; equal files don't beat each other."""
    files = tuple(files)
    return tuple(file for file in files if not any(_beats(other, file) for other in files))


def pick(files: Iterable[ParetoPoint]) -> Picks | None:
    """Pick from the front of `files`; None if there are none.

    The balanced file has the shortest distance to an imagined one that has the front's best accuracy, time and size, where
    files of less than 1 MiB are equally small. Accuracy is scaled linearly, time and size by their logarithms (twice as long
    is as bad at 10 µs as at 10 ms), from 0, the front's best, to 1, its worst. A scale spans at least 0.5 points of
    accuracy or a factor of 2, so that a negligible difference does not count as much as a relevant one. Equal distances go
    to the more accurate file, then to the faster, then to the smaller.
    """
    best = front(files)
    if not best:
        return None
    return Picks(
        most_accurate=min(best, key=_by_accuracy),
        balanced=min(zip(_distances(best), best, strict=True), key=lambda of: (of[0], *_by_accuracy(of[1])))[1],
        fastest=min(best, key=lambda file: (file.time_ns, -file.right, file.size_bytes)),
    )


def _beats(one: ParetoPoint, other: ParetoPoint) -> bool:
    objectives = [(-file.right, file.time_ns, file.size_bytes) for file in (one, other)]
    return objectives[0] != objectives[1] and all(a <= b for a, b in zip(*objectives, strict=True))


def _by_accuracy(file: ParetoPoint) -> tuple[float, float, int]:
    return -file.right, file.time_ns, file.size_bytes


def _distances(best: Sequence[ParetoPoint]) -> list[float]:
    """Return each file's distance to the imagined one; rounded, since equal ones may differ in their last binary digit."""
    places = np.array([(-of.right, np.log(of.time_ns), np.log(max(of.size_bytes, _SMALL_BYTES))) for of in best])
    spans = np.maximum(np.ptp(places, axis=0), (_LEAST_ACCURACY, np.log(_LEAST_FACTOR), np.log(_LEAST_FACTOR)))
    found: list[float] = np.linalg.norm((places - places.min(axis=0)) / spans, axis=1).round(DIGITS).tolist()
    return found
