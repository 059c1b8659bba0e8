"""Counts a file's answers compared with its reference's, a chunk of images at a time, and reads which images come in groups.

A group, such as the frames of one video or the pictures of one patient, counts as one image, however many it has and however
similar they are. Estimating their similarity (the design effect of Korn and Graubard, 1998) was tried, and missed the truth
in up to 15 % of samples with few flips in few groups.
"""

import csv
import io
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgecnn.benchmarks.gate.accuracy import Accuracy, ClassCounts, Flip, brier_scores, difference_interval
from edgecnn.benchmarks.statistics import binomial
from edgecnn.benchmarks.statistics.proportions import drop_interval, holm, mcnemar_p
from edgecnn.edge.data.splits import FileSplit, Split
from edgecnn.edge.errors import ArtifactError, ConfigError, field, parsing
from edgecnn.edge.export_records import Interval
from edgecnn.edge.files import read_bytes
from edgecnn.edge.model.preprocess import Floats, correct, counts, losses

_LABEL, _GROUP = range(2)
_BINS = 15  # Number of bins of the calibration error.
_MOST_BYTES = 2**28
_COLUMNS = ["image", "group"]
_FIX = f"give a CSV file with the columns {','.join(_COLUMNS)} and a line for each test image"


def weight(sizes: Iterable[int]) -> float:
    """Return the weight of an image, above 0 and at most 1, for groups of these sizes.

    Groups of equal size count as one image each. With several sizes the larger weigh more, so effectively fewer: Kish
    (1965, "Survey Sampling", section 11.7), (sum of sizes)^2 / sum of squares.
    """
    numbers = list(sizes)
    return sum(numbers) / sum(number**2 for number in numbers)


def share_interval(count: int, images: int, weight: float = 1.0) -> Interval:
    """Return count / images with its 95 % interval (Clopper-Pearson), where each image has this weight."""
    if weight == 1:
        return binomial.interval(count, images)
    # Without gains the upper end of a drop is Clopper and Pearson's, also for fractions of images.
    above, high = (drop_interval(of * weight, 0, images * weight).high for of in (images - count, count))
    return Interval(count / images, 1 - above, high)


