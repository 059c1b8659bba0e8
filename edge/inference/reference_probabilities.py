"""Reads the stored reference: the float Keras model's probabilities on the test images, checked before use."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgecnn.edge.data.npz import read_npy
from edgecnn.edge.errors import ArtifactError
from edgecnn.edge.files import read_bytes, sha256
from edgecnn.edge.manifest import Manifest
from edgecnn.edge.model.metrics import correct
from edgecnn.edge.model.preprocess import Floats, are_probabilities


def load_reference(folder: Path, manifest: Manifest, labels: NDArray[np.int64]) -> Floats:
    """Return the float Keras model's probabilities float32 (n, classes) on the manifest's test images.

    Even with matching hashes, the stored numbers may not be a model's. So each row must be probabilities, and as many rows
    must agree with their label as the export counted.

    Args:
        folder: Folder with the manifest.
        manifest: The manifest.
        labels: Labels of the manifest's test images, int64 (n,).

    Raises:
        ArtifactError: If they are missing, damaged, from an earlier model, or contradict the manifest.
    """
    record = manifest.reference
    fix = f"run edgecnn export {folder / manifest.keras_model().path}"
    if record is None:
        raise ArtifactError(f"{folder} has no reference to judge by: {fix}")
    path = folder / record.path
    data = read_bytes(path)
    if sha256(data) != record.sha256:
        raise ArtifactError(f"{path} is not the file that the manifest lists: {fix}")
    if (record.source_sha256, record.test_sha256) != (manifest.keras_model().sha256, manifest.dataset.test_sha256):
        raise ArtifactError(f"{path} is stale: it is from an earlier model: {fix}")
    probabilities = read_npy(data, f"{path} is not an array", fix)
    shape = (len(labels), len(manifest.class_names))
    if (probabilities.shape, probabilities.dtype) != (shape, np.dtype("<f4")):
        raise ArtifactError(f"{path} holds {probabilities.dtype} {probabilities.shape}, not float32 {shape}: {fix}")
    if not are_probabilities(probabilities):
        raise ArtifactError(f"{path} does not hold class probabilities, whose rows sum to 1: {fix}")
    right = int(correct(probabilities, labels).sum())
    if (right, len(labels)) != (record.correct, record.images):
        raise ArtifactError(
            f"{path} is right on {right:,} of {len(labels):,} test images, but its manifest says {record.correct:,} of "
            f"{record.images:,}: {fix}"
        )
    return probabilities
