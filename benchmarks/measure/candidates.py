"""What is measured and compared with which reference: the files of a manifest, or files from anywhere."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgecnn.benchmarks.gate.accuracy import reference_name
from edgecnn.benchmarks.measure.evaluation import require_labels
from edgecnn.benchmarks.measure.launches import Candidate
from edgecnn.benchmarks.measure.options import BenchOptions
from edgecnn.benchmarks.results.records import Unmeasured
from edgecnn.benchmarks.timing.latency import timed_inputs
from edgecnn.benchmarks.timing.requests import Classify, Open, Opened
from edgecnn.benchmarks.timing.worker import ModelProcess
from edgecnn.edge.data.splits import Split
from edgecnn.edge.errors import ArtifactError, ConfigError, field
from edgecnn.edge.files import sha256
from edgecnn.edge.formats import is_exported
from edgecnn.edge.inference.model_test_images import load_reference
from edgecnn.edge.manifest import Artifact, DatasetRecord
from edgecnn.edge.model.interface import Interface, formula
from edgecnn.edge.model.preprocess import Floats, Images
from edgecnn.edge.model_file import ModelFile, read_model
from edgecnn.edge.model_folder import ModelFolder
from edgecnn.edge.result import SILENT, Progress
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
    """The float model that files were made of, in the form of outputs stored by exports.

    Attributes:
        probabilities: For each candidate, those of its own float model on the test images, (n, classes).
        name: Name of the reference in texts.
    """

    probabilities: tuple[Floats, ...]
    name: str


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
        unmeasured: What one might expect to be measured, and is not.
    """

    folder: str
    candidates: tuple[Candidate, ...]
    class_names: tuple[str, ...]
    reference: StoredReference | MeasuredReference
    images: LabelledImages | None = None
    notes: tuple[str, ...] = ()
    unmeasured: tuple[Unmeasured, ...] = ()

    def is_reference(self, candidate: Candidate) -> bool:
        """Return whether the others are compared with this candidate: itself, or what was stored of it."""
        if isinstance(self.reference, MeasuredReference):
            return candidate.artifact.path == self.reference.name
        return not candidate.artifact.exported


