"""Predictions of named images, for people and machines."""

from dataclasses import dataclass


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


def labels(item: PredictedImage) -> str:
    """Return the true label, where known, and the predicted one."""
    known = f"label {item.label}, " if item.label is not None else ""
    return f"{known}predicted {item.predicted} ({item.probabilities[item.predicted]:.1%})"


def bars(item: PredictedImage) -> str:
    """Return the ten largest probabilities as bars."""
    rows = sorted(item.probabilities.items(), key=lambda pair: -pair[1])[:10]
    wide = max(len(label) for label, _ in rows)
    return "\n".join(f"  {label:>{wide}}  {value:7.2%}  {'█' * round(30 * value)}".rstrip() for label, value in rows)
