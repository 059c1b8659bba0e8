"""Puts a threshold into the manifest of exported files, as an export with a limit for errors does."""

from dataclasses import replace
from pathlib import Path

from edgecnn.edge.manifest import Manifest
from edgecnn.edge.model.threshold import ScoreName, Strangers, Threshold

THRESHOLD = Threshold(
    score="probability",
    least=0.9,
    max_error=0.01,
    confidence=0.95,
    tests=12,
    images=1000,
    images_sha256="0" * 64,
    accepted=950,
    wrong=1,
    strangers=(Strangers("noise", 256, 3, 200),),
)


def with_threshold(folder: Path, least: float, score: ScoreName = "probability") -> Path:
    """Give every exported file of a folder this threshold, and return the folder."""
    manifest, threshold = Manifest.load(folder), replace(THRESHOLD, least=least, score=score)
    files = (replace(one, threshold=threshold if one.exported else None) for one in manifest.artifacts)
    replace(manifest, artifacts=tuple(files)).save(folder)
    return folder
