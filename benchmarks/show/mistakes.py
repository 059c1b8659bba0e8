"""A file's mistakes, laid out for a page: confusions, recall by class, images that changed their class."""

import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from edgecnn.benchmarks.gate.accuracy import Accuracy, Flip
from edgecnn.benchmarks.results.records import FileResult, Report
from edgecnn.edge.data.splits import Split
from edgecnn.edge.packages import load_pillow
from edgecnn.edge.show.table import TextTable

MOST_CLASSES = 20
MOST_FLIPS = 60
# Larger pictures are reduced: a page with a thousand photos would have a hundred megabytes.
_LONGEST_SIDE = 96
_DEEPEST = 0.65

FlipKind = Literal["lost", "both wrong", "gained"]
_KINDS: tuple[FlipKind, ...] = get_args(FlipKind)  # In the order in which they are shown.


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


@dataclass(frozen=True)
class Mistakes:
    """The part of the page about the errors of one file.

    `same` are further files that give every image the same class with the same confidence.
    """

    file: FileResult
    same: tuple[FileResult, ...]
    matrix: list[list[tuple[int, float]]]
    confusions: tuple[str, ...]
    recall: TextTable
    flips: tuple[ShownFlip, ...]
    flip_table: TextTable


def file_mistakes(report: Report, reference: str, test: Split | None) -> Iterator[Mistakes]:
    """Yield each file's mistakes, with pictures if there are images; files that make exactly the same ones share a part."""
    alike: dict[object, list[tuple[FileResult, Accuracy]]] = {}
    for file in report.files:
        if accuracy := file.accuracy:
            changed = tuple((flip.image, flip.candidate, round(100 * flip.candidate_confidence)) for flip in accuracy.flips)
            alike.setdefault((accuracy.confusion, accuracy.classes, changed), []).append((file, accuracy))
    for (first, accuracy), *others in alike.values():
        shown = tuple(_flips(accuracy, report.class_names, test))
        yield Mistakes(
            file=first,
            same=tuple(file for file, _ in others),
            matrix=_matrix(accuracy),
            confusions=_confusions(accuracy, report.class_names),
            recall=_recall(accuracy, report.class_names, first.name, reference),
            flips=shown,
            flip_table=_flip_table(shown, first.name, reference),
        )


def _matrix(accuracy: Accuracy) -> list[list[tuple[int, float]]]:
    """Return a row for each true class; empty if there are more than `MOST_CLASSES`.

    Each cell has its number of images and its shade, 0 to 1, by the logarithm of that number; 0 on the diagonal.
    """
    classes = len(accuracy.classes)
    if classes > MOST_CLASSES:
        return []
    counts = np.zeros((classes, classes), np.int64)
    for label, chosen, count in accuracy.confusion:
        counts[label, chosen] = count
    errors = counts * ~np.eye(len(counts), dtype=bool)
    shades = _DEEPEST * np.log1p(errors) / np.log1p(max(int(errors.max()), 1))
    return [list(zip(*row, strict=True)) for row in zip(counts.tolist(), shades.tolist(), strict=True)]


def _confusions(accuracy: Accuracy, class_names: Sequence[str]) -> tuple[str, ...]:
    """Return the 20 most frequent kinds of error, a sentence each."""
    kinds = [(count, label, chosen) for label, chosen, count in accuracy.confusion if label != chosen]
    return tuple(
        f"{class_names[label]} taken for {class_names[chosen]}: {count:,} of {accuracy.classes[label].images:,}"
        for count, label, chosen in sorted(kinds, key=lambda kind: -kind[0])[:MOST_CLASSES]
    )


def _recall(accuracy: Accuracy, class_names: Sequence[str], file: str, reference: str) -> TextTable:
    """Return the classes with images; if there are more than 20, the 20 whose accuracy changed most, in class order."""

    def change(place: int) -> float:
        of = accuracy.classes[place]
        return abs(of.correct - of.reference_correct) / of.images

    there = [place for place, of in enumerate(accuracy.classes) if of.images]
    rows = []
    for place in sorted(sorted(there, key=change, reverse=True)[:MOST_CLASSES]):
        of = accuracy.classes[place]
        more = f"{of.correct - of.reference_correct:+d}" if of.correct != of.reference_correct else "0"
        shares = (f"{100 * right / of.images:.1f}" for right in (of.correct, of.reference_correct))
        rows.append((class_names[place], f"{of.images:,}", *shares, more))
    return TextTable(("class", "images", "right\n%", f"{reference}\n%", "images\nmore right"), rows, f"Recall of {file}")


def _flips(accuracy: Accuracy, class_names: Sequence[str], test: Split | None) -> Iterator[ShownFlip]:
    """Yield at most 60 flips: lost images first, then those that both get wrong, then gained ones; the surest first."""
    ordered = sorted(accuracy.flips, key=lambda flip: (_KINDS.index(_kind(flip)), -flip.candidate_confidence, flip.image))
    for flip in ordered[:MOST_FLIPS]:
        label, reference, candidate = (class_names[index] for index in (flip.label, flip.reference, flip.candidate))
        picture = None if test is None else _picture(test.images([flip.image])[0])
        yield ShownFlip(_kind(flip), flip, label, reference, candidate, picture)


def _flip_table(shown: Sequence[ShownFlip], file: str, reference: str) -> TextTable:
    """Return the same as a table, for a page without images."""
    rows = []
    for of in shown:
        before, after = (f"{100 * share:.0f}" for share in (of.flip.reference_confidence, of.flip.candidate_confidence))
        rows.append((f"#{of.flip.image}", of.kind, of.label, of.reference, before, of.candidate, after))
    headings = ("image", "kind", "true class", reference, "%", "this file", "%")
    return TextTable(headings, rows, f"Images of {file} that changed their class", align="<<<<><>")


def _kind(flip: Flip) -> FlipKind:
    if flip.label == flip.reference:
        return "lost"
    return "gained" if flip.label == flip.candidate else "both wrong"


def _picture(image: NDArray[np.uint8]) -> str:
    pillow = load_pillow()
    picture = pillow.fromarray(image[..., 0] if image.shape[2] == 1 else image)
    picture.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE))
    stream = io.BytesIO()
    picture.save(stream, "png", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"