class Tally:
    """Counts for a file and its reference. Its size grows with the `classes`, flips and groups, not with the images."""

    def __init__(self, classes: int) -> None:
        self._classes = classes
        self._images = 0
        self._change = self._largest_change = self._loss = self._reference_loss = 0.0
        self._score = self._squared_score = 0.0  # Sums over differences of Brier scores.
        # By label: images, correct here, correct by the reference, lost, gained.
        self._by_class = np.zeros((5, classes), np.int64)
        # By the predicted class's probability: sum of probabilities minus correct answers, here and for the reference.
        self._off = np.zeros((2, _BINS))
        self._confusion: Counter[tuple[int, int]] = Counter()
        self._flips: list[Flip] = []
        self._accepted, self._has_threshold = np.zeros(2, np.int64), False  # Accepted answers, and errors among them.
        # By label and group: images, and lost minus gained; empty without groups.
        self._group_sizes: Counter[tuple[int, int]] = Counter()
        self._group_losses: Counter[tuple[int, int]] = Counter()

    def add(  # Longer than 50 lines: its arguments and their docs.
        self,
        candidate: Floats,
        reference: Floats,
        labels: NDArray[np.int64],
        places: NDArray[np.int64] | None = None,
        groups: NDArray[np.int64] | None = None,
        accepted: NDArray[np.bool_] | None = None,
    ) -> None:
        """Add images.

        Args:
            candidate: Class probabilities from the file, (n, classes).
            reference: Class probabilities from the reference for the same images, (n, classes).
            labels: Labels, (n,).
            places: Indices in the test set, (n,); None if all of its images are added in order.
            groups: Group numbers, (n,), if images come in groups: then of every call.
            accepted: Whether the file's threshold accepts each answer, (n,); None for a file without one.

        Raises:
            ValueError: If the shapes do not match, or a probability is not finite.
        """
        self._require_alike(candidate, reference, len(labels))
        if not len(labels):
            return
        places = self._images + np.arange(len(labels)) if places is None else places
        right, reference_right = correct(candidate, labels), correct(reference, labels)
        lost, gained = reference_right & ~right, right & ~reference_right
        for row, of in enumerate((labels, labels[right], labels[reference_right], labels[lost], labels[gained])):
            self._by_class[row] += counts(of, self._classes)
        chosen, reference_chosen = candidate.argmax(axis=1), reference.argmax(axis=1)
        self._confusion.update(zip(labels.tolist(), chosen.tolist(), strict=True))
        for row, (rows, hits) in enumerate(((candidate, right), (reference, reference_right))):
            named = rows.max(axis=1).astype(np.float64)
            bins = np.clip((named * _BINS).astype(np.int64), 0, _BINS - 1)
            self._off[row] += counts(bins, _BINS, named - hits)
        self._add_probabilities(candidate, reference, labels)
        if accepted is not None:
            self._accepted += accepted.sum(), (accepted & ~right).sum()
            self._has_threshold = True
        if groups is not None:
            self._add_groups(labels, groups, lost, gained)
        self._flips += [
            Flip(
                image=int(places[i]),
                label=int(labels[i]),
                reference=int(reference_chosen[i]),
                candidate=int(chosen[i]),
                reference_confidence=float(reference[i].max()),
                candidate_confidence=float(candidate[i].max()),
            )
            for i in np.flatnonzero(chosen != reference_chosen)
        ]
        self._images += len(labels)

    def _require_alike(self, candidate: Floats, reference: Floats, images: int) -> None:
        if not candidate.shape == reference.shape == (images, self._classes):
            raise ValueError(
                f"shapes must be alike, got {candidate.shape}, {reference.shape}, {images} labels, {self._classes} classes"
            )
        if not (np.isfinite(candidate).all() and np.isfinite(reference).all()):
            raise ValueError("probabilities must be finite, got NaN or infinity")

    def _add_groups(
        self, labels: NDArray[np.int64], groups: NDArray[np.int64], lost: NDArray[np.bool_], gained: NDArray[np.bool_]
    ) -> None:
        self._group_sizes.update(zip(labels.tolist(), groups.tolist(), strict=True))
        self._group_losses.update(zip(labels[lost].tolist(), groups[lost].tolist(), strict=True))
        self._group_losses.subtract(zip(labels[gained].tolist(), groups[gained].tolist(), strict=True))

    def _add_probabilities(self, candidate: Floats, reference: Floats, labels: NDArray[np.int64]) -> None:
        every, reference_chosen = np.arange(len(labels)), reference.argmax(axis=1)
        change = np.abs(candidate[every, reference_chosen] - reference[every, reference_chosen])
        self._largest_change = max(self._largest_change, float(change.max()))
        self._change += float(change.sum(dtype=np.float64))
        self._loss += float(losses(candidate, labels).sum())
        self._reference_loss += float(losses(reference, labels).sum())
        score = brier_scores(candidate, labels) - brier_scores(reference, labels)
        self._score += float(score.sum())
        self._squared_score += float((score**2).sum())

    def accuracy(
        self, copies: int = 0, chose: int = 0, conflicting: int = 0, learnt: int = 0, all_learnt: bool = False
    ) -> Accuracy:
        """Return the counts. `copies`, with the `conflicting` ones, `chose` and `learnt` are numbers of images not added.

        Raises:
            ValueError: If no image was added.
        """
        images = self._images
        if not images:
            raise ValueError("images must be at least one, got none")
        right, reference_right, lost, gained = (int(row.sum()) for row in self._by_class[1:])
        groups = _by(_GROUP, self._group_sizes)
        counts = weight(map(sum, groups.values())) if groups else 1.0
        score = self._score / images
        variance = max(self._squared_score / images - score**2, 0.0) * images / max(images - 1, 1)
        same = images - len(self._flips)
        off = np.abs(self._off).sum(axis=1) / images
        return Accuracy(
            images=images,
            correct=right,
            reference_correct=reference_right,
            lost=lost,
            gained=gained,
            same_class=same,
            drop=drop_interval(lost * counts, gained * counts, images * counts),
            agreement=share_interval(same, images, counts),
            mcnemar_p=self._p(_by(_GROUP, self._group_losses).values(), lost, gained),
            loss=self._loss / images,
            largest_confidence_change=self._largest_change,
            mean_confidence_change=self._change / images,
            classes=self._class_counts(),
            confusion=tuple((*pair, count) for pair, count in sorted(self._confusion.items())),
            flips=tuple(self._flips),
            right=share_interval(right, images, counts),
            reference_right=share_interval(reference_right, images, counts),
            reference_loss=self._reference_loss / images,
            brier_increase=difference_interval(score, variance, images * counts),
            calibration_error=float(off[0]),
            reference_calibration_error=float(off[1]),
            copies=copies,
            chose=chose,
            groups=len(groups) or None,
            weight=counts,
            conflicting=conflicting,
            learnt=learnt,
            all_learnt=all_learnt,
            accepted=int(self._accepted[0]) if self._has_threshold else None,
            accepted_wrong=int(self._accepted[1]),
        )

    def _class_counts(self) -> tuple[ClassCounts, ...]:
        counts: list[list[int]] = self._by_class.T.tolist()
        sizes, losses_of = _by(_LABEL, self._group_sizes), _by(_LABEL, self._group_losses)
        there = [place for place, of in enumerate(counts) if of[0]]
        alone = [self._p([[balance] for balance in losses_of.get(place, ())], *counts[place][3:]) for place in there]
        p = dict(zip(there, holm(alone), strict=True))
        weights = {place: weight(of) for place, of in sizes.items()}
        return tuple(
            ClassCounts(images, right, reference_right, lost, gained, p.get(place), weights.get(place, 1.0))
            for place, (images, right, reference_right, lost, gained) in enumerate(counts)
        )

    def _p(self, groups: Iterable[Iterable[int]], lost: int, gained: int) -> float:
        """Return McNemar's p, which needs independent units: images, or `groups`, which lose more or gain more."""
        if not self._group_sizes:
            return mcnemar_p(lost, gained)
        balances = [*map(sum, groups)]
        return mcnemar_p(sum(balance > 0 for balance in balances), sum(balance < 0 for balance in balances))


