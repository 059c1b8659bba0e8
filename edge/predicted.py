"""Predictions of named images, for people and machines."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge.classifier import Classifier
from edge.images import to_text
from edge.preprocess import Images

# Of several hundred classes a reader wants the first few; JSON has all.
_SHOWN = 10


@dataclass(frozen=True)
class PredictedImage:
    """One image of `edgecnn predict`: its name, true label if known, predicted label, and probability by label."""

    image: str
    label: str | None
    predicted: str
    probabilities: dict[str, float]


@dataclass(frozen=True)
class Predicted:
    """All of them, and what ran."""

    file: str
    runtime: str
    unverified: str | None
    images: tuple[PredictedImage, ...]


def predict_images(file: Path, classifier: Classifier, chosen: Sequence[tuple[str, str | None, Images]]) -> Predicted:
    """Classify images uint8 (h, w, c), each with its name and its true label where that is known."""
    prediction = classifier.predict(np.stack([image for _, _, image in chosen]))
    images = tuple(
        PredictedImage(name, label, prediction.labels[i], dict(zip(classifier.class_names, map(float, row), strict=True)))
        for i, ((name, label, _), row) in enumerate(zip(chosen, prediction.probabilities, strict=True))
    )
    return Predicted(str(file), prediction.runtime, classifier.unverified, images)


def predicted_text(predicted: Predicted, pixels: Sequence[Images]) -> str:
    """Return each image as a picture of characters with its labels and probabilities, and what ran."""
    blocks = [
        f"{to_text(image)}\n\n{item.image}: {labels(item)}\n{_bars(item)}"
        for image, item in zip(pixels, predicted.images, strict=True)
    ]
    return "\n\n".join(blocks) + f"\n\n{predicted.file}, {predicted.runtime}"


def labels(item: PredictedImage) -> str:
    """Return the true label, where known, and the predicted one."""
    known = f"label {item.label}, " if item.label is not None else ""
    return f"{known}predicted {item.predicted} ({item.probabilities[item.predicted]:.1%})"


def _bars(item: PredictedImage) -> str:
    rows = sorted(item.probabilities.items(), key=lambda pair: -pair[1])[:_SHOWN]
    wide = max(len(label) for label, _ in rows)
    lines = [f"  {label:>{wide}}  {value:7.2%}  {'█' * round(30 * value)}".rstrip() for label, value in rows]
    if len(item.probabilities) > _SHOWN:
        lines.append(f"  the {_SHOWN} most probable of {len(item.probabilities)} classes")
    return "\n".join(lines)
