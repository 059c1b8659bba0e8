"""Helpers for the tests of the measured process."""

from pathlib import Path

import numpy as np

from edgecnn.benchmarks.timing.requests import Open
from edgecnn.edge.files import sha256
from edgecnn.edge.model.preprocess import Images
from edgecnn.edge.runtimes import opener_for
from edgecnn.edge.runtimes.base import Opener

TFLITE = opener_for("tflite")
BLACK: Images = np.zeros((2, 12, 12, 1), np.uint8)


def request(path: Path, opener: Opener = TFLITE, images: Images = BLACK) -> Open:
    return Open(path, sha256(path.read_bytes()), opener, 1, images)
