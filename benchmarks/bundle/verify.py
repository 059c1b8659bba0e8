"""Verifies that a file computes here what its reference computes."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial
from math import inf
from pathlib import Path

import numpy as np

from edgecnn.benchmarks.gate.accuracy import reference_name
from edgecnn.edge.data.recorded_images import require_recorded
from edgecnn.edge.data.splits import CHUNK, Split, chunks
from edgecnn.edge.errors import ArtifactError, ConfigError, field, setting
from edgecnn.edge.formats import PRECISIONS
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.inference.model_test_images import load_reference
from edgecnn.edge.inference.usage import Usage, reservations
from edgecnn.edge.manifest import Artifact
from edgecnn.edge.model.preprocess import LEAST_SPREAD, Floats
from edgecnn.edge.model_file import ModelFile, read_model
from edgecnn.edge.model_folder import ModelFolder
from edgecnn.edge.records import unrecorded
from edgecnn.edge.result import Progress, Result

# Step of an output without a scale: 8 bits over 0 to 1.
_STEP = 1 / 256


@dataclass(frozen=True, repr=False)
class Verification(Result):
    """A file compared with its reference on the same images.

    Attributes:
        file: Name of the file.
        reference: Name of the reference.
        images: Number of images.
        same_class: Number of them with the same most probable class.
        largest_difference: Largest difference between two probabilities, 0 to 1.
        mean_difference: Mean over the images of each one's largest difference.
        worst_image: Index of the image with the largest difference, from 0.
        tolerance: Largest accepted difference, 0 to 1.
        spread: Largest range of any class's probability over the images, 0 to 1, of the file or of the reference,
            whichever is smaller.
        passed: Whether the difference is within the tolerance, and `same_for_all` is false.
        notes: What else a reader must know, one sentence each; not in the JSON.
    """

    file: str
    reference: str
    images: int
    same_class: int
    largest_difference: float
    mean_difference: float
    worst_image: int
    tolerance: float
    spread: float
    passed: bool
    notes: tuple[str, ...] = unrecorded(())

    @property
    def problem(self) -> str | None:
        """The problem and its fix; None if it passed."""
        if self.same_for_all:
            return f"{self.file}: {same_for_all_text(self)}: train the model, or name other images"
        if self.passed:
            return None
        return (
            f"{self.file} differs from {self.reference} by {self.largest_difference:.3g} on test image {self.worst_image}, the "
            f"limit is {self.tolerance:.3g}: export it again, update its runtime, or say with "
            f"{setting('tolerance')} what a quantized file may differ by"
        )

    @property
    def same_for_all(self) -> bool:
        """Whether the outputs are the same for all images: then any file with these outputs agrees."""
        return self.images > 1 and self.spread <= LEAST_SPREAD


def verified(
    models: ModelFolder, reference: Path | None, usage: Usage, tolerance: float | None, progress: Progress
) -> Verification:
    """Compare an opened file with another file of the model, or with the stored outputs of the float model.

    Errors are those of `edgecnn.verify`.
    """
    model = models.model()
    shown = models.shown(model.path.name)
    progress.say(f"{shown}: loading")
    other = read_model(reference) if reference else None
    classifier = usage.classifier(model, [other] if other else [])
    test = usage.test_images(models, shown, classifier, progress)
    if other:
        name, expected = str(reference), _of_another(other, model, classifier, usage, test)
    elif classifier.manifest:
        require_recorded(classifier.manifest.dataset, test)
        stored = load_reference(models.folder, classifier.manifest, test.labels)
        name = reference_name(classifier.manifest)
        expected = (stored[start : start + CHUNK] for start in range(0, len(stored), CHUNK))
    else:
        raise ConfigError(f"{shown}: {classifier.unverified}: name another file of the model with {field('reference')}")
    compared = partial(progress.step, text="comparing")
    candidate = (classifier.judged_probabilities(chunk) for chunk in chunks(test, on_progress=compared))
    limit = tolerance_of(model.artifact) if tolerance is None else tolerance
    return replace(verify(shown, candidate, name, expected, limit), notes=reservations(classifier))


def _of_another(other: ModelFile, model: ModelFile, classifier: Classifier, usage: Usage, test: Split) -> Iterable[Floats]:
    """Return another file's probabilities for the same images."""
    opened = usage.classifier(other, [model])
    if opened.shape != classifier.shape:
        raise ConfigError(
            f"{other.path} takes images of {opened.shape}, {model.path} of {classifier.shape}: name files of one model"
        )
    return (opened.judged_probabilities(chunk) for chunk in chunks(test))


