"""What is measured, and beside what: a manifest's files, or files from elsewhere."""

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.accuracy import KERAS_REFERENCE
from benchmarks.evaluation import require_labels
from benchmarks.latency import timed_inputs
from benchmarks.launches import Candidate, Progress
from benchmarks.options import Options
from benchmarks.process import ModelProcess
from benchmarks.requests import Classify, Open, Opened
from edge.errors import ArtifactError, ConfigError
from edge.files import read_bytes, sha256
from edge.interface import Interface, formula
from edge.manifest import Artifact, DatasetRecord, Manifest
from edge.model_file import ModelFile, read_model
from edge.preprocess import Floats, Images
from edge.runtimes import Opener
from edge.splits import Split

UNKNOWN_PRECISION = "unknown"


@dataclass(frozen=True)
class BareFile:
    """A model file that is named by itself.

    Attributes:
        path: The file.
        opener: How to open its format.
        interface: What it does not say of itself. None where a manifest beside it does, and for random inputs.
        signature: Which of its signatures to run; None where it has one.
    """

    path: Path
    opener: Opener
    interface: Interface | None = None
    signature: str | None = None


@dataclass(frozen=True)
class Lineup:
    """What a benchmark measures.

    Attributes:
        folder: Where the files are.
        candidates: At least one.
        test: The labelled images that all of them classify; None for random inputs, which give latency only.
        dataset: The images' record; None likewise.
        class_names: By class index; empty likewise.
        reference: What accuracy is compared with, as texts call it.
        stored: For each candidate its reference's probabilities (n, classes) on the test images; None where a candidate is
            the reference.
        measured: The file, as in its artifact's path, that is the reference; None where its probabilities are stored.
        notes: What a reader should know.
    """

    folder: str
    candidates: tuple[Candidate, ...]
    test: Split | None
    dataset: DatasetRecord | None
    class_names: tuple[str, ...]
    reference: str = KERAS_REFERENCE
    stored: tuple[Floats, ...] | None = None
    measured: str | None = None
    notes: tuple[str, ...] = ()


def folder_lineup(folder: Path, options: Options, openers: dict[str, Opener], test: Split) -> Lineup:
    """Line up a manifest's files of the asked formats beside what the export stored of the float Keras model.

    Args:
        folder: With a manifest.
        options: Which formats and numbers of threads.
        openers: How to open each of the formats.
        test: The test images; the caller has checked that they are the manifest's.

    Raises:
        ArtifactError: If a file or the reference is missing, damaged or stale.
        ConfigError: If no file is of these formats.
    """
    manifest = Manifest.load(folder)
    stored = load_reference(folder, manifest)
    chosen = [artifact for artifact in manifest.artifacts if artifact.format in options.formats]
    for model_format in options.formats:
        if not any(artifact.format == model_format for artifact in chosen):
            raise ConfigError(f"{folder} has no {model_format} file: run edgecnn export --format {model_format}")
    candidates = []
    for artifact in chosen:
        path = folder / artifact.path
        read_model(path)  # A damaged or stale file is told before minutes of measuring.
        candidates.append(candidate_of(path, manifest, openers[artifact.format], options.threads[0], test))
    swept = _swept(candidates, options)
    return Lineup(str(folder), swept, test, manifest.dataset, manifest.class_names, stored=tuple(stored for _ in swept))


def models_lineup(folder: Path, files: Sequence[str], options: Options, openers: dict[str, Opener], test: Split) -> Lineup:
    """Line up files of several models that learnt from the same images, each beside the float Keras model in its own folder.

    Args:
        folder: What holds a folder with a manifest for each model.
        files: Of each model one, as `8-16-16/int8.tflite`.
        options: As for `folder_lineup`.
        openers: Likewise.
        test: Likewise.

    Raises:
        ArtifactError: As `folder_lineup`.
    """
    candidates, stored = [], []
    for file in files:
        path = folder / file
        manifest = Manifest.load(path.parent)
        read_model(path)
        candidate = candidate_of(path, manifest, openers[path.suffix[1:]], options.threads[0], test)
        candidates.append(replace(candidate, name=file, artifact=replace(candidate.artifact, path=file)))
        stored.append(load_reference(path.parent, manifest))
    return Lineup(str(folder), tuple(candidates), test, manifest.dataset, manifest.class_names, stored=tuple(stored))


