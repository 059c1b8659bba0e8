"""A file's mistakes, laid out for a page: confusions, recall by class, images that changed their class."""

import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from edgecnn.benchmarks.gate.accuracy import Accuracy, Flip
from edgecnn.edge.data.splits import Split
from edgecnn.edge.errors import MissingDependency
from edgecnn.edge.packages import install_command

MOST_CLASSES = 20
MOST_FLIPS = 60
# Larger pictures are reduced: a page with a thousand photos would have a hundred megabytes.
_LONGEST_SIDE = 96
_DEEPEST = 0.65

FlipKind = Literal["lost", "both wrong", "gained"]
_KINDS: tuple[FlipKind, ...] = get_args(FlipKind)  # In the order in which they are shown.


@dataclass(frozen=True)
class Cell:
    """One count of the confusion matrix.

    Attributes:
        count: Number of images.
        right: Whether it is on the diagonal.
        shade: 0 to 1, by the logarithm of the count; 0 on the diagonal.
    """

    count: int
    right: bool
    shade: float


@dataclass(frozen=True)
class Confusion:
    """A kind of error: images of the class `label` that were classified as `chosen`."""

    label: str
    chosen: str
    count: int
    images: int


@dataclass(frozen=True)
class Recall:
    """One class: its number of correct images, for this file and for the reference."""

    name: str
    images: int
    correct: int
    reference_correct: int

    @property
    def percent(self) -> float:
        """Share classified correctly by this file."""
        return 100 * self.correct / self.images

    @property
    def reference_percent(self) -> float:
        """Share classified correctly by the reference."""
        return 100 * self.reference_correct / self.images


@dataclass(frozen=True)
class ShownFlip:
    """An image that the file and the reference classify differently.

    Attributes:
        kind: `lost`, `gained` or `both wrong`.
        flip: Figures of the flip.
        label: Name of the true class.
        reference: Class from the reference.
        candidate: Class from the file.
        picture: A data: URI, or None without images.
    """

    kind: FlipKind
    flip: Flip
    label: str
    reference: str
    candidate: str
    picture: str | None


def matrix(accuracy: Accuracy) -> tuple[tuple[Cell, ...], ...]:
    """Return the confusion matrix by true class, shaded; empty if there are more than `MOST_CLASSES`."""
    classes = len(accuracy.classes)
    if classes > MOST_CLASSES:
        return ()
    counts = np.zeros((classes, classes), np.int64)
    for label, chosen, count in accuracy.confusion:
        counts[label, chosen] = count
    errors = counts * ~np.eye(len(counts), dtype=bool)
    shades = _DEEPEST * np.log1p(errors) / np.log1p(max(int(errors.max()), 1))
    return tuple(
        tuple(Cell(int(count), row == column, float(shades[row, column])) for column, count in enumerate(line))
        for row, line in enumerate(counts)
    )


def confusions(accuracy: Accuracy, class_names: Sequence[str]) -> tuple[Confusion, ...]:
    """Return the 20 most frequent kinds of error."""
    kinds = [
        Confusion(class_names[label], class_names[chosen], count, accuracy.classes[label].images)
        for label, chosen, count in accuracy.confusion
        if label != chosen
    ]
    return tuple(sorted(kinds, key=lambda kind: -kind.count)[:MOST_CLASSES])


def recalls(accuracy: Accuracy, class_names: Sequence[str]) -> tuple[Recall, ...]:
    """Return the classes with images; if there are more than 20, the 20 whose accuracy changed most, in class order."""
    rows = [
        Recall(name, of.images, of.correct, of.reference_correct)
        for name, of in zip(class_names, accuracy.classes, strict=True)
        if of.images
    ]
    moved = sorted(range(len(rows)), key=lambda place: -abs(rows[place].percent - rows[place].reference_percent))
    return tuple(rows[place] for place in sorted(moved[:MOST_CLASSES]))


def flips(accuracy: Accuracy, class_names: Sequence[str], test: Split | None) -> Iterator[ShownFlip]:
    """Yield at most 60 flips: lost images first, then those that both get wrong, then gained ones; the surest first."""
    ordered = sorted(accuracy.flips, key=lambda flip: (_KINDS.index(_kind(flip)), -flip.candidate_confidence, flip.image))
    for flip in ordered[:MOST_FLIPS]:
        label, reference, candidate = (class_names[index] for index in (flip.label, flip.reference, flip.candidate))
        picture = None if test is None else _picture(test.images([flip.image])[0])
        yield ShownFlip(_kind(flip), flip, label, reference, candidate, picture)


def _kind(flip: Flip) -> FlipKind:
    if flip.label == flip.reference:
        return "lost"
    return "gained" if flip.label == flip.candidate else "both wrong"


def _picture(image: NDArray[np.uint8]) -> str:
    pillow = _pillow()
    picture = pillow.fromarray(image[..., 0] if image.shape[2] == 1 else image)
    picture.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE))
    stream = io.BytesIO()
    picture.save(stream, "png", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"


def _pillow() -> Any:
    try:
        from PIL import Image
    except ModuleNotFoundError as error:
        if error.name != "PIL":
            raise
        raise MissingDependency(f"Pillow, which writes pictures, is not installed: {install_command('report')}") from error
    return Image