def folder_candidates(
    folder: ModelFolder, options: BenchOptions, openers: Mapping[str, Sequence[Opener]], test: Split
) -> CandidateSet:
    """Return a manifest's files of the requested formats, compared with the stored outputs of the float model.

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
    # A device's float file that the others were made of is measured as the exported float32 file.
    listed = [artifact for artifact in manifest.artifacts if artifact.exported or not is_exported(artifact.format)]
    chosen = [artifact for artifact in listed if artifact.format in openers]
    for model_format in openers:
        if not any(artifact.format == model_format for artifact in chosen):
            source = "" if folder.bundle else f"{folder.path / manifest.source().path} "
            missing = f"{folder.named} has no {model_format} file"
            raise ConfigError(f"{missing}: run edgecnn export {source}{field('formats')}={model_format}")
    candidates, refused = list[Candidate](), list[Unmeasured]()
    for artifact in chosen:
        # Damaged or stale files must be reported before minutes of measuring.
        model = folder.model(artifact.path)
        for opener in openers[artifact.format]:
            try:
                opener.try_first(model, options.threads[0])
            except ArtifactError as error:
                if opener.runtime is None or not opener.runtime.by_name:
                    raise
                # edgecnn made these files for other runtimes.
                refused.append(Unmeasured(opener.runtime.name, str(error), artifact.path))
            else:
                name = named_by(artifact.path, opener, openers[artifact.format])
                candidates.append(replace(candidate_of(model, opener, options.threads[0], test), name=name))
    if not candidates:
        raise ArtifactError("; ".join(item.reason for item in refused))
    swept = with_threads(candidates, options)
    reference = StoredReference(tuple(stored for _ in swept), reference_name(manifest))
    images = LabelledImages(test, manifest.dataset)
    return CandidateSet(str(folder.named), swept, manifest.class_names, reference, images, unmeasured=tuple(refused))


def named_by(name: str, opener: Opener, openers: Sequence[Opener]) -> str:
    """Return a file's name in the result: with the runtime's, if several run it, or one that is not for this format alone."""
    if opener.runtime is None or (len(openers) == 1 and not opener.runtime.by_name):
        return name
    return f"{name} {opener.runtime.name}"


def models_candidates(folder: Path, files: Sequence[str], options: BenchOptions, opener: Opener, test: Split) -> CandidateSet:
    """Return files of several models trained on the same images, each compared with the float model in its folder.

    There is one file of each model, for example `8-16-16/int8.tflite`, in the folders of `folder`, and `opener` opens them all.
    The other arguments and the errors are those of `folder_candidates`.
    """
    candidates, stored, manifests = [], [], []
    for file in files:
        model = read_model(folder / file)
        if model.manifest is None:
            raise ValueError(f"files must have manifests, got {model.path}: {model.unverified}")
        manifests.append(model.manifest)
        opener.try_first(model, options.threads[0])
        candidate = candidate_of(model, opener, options.threads[0], test)
        candidates.append(replace(candidate, name=file, artifact=replace(candidate.artifact, path=file)))
        stored.append(load_reference(model.path.parent, model.manifest, test.labels))
    first, names = manifests[0], {reference_name(manifest) for manifest in manifests}
    images, named = LabelledImages(test, first.dataset), names.pop() if len(names) == 1 else "its float model"
    return CandidateSet(str(folder), tuple(candidates), first.class_names, StoredReference(tuple(stored), named), images)


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


@dataclass(frozen=True)
class BareFile:
    """A model file that was named individually.

    Attributes:
        model: The file.
        opener: How to open its format.
        interface: Preprocessing and output of the file. None if its manifest has them, and for random inputs.
        signature: Name of the signature to run; None if it has one.
    """

    model: ModelFile
    opener: Opener
    interface: Interface | None = None
    signature: str | None = None


def file_candidates(
    files: Sequence[BareFile],
    options: BenchOptions,
    images: LabelledImages | None = None,
    *,
    reference: int = 0,
    progress: Progress = SILENT,
) -> CandidateSet:
    """Return files from anywhere, compared with one of them or, without labelled images, for latency only.

    Every file is opened once, in a separate process, so that errors are reported before minutes of measuring.

    Args:
        files: The files, at least one.
        options: The numbers of threads; the formats are those of the files.
        images: The images for all files; None for random inputs, which any file with one input and output accepts.
        reference: Index of the file that accuracy is compared with, from 0.
        progress: Receives the steps.

    Raises:
        ArtifactError: If a file is missing or damaged, its runtime refuses it, or it has other classes than the reference.
        ConfigError: If a file is named twice, the images or labels don't fit it, or its preprocessing is missing.
        MissingDependency: If a runtime is not installed.
    """
    if not 0 <= reference < len(files):
        raise ValueError(f"reference must be one of {len(files)} files, got {reference}")
    names = _names(files)
    candidates, opened = [], []
    for place, (name, file) in enumerate(zip(names, files, strict=True)):
        progress.step(place, len(files), f"opening {name}")
        candidate, found = _opened_once(name, file, options.threads[0], images.test if images else None)
        candidates.append(candidate)
        opened.append(found)
    for name, item in zip(names, opened, strict=True):
        if len(item.class_names) != len(opened[reference].class_names):
            raise ArtifactError(
                f"{name} has {len(item.class_names)} classes, {names[reference]} has {len(opened[reference].class_names)}: "
                "bench files with the same classes"
            )
    notes = [*(_told(names, files) if images else ()), *_unverified(names, files)]
    return CandidateSet(
        folder=", ".join(sorted({str(file.model.path.parent) for file in files})),
        candidates=with_threads(candidates, options),
        class_names=opened[reference].class_names,
        reference=MeasuredReference(names[reference]),
        images=images,
        notes=tuple(notes),
    )


def _opened_once(name: str, file: BareFile, threads: int, test: Split | None) -> tuple[Candidate, Opened]:
    """Open a file in a separate process, and let it classify the images for timing if they are labelled."""
    model = file.model
    file.opener.try_first(model, threads, file.signature)
    request = Open(
        path=model.path,
        sha256=sha256(model.data),
        opener=file.opener,
        threads=threads,
        images=None if test is None else timed_images(test),
        interface=file.interface,
        signature=file.signature,
    )
    with ModelProcess(request) as process:
        if request.images is not None:
            process.ask(Classify(request.images))  # Raises if the output is not of the stated kind.
    if test is not None:
        require_labels(name, len(process.opened.class_names), test)
    return Candidate(name, _artifact(name, model, process.opened), request), process.opened


def _names(files: Sequence[BareFile]) -> list[str]:
    """Return the names of the files for results: with the folder only if needed to distinguish two."""
    short = [file.model.path.name for file in files]
    several = len(set(short)) < len({id(file.model) for file in files})
    names = [str(file.model.path) for file in files] if several else short
    beside = [[other.opener for other in files if other.model is file.model] for file in files]
    names = [named_by(name, file.opener, openers) for name, file, openers in zip(names, files, beside, strict=True)]
    names = [f"{name} {file.signature}" if file.signature else name for name, file in zip(names, files, strict=True)]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"{name} is named twice: name each file once")
    return names


def _told(names: Sequence[str], files: Sequence[BareFile]) -> list[str]:
    """Return how files without a manifest are taken, as stated or found, once for files that are taken alike."""
    told: dict[str, list[str]] = {}
    for name, file in zip(names, files, strict=True):
        if file.interface:
            taken = f"{formula(file.interface.preprocessing)}, outputs are {file.interface.output}"
            told.setdefault(taken, []).append(name)
    return [f"{', '.join(named)}: no manifest says it, unverified: inputs are {taken}." for taken, named in told.items()]


def _unverified(names: Sequence[str], files: Sequence[BareFile]) -> list[str]:
    found = [f"{name} ({file.model.unverified})" for name, file in zip(names, files, strict=True) if file.model.unverified]
    return [f"Unverified: {', '.join(found)}."] if found else []


def _artifact(name: str, model: ModelFile, opened: Opened) -> Artifact:
    if model.artifact:
        return replace(model.artifact, path=name)
    return Artifact(
        format=model.format,
        precision="unknown",
        path=name,
        size_bytes=len(model.data),
        sha256=sha256(model.data),
        source_sha256=None,
        input=opened.input,
        output=opened.output,
        oldest_runtime=None,
        parity=None,
    )