def file_lineup(
    files: Sequence[BareFile],
    options: Options,
    test: Split | None = None,
    dataset: DatasetRecord | None = None,
    reference: int = 0,
    on_progress: Progress = lambda done, steps, text: None,
) -> Lineup:
    """Line up files from anywhere, each beside one of them, or, without labelled images, for their latency alone.

    Every file is opened once, in a process of its own, so that what does not fit is told before minutes of measuring.

    Args:
        files: At least one.
        options: Which numbers of threads; the formats are the files' own.
        test: Labelled images that all files take; None for random inputs, which any file with one input and output takes.
        dataset: The images' record, with `test`.
        reference: Which of the files accuracy is compared with, from 0.
        on_progress: Gets steps done, steps in all, and what is done next.

    Raises:
        ArtifactError: If a file is missing or damaged, its runtime refuses it, or it has other classes than the reference.
        ConfigError: If a file is named twice, the images or labels don't fit it, or what it does not say of itself is missing.
        MissingDependency: If a runtime is not installed.
    """
    if not 0 <= reference < len(files) or (test is None) != (dataset is None):
        raise ValueError(f"reference must be one of {len(files)} files, got {reference}; test and dataset go together")
    names = _names(files)
    candidates, opened, unverified = [], [], []
    for place, (name, file) in enumerate(zip(names, files, strict=True)):
        on_progress(place, len(files), f"opening {name}")
        model = read_model(file.path)
        request = Open(
            path=file.path,
            sha256=sha256(model.data),
            opener=file.opener,
            threads=options.threads[0],
            images=None if test is None else _timed_images(test),
            interface=file.interface,
            signature=file.signature,
        )
        with ModelProcess(request) as process:
            opened.append(process.opened)
            if request.images is not None:
                process.ask(Classify(request.images))  # Refuses what is not of the kind that it was said to give.
        if test is not None:
            require_labels(name, len(process.opened.class_names), test)
        candidates.append(Candidate(name, _artifact(name, model, process.opened), request))
        if model.unverified:
            unverified.append(f"{name} ({model.unverified})")
    for name, item in zip(names, opened, strict=True):
        if len(item.class_names) != len(opened[reference].class_names):
            raise ArtifactError(
                f"{name} has {len(item.class_names)} classes, {names[reference]} has {len(opened[reference].class_names)}: "
                "bench files of the same classes"
            )
    notes = [] if test is None else _told(names, files)
    if unverified:
        notes.append(f"Nothing vouches for {', '.join(unverified)}.")
    return Lineup(
        folder=", ".join(sorted({str(file.path.parent) for file in files})),
        candidates=_swept(candidates, options),
        test=test,
        dataset=dataset,
        class_names=opened[reference].class_names,
        reference=names[reference],
        measured=None if test is None else names[reference],
        notes=tuple(notes),
    )


def load_reference(folder: Path, manifest: Manifest) -> Floats:
    """Return the float Keras model's probabilities float32 (n, classes) on the manifest's test images.

    Raises:
        ArtifactError: If they are missing, damaged, or of an earlier model.
    """
    record = manifest.reference
    if record is None:
        raise ArtifactError(f"{folder} has no reference to judge by: {_export(folder, manifest)}")
    path = folder / record.path
    data = read_bytes(path)
    if sha256(data) != record.sha256:
        raise ArtifactError(f"{path} is not the file that the manifest lists: {_export(folder, manifest)}")
    if (record.source_sha256, record.test_sha256) != (manifest.keras_model().sha256, manifest.dataset.test_sha256):
        raise ArtifactError(f"{path} is stale, it is of an earlier model: {_export(folder, manifest)}")
    probabilities: Floats = np.load(io.BytesIO(data), allow_pickle=False)
    return probabilities


def candidate_of(path: Path, manifest: Manifest, opener: Opener, threads: int, test: Split) -> Candidate:
    """Return one of a manifest's files as something to measure on the first of these images."""
    artifact = next(artifact for artifact in manifest.artifacts if artifact.path == path.name)
    return Candidate(artifact.path, artifact, Open(path, artifact.sha256, opener, threads, _timed_images(test)))


def _export(folder: Path, manifest: Manifest) -> str:
    return f"run edgecnn export {folder / manifest.keras_model().path}"


def _swept(candidates: Sequence[Candidate], options: Options) -> tuple[Candidate, ...]:
    """Return each candidate once for each number of threads, which its name tells where there are several."""
    if len(options.threads) == 1:
        return tuple(candidates)
    return tuple(
        replace(candidate, name=f"{candidate.name} x{threads}", request=replace(candidate.request, threads=threads))
        for candidate in candidates
        for threads in options.threads
    )


def _timed_images(test: Split) -> Images:
    if not len(test.labels):
        raise ConfigError("there are no test images: name others with --data")
    height, width, channels = test.shape
    return test.images(range(min(timed_inputs(height * width * channels), len(test.labels))))


def _names(files: Sequence[BareFile]) -> list[str]:
    """Return what results call the files: their names, with the folder only where it tells two apart."""
    short = [file.path.name for file in files]
    names = short if len(set(short)) == len(short) else [str(file.path) for file in files]
    names = [f"{name} {file.signature}" if file.signature else name for name, file in zip(names, files, strict=True)]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"{name} is named twice: name each file once")
    return names


def _told(names: Sequence[str], files: Sequence[BareFile]) -> list[str]:
    """Return what was said of the files by whoever named them, once for those of which the same was said."""
    told: dict[str, list[str]] = {}
    for name, file in zip(names, files, strict=True):
        if file.interface:
            taken = f"{formula(file.interface.preprocessing)}, outputs are {file.interface.output}"
            told.setdefault(taken, []).append(name)
    return [f"As was said of {', '.join(named)}, and is not verified: inputs are {taken}." for taken, named in told.items()]


def _artifact(name: str, model: ModelFile, opened: Opened) -> Artifact:
    if model.artifact:
        return replace(model.artifact, path=name)
    return Artifact(
        format=model.format,
        precision=UNKNOWN_PRECISION,
        path=name,
        size_bytes=len(model.data),
        sha256=sha256(model.data),
        source_sha256=None,
        input=opened.input,
        output=opened.output,
        oldest_runtime=None,
        parity=None,
    )