def verify(
    file: str, candidate: Iterable[Floats], reference_name: str, reference: Iterable[Floats], tolerance: float
) -> Verification:
    """Compare the class probabilities (n, classes) of a file and a reference, by the same chunks of images in their order.

    `tolerance` is the largest accepted difference of a probability, 0 to 1.

    Raises:
        ArtifactError: If the two have different classes, or one gives NaN.
        ConfigError: If there are no images, or the tolerance is out of range.
        ValueError: If the chunks have different numbers of images.
    """
    if not 0 <= tolerance <= 1:
        raise ConfigError(f"{field('tolerance')} must be 0 to 1, got {tolerance}")
    images = same = worst = 0
    largest, summed = -1.0, 0.0
    ranges: list[Floats] = []  # (file or reference, classes): lowest and highest of each chunk.
    for ours, theirs in zip(candidate, reference, strict=True):
        _require_comparable((file, ours), (reference_name, theirs))
        if not len(ours):
            continue
        ranges += [np.stack([ours.min(0), theirs.min(0)]), np.stack([ours.max(0), theirs.max(0)])]
        differences = np.abs(ours - theirs).max(axis=1)
        place = int(differences.argmax())
        if differences[place] > largest:
            largest, worst = float(differences[place]), images + place
        same += int((ours.argmax(axis=1) == theirs.argmax(axis=1)).sum())
        summed += float(differences.sum(dtype=np.float64))
        images += len(ours)
    if not images:
        raise ConfigError(f"there are no images to verify {file} on: name others with {field('data')}")
    spread = float(np.ptp(ranges, axis=0).max(axis=1).min())
    result = Verification(
        file=file,
        reference=reference_name,
        images=images,
        same_class=same,
        largest_difference=largest,
        mean_difference=summed / images,
        worst_image=worst,
        tolerance=tolerance,
        spread=spread,
        passed=largest <= tolerance,
    )
    return replace(result, passed=False) if result.same_for_all else result


def _require_comparable(candidate: tuple[str, Floats], reference: tuple[str, Floats]) -> None:
    """Refuse probabilities of other classes or images than the reference's, and what is no number. Each with its name."""
    (file, ours), (reference_name, theirs) = candidate, reference
    if ours.shape[1] != theirs.shape[1]:
        raise ArtifactError(
            f"{file} has {ours.shape[1]} classes, {reference_name} has {theirs.shape[1]}: compare files of one model"
        )
    if len(ours) != len(theirs):
        raise ValueError(f"chunks must be of the same images, got {len(ours)} and {len(theirs)}")
    for name, rows in (candidate, reference):
        if not np.isfinite(rows).all():
            raise ArtifactError(f"{name} gives NaN or infinite probabilities: train or export the model again")


def tolerance_of(artifact: Artifact | None) -> float:
    """Return the largest accepted difference of a file's probabilities from its source's, on the export's test images.

    A file that no manifest lists (None) is treated as a float32 file.

    A float file has a fixed tolerance. A quantized one differs by design: its tolerance is the difference recorded at its
    export plus one step of its output, since kernels of two machines round halves differently.

    Raises:
        ConfigError: If no difference is recorded for such a file.
    """
    if artifact is None:
        return PRECISIONS["float32"].tolerance
    row = PRECISIONS.get(artifact.precision)
    if row and row.tolerance < inf:
        return row.tolerance
    if artifact.parity is None:
        raise ConfigError(f"{artifact.path} has no record of how much it may differ: state it with {field('tolerance')}")
    quantization = artifact.output.quantization
    return min(artifact.parity.max_difference + (quantization.scales[0] if quantization else _STEP), 1.0)


def same_for_all_text(result: Verification) -> str:
    """Return a warning that the outputs do not depend on the image."""
    return (
        f"the outputs are the same for all {result.images:,} images (they vary by {result.spread:.2g}), so agreement says "
        "nothing about the file"
    )
