"""Predictions for named images, for people and machines."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.model.preprocess import Images
from edgecnn.edge.records import unrecorded
from edgecnn.edge.result import Result
from edgecnn.edge.text import WIDTH, printable

TOP = 5
"""Number of classes that the text shows for each image; the JSON has all."""

# Larger images, which are photos, are not drawn with characters.
_DRAWN = 32
_SHADES = " ░▒▓█"
_CHUNK = 64


@dataclass(frozen=True)
class PredictedImage:
    """One image of `edgecnn predict`.

    Attributes:
        image: Name of the image.
        label: The true label, or None if unknown.
        predicted: The most probable label.
        probabilities: Probability of each label, 0 to 1, for all classes.
        doubt: One sentence on why light and dark may have been confused; None if they were clear.
    """

    image: str
    label: str | None
    predicted: str
    probabilities: dict[str, float]
    doubt: str | None = None


class Chosen(NamedTuple):
    """An image to classify: uint8 (h, w, c), its name, its true label if known, and doubts about it."""

    image: Images
    name: str
    label: str | None = None
    doubt: str | None = None


@dataclass(frozen=True, repr=False)
class Predicted(Result):
    """The predictions for all images, and the runtime.

    Attributes:
        file: The model file.
        runtime: Package and version that ran it.
        unverified: Why the file is unverified, or None.
        images: The predictions, in the order of the request.
        notes: What else a reader must know, one sentence each; not in the JSON.
        pixels: uint8 (h, w, c) of each image as the model got it; empty if they were not kept; not in the JSON.
        top: Number of classes that the text shows for each image; not in the JSON.
    """

    file: str
    runtime: str
    unverified: str | None
    images: tuple[PredictedImage, ...]
    notes: tuple[str, ...] = unrecorded(())
    pixels: tuple[Images, ...] = unrecorded(())
    top: int = unrecorded(TOP)

    def to_text(self, width: int = WIDTH) -> str:
        """Return each image drawn with characters, its labels and probabilities, and the runtime."""
        return "\n".join([predicted_text(self), *self.notes])

    def rows(self) -> list[dict[str, Any]]:
        """Return one dict per image; the probability is that of the predicted class, 0 to 1."""
        return [
            {
                "image": item.image,
                "label": item.label,
                "predicted": item.predicted,
                "probability": item.probabilities[item.predicted],
            }
            for item in self.images
        ]

    def save(self, path: str | Path) -> None:
        """Draw the images with their labels into a .png file, at most the first 200.

        Raises:
            ConfigError: If the file can't be written.
            MissingDependency: If Pillow is not installed.
            ValueError: If the pixels were not kept.
        """
        from edgecnn.edge.inference.prediction_figure import save_figure  # noqa: PLC0415 - Only for a picture.

        if not self.pixels:
            raise ValueError("the pixels were not kept: predict with keep_pixels=True")
        save_figure(Path(path), self.pixels, [(Path(item.image).name, labels(item)) for item in self.images])

    def __repr__(self) -> str:
        return f"<Predicted {self.file}: {', '.join(item.predicted for item in self.images)}>"


def predict_images(file: Path, classifier: Classifier, chosen: Iterable[Chosen], keep_pixels: bool = True) -> Predicted:
    """Classify images, with few in memory at a time unless their pixels are kept."""
    found: list[PredictedImage] = []
    pixels: list[Images] = []
    for chunk in _chunks(chosen):
        prediction = classifier.predict(np.stack([item.image for item in chunk]))
        for item, label, row in zip(chunk, prediction.labels, prediction.probabilities, strict=True):
            by_label = dict(zip(classifier.class_names, map(float, row), strict=True))
            found.append(PredictedImage(item.name, item.label, label, by_label, item.doubt))
        pixels += [item.image for item in chunk] if keep_pixels else []
    return Predicted(str(file), classifier.runtime_text, classifier.unverified, tuple(found), pixels=tuple(pixels))


def _chunks(items: Iterable[Chosen]) -> Iterator[list[Chosen]]:
    rest = iter(items)
    while chunk := list(islice(rest, _CHUNK)):
        yield chunk


def predicted_text(predicted: Predicted) -> str:
    """Return each image with its labels and probabilities, small ones also drawn with characters, and the runtime."""
    blocks = []
    for place, item in enumerate(predicted.images):
        block = f"{printable(item.image)}: {printable(labels(item))}\n{_bars(item, predicted.top)}"
        image = predicted.pixels[place] if predicted.pixels else None
        if image is not None and max(image.shape[:2]) <= _DRAWN:
            block = f"{drawn(image)}\n\n{block}"
        blocks.append(block)
    return "\n\n".join(blocks) + f"\n\n{printable(predicted.file)}, {predicted.runtime}"


def drawn(image: Images) -> str:
    """Draw an image (h, w, c) with block characters, at most 64 columns; one character covers twice as many rows as columns."""
    grey = image.mean(axis=2)
    step = -(-grey.shape[1] // 64)
    rows, columns = -(-grey.shape[0] // (2 * step)), -(-grey.shape[1] // step)
    padded = np.zeros((rows * 2 * step, columns * step))
    padded[: grey.shape[0], : grey.shape[1]] = grey
    cells = padded.reshape(rows, 2 * step, columns, step).mean(axis=(1, 3))
    shades = (cells / 256 * len(_SHADES)).astype(int)
    return "\n".join("".join(_SHADES[shade] for shade in row).rstrip() for row in shades)


def labels(item: PredictedImage) -> str:
    """Return the true label, if known, and the predicted one."""
    known = f"label {item.label}, " if item.label is not None else ""
    return f"{known}predicted {item.predicted} ({item.probabilities[item.predicted]:.1%}){', doubtful' if item.doubt else ''}"


def _bars(item: PredictedImage, top: int) -> str:
    rows = sorted(item.probabilities.items(), key=lambda pair: -pair[1])[:top]
    rows = [(printable(label), value) for label, value in rows]
    wide = max(len(label) for label, _ in rows)
    lines = [f"  {label:>{wide}}  {value:7.2%}  {'█' * round(30 * value)}".rstrip() for label, value in rows]
    if len(item.probabilities) > top > 1:
        lines.append(f"  the {top} most probable of {len(item.probabilities)} classes")
    return "\n".join(lines)