def _by(part: int, counted: Mapping[tuple[int, int], int]) -> dict[int, list[int]]:
    """Return the counts of each label or group, which is that part of the keys."""
    found = defaultdict[int, list[int]](list)
    for key, count in counted.items():
        found[key[part]].append(count)
    return found


def compare(candidate: Floats, reference: Floats, labels: NDArray[np.int64]) -> Accuracy:
    """Compare class probabilities (n, classes) of the same n different images at once. Errors are those of `Tally`."""
    tally = Tally(reference.shape[1])
    tally.add(candidate, reference, labels)
    return tally.accuracy()


def read_groups(path: Path, test: Split) -> NDArray[np.int64]:
    """Return the number of each test image's group, int64 (n,).

    Args:
        path: A CSV file with the columns `image` and `group`. An image is a file's path in its folder, or the index of a test
            image from 0; a group is any text.
        test: The test images.

    Raises:
        ConfigError: If the file can't be read, or does not name each test image exactly once. It may name other image files.
    """
    try:
        data = read_bytes(path, _MOST_BYTES)
    except ArtifactError as error:
        raise ConfigError(f"{field('groups')}: {error.marked}") from error
    with parsing(f"{field('groups')}: {path} is not a CSV file", _FIX, ConfigError):
        reader = csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True)
        if reader.fieldnames is None or not set(_COLUMNS) <= set(reader.fieldnames):
            raise ConfigError(f"{field('groups')}: {path} does not have the columns {' and '.join(_COLUMNS)}: {_FIX}")
        rows = [(row["image"] or "", row["group"] or "") for row in reader]
    count = len(test.labels)
    names = {name: place for place, name in enumerate(test.names)} if isinstance(test, FileSplit) else {}
    groups: dict[int, str] = {}
    for image, group in rows:
        if names and image not in names:
            continue  # A list of all images in a folder includes the training images.
        place = names[image] if names else int(image) if image.isdecimal() and len(image) < 19 else -1
        if not 0 <= place < count:
            raise ConfigError(f"{field('groups')}: {path} names {image!r}, which is not one of {count:,} test images: {_FIX}")
        if place in groups:
            raise ConfigError(f"{field('groups')}: {path} names {image!r} twice: {_FIX}")
        groups[place] = group
    if len(groups) < count:
        absent = next(place for place in range(count) if place not in groups)
        called = test.names[absent] if isinstance(test, FileSplit) else absent
        raise ConfigError(f"{field('groups')}: {path} names {len(groups):,} of {count:,} test images, and not {called}: {_FIX}")
    numbers = {group: number for number, group in enumerate(dict.fromkeys(groups.values()))}
    return np.array([numbers[groups[place]] for place in range(count)], np.int64)
