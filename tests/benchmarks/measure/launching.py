"""Helpers for the tests of launches."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from edgecnn.benchmarks.measure.launches import Candidate
from edgecnn.benchmarks.timing.requests import Open
from edgecnn.edge.manifest import Manifest
from edgecnn.edge.model.preprocess import Images
from edgecnn.edge.runtimes import opener_for
from edgecnn.edge.runtimes.base import Opener

IMAGES: Images = np.random.default_rng(0).integers(0, 256, (4, 12, 12, 1)).astype(np.uint8)
NAMES = ("float32.tflite", "int8.tflite", "float32.onnx")


def candidates(folder: Path, *names: str, opener: Opener | None = None) -> list[Candidate]:
    found = []
    for name in names:
        artifact = Manifest.load(folder).artifact(name)
        assert artifact
        request = Open(folder / name, artifact.sha256, opener or opener_for(artifact.format), 1, IMAGES)
        found.append(Candidate(name, artifact, request))
    return found


def nothing(*anything: object) -> None:
    """Act as a `finish` that asks for nothing, or a progress that nobody sees."""


class Stepping:
    """Progress that calls a function at each step, and keeps the lines."""

    def __init__(self, on_step: Callable[..., None]) -> None:
        self.step = on_step
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)
