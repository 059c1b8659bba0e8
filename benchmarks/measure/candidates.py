"""What is measured and compared with which reference, and the files of a manifest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgecnn.benchmarks.gate.accuracy import KERAS_REFERENCE
from edgecnn.benchmarks.measure.launches import Candidate
from edgecnn.benchmarks.measure.options import BenchOptions
from edgecnn.benchmarks.timing.latency import timed_inputs
from edgecnn.benchmarks.timing.requests import Open
from edgecnn.edge.data.splits import Split
from edgecnn.edge.errors import ArtifactError, ConfigError, field
from edgecnn.edge.inference.model_test_images import load_reference
from edgecnn.edge.manifest import DatasetRecord
from edgecnn.edge.model.preprocess import Floats, Images
from edgecnn.edge.model_file import ModelFile, read_model
from edgecnn.edge.model_folder import ModelFolder
from edgecnn.edge.runtimes.base import Opener


@dataclass(frozen=True)
class LabelledImages:
    """The test images that all files classify.

    Attributes:
        test: The images and their labels.
        record: Record of the images.
        groups: Number of each image's group (n,), such as the video that it is a frame of; None if the images are
            independent.
    """

    test: Split
    record: DatasetRecord
    groups: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class StoredReference:
    """The float Keras model, in the form of outputs stored by exports.

    Attributes:
        probabilities: For each candidate, those of its own Keras model on the test images, (n, classes).
        name: Name of the reference in texts.
    """

    probabilities: tuple[Floats, ...]
    name: str = KERAS_REFERENCE


@dataclass(frozen=True)
class MeasuredReference:
    """One of the candidates as the reference: the one whose artifact's path is `name`."""

    name: str


@dataclass(frozen=True)
class CandidateSet:
    """What a benchmark measures.

    Attributes:
        folder: Folder of the files.
        candidates: Files to measure, at least one.
        class_names: Class names by index.
        reference: What accuracy is compared with.
        images: Labelled test images; None for random inputs, which give latency only.
        notes: What a reader should know.
    """

    folder: str
    candidates: tuple[Candidate, ...]
    class_names: tuple[str, ...]
    reference: StoredReference | MeasuredReference
    images: LabelledImages | None = None
    notes: tuple[str, ...] = ()

    def is_reference(self, candidate: Candidate) -> bool:
        """Return whether the others are compared with this candidate."""
        return isinstance(self.reference, MeasuredReference) and candidate.artifact.path == self.reference.name


def folder_candidates(
    folder: ModelFolder, options: BenchOptions, openers: Mapping[str, Sequence[Opener]], test: Split
) -> CandidateSet:
    """Return a manifest's files of the requested formats, compared with the stored outputs of the float Keras model.

    Args:
        folder: A folder with a manifest, or a bundle.
        options: The numbers of threads.
        openers: Openers of each format, one for each runtime; files of other formats are skipped.
        test: Test images, which the caller has checked to be the manifest's.

    Raises:
        ArtifactError: If a file or the reference is missing, damaged or stale.
        ConfigError: If no file has these formats.
    """
    manifest = folder.manifest
    if manifest is None:
        raise ValueError(f"folder must have a manifest, got {folder.named}")
    stored = load_reference(folder.path, manifest, test.labels)
    chosen = [artifact for artifact in manifest.artifacts if artifact.format in openers]
    for model_format in openers:
        if not any(artifact.format == model_format for artifact in chosen):
            source = "" if folder.bundle else f"{folder.path / manifest.keras_model().path} "
            missing = f"{folder.named} has no {model_format} file"
            raise ConfigError(f"{missing}: run edgecnn export {source}{field('formats')}={model_format}")
    candidates, refused = [], []
    for artifact in chosen:
        # Damaged or stale files must be reported before minutes of measuring.
        model = folder.model(artifact.path)
        for opener in openers[artifact.format]:
            name = named_by(artifact.path, opener, openers[artifact.format])
            try:
                opener.try_first(model, options.threads[0])
            except ArtifactError as error:
                if not _is_guest(opener):
                    raise
                refused.append(f"{name} was not measured: {error}.")
            else:
                candidates.append(replace(candidate_of(model, opener, options.threads[0], test), name=name))
    if not candidates:
        raise ArtifactError("; ".join(refused))
    swept = with_threads(candidates, options)
    reference = StoredReference(tuple(stored for _ in swept))
    images = LabelledImages(test, manifest.dataset)
    return CandidateSet(str(folder.named), swept, manifest.class_names, reference, images, tuple(refused))


def named_by(name: str, opener: Opener, openers: Sequence[Opener]) -> str:
    """Return a file's name in the result: with the runtime's, if several run it, or one that is not for this format alone."""
    alone = opener.runtime is None or (len(openers) == 1 and not _is_guest(opener))
    return name if alone or opener.runtime is None else f"{name} {opener.runtime.name}"


def _is_guest(opener: Opener) -> bool:
    """Return whether a runtime must be named to run these files, which it may refuse: edgecnn made them for others."""
    return opener.runtime is not None and opener.runtime.by_name


def models_candidates(
    folder: Path, files: Sequence[str], options: BenchOptions, openers: dict[str, Opener], test: Split
) -> CandidateSet:
    """Return files of several models trained on the same images, each compared with the float Keras model in its folder.

    Args:
        folder: Folder that holds a folder with a manifest for each model.
        files: One file of each model, for example `8-16-16/int8.tflite`.
        options: As in `folder_candidates`.
        openers: As in `folder_candidates`.
        test: As in `folder_candidates`.

    Raises:
        ArtifactError: As in `folder_candidates`.
    """
    candidates, stored, manifests = [], [], []
    for file in files:
        model = read_model(folder / file)
        if model.manifest is None:
            raise ValueError(f"files must have manifests, got {model.path}: {model.unverified}")
        manifests.append(model.manifest)
        openers[model.format].try_first(model, options.threads[0])
        candidate = candidate_of(model, openers[model.format], options.threads[0], test)
        candidates.append(replace(candidate, name=file, artifact=replace(candidate.artifact, path=file)))
        stored.append(load_reference(model.path.parent, model.manifest, test.labels))
    first = manifests[0]
    images = LabelledImages(test, first.dataset)
    return CandidateSet(str(folder), tuple(candidates), first.class_names, StoredReference(tuple(stored)), images)


def candidate_of(model: ModelFile, opener: Opener, threads: int, test: Split) -> Candidate:
    """Return a file that a manifest lists as a candidate, to be measured on the first of these images."""
    artifact = model.artifact
    if artifact is None:
        raise ValueError(f"model must be listed in a manifest, got {model.path}: {model.unverified}")
    return Candidate(artifact.path, artifact, Open(model.path, artifact.sha256, opener, threads, timed_images(test)))


def with_threads(candidates: Sequence[Candidate], options: BenchOptions) -> tuple[Candidate, ...]:
    """Return each candidate once per number of threads, which its name shows if there are several."""
    if len(options.threads) == 1:
        return tuple(candidates)
    return tuple(
        replace(candidate, name=f"{candidate.name} x{threads}", request=replace(candidate.request, threads=threads))
        for candidate in candidates
        for threads in options.threads
    )


def timed_images(test: Split) -> Images:
    """Return the images that files are timed on, the first of these."""
    if not len(test.labels):
        raise ConfigError(f"there are no test images: name others with {field('data')}")
    height, width, channels = test.shape
    return test.images(range(min(timed_inputs(height * width * channels), len(test.labels))))
