"""What the server says of a picture. Field names are those of the JSON; `openapi.py` describes the same."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edgecnn.edge.model.preprocess import Images
from edgecnn.edge.serving.decoder import Rule
from edgecnn.edge.serving.models import LoadedFile
from edgecnn.edge.text import printable


class Problem(Exception):
    """A request that gets an error instead of an answer.

    Attributes:
        status: HTTP status.
        text: One line for a person; it names no path of this machine.
        headers: Further headers of the response.
    """

    def __init__(self, status: int, text: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(text)
        self.status, self.text, self.headers = status, printable(text), headers or {}


@dataclass(frozen=True)
class Ranked:
    """A class with its probability, 0 to 1."""

    label: str
    probability: float


@dataclass(frozen=True)
class Answer:
    """One file's answer.

    Attributes:
        file: Name of the file.
        sha256: Its hash, as hexadecimal digits.
        runtime: Package and version that ran it.
        label: The most probable class.
        probability: Its probability, 0 to 1.
        top: The most probable classes, best first.
        inference_us: Time of `Classifier.probabilities` for this image, in microseconds.
        agrees: Whether the reference file names the same class; None for the reference itself, or if it did not answer.
    """

    file: str
    sha256: str
    runtime: str
    label: str
    probability: float
    top: tuple[Ranked, ...]
    inference_us: float
    agrees: bool | None


def answers_of(
    files: tuple[LoadedFile, ...], reference: str | None, images: Mapping[Rule, Images], top: int
) -> tuple[Answer, ...]:
    """Return the answer of each file to one picture.

    Args:
        files: The files that answer.
        reference: Name of the file that others are compared with.
        images: The picture as uint8 (h, w, c), by the rule that fitted it; files of one shape may have other rules.
        top: Number of classes to name.

    Raises:
        ArtifactError: If a file's output is no probabilities.
    """
    found = [(file, *file.timed(images[file.rule])) for file in files]
    expected = next((int(row.argmax()) for file, row, _ in found if file.name == reference), None)
    answers = []
    for file, row, inference_ns in found:
        names = file.classifier.class_names
        # Of equal probabilities the first class comes first, as in argmax.
        order = np.argsort(-row, kind="stable")[:top].tolist()
        ranked = tuple(Ranked(names[index], float(row[index])) for index in order)
        agrees = None if expected is None or file.name == reference else order[0] == expected
        answers.append(
            Answer(
                file.name,
                file.sha256,
                file.classifier.runtime_text,
                ranked[0].label,
                ranked[0].probability,
                ranked,
                inference_ns / 1e3,
                agrees,
            )
        )
    return tuple(answers)
