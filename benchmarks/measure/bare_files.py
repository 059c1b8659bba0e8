"""Files from elsewhere: compared with one of them, or measured for their latency only."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from edgecnn.benchmarks.measure.candidates import (
    CandidateSet,
    LabelledImages,
    MeasuredReference,
    named_by,
    timed_images,
    with_threads,
)
from edgecnn.benchmarks.measure.evaluation import require_labels
from edgecnn.benchmarks.measure.launches import Candidate
from edgecnn.benchmarks.measure.options import BenchOptions
from edgecnn.benchmarks.timing.process import ModelProcess
from edgecnn.benchmarks.timing.requests import Classify, Open, Opened
from edgecnn.edge.data.splits import Split
from edgecnn.edge.errors import ArtifactError, ConfigError
from edgecnn.edge.files import sha256
from edgecnn.edge.manifest import Artifact
from edgecnn.edge.model.interface import Interface, formula
from edgecnn.edge.model_file import ModelFile
from edgecnn.edge.result import SILENT, Progress
from edgecnn.edge.runtimes.base import Opener

UNKNOWN_PRECISION = "unknown"


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
    """Return the user's statements about the files, once for files with the same statement."""
    told: dict[str, list[str]] = {}
    for name, file in zip(names, files, strict=True):
        if file.interface:
            taken = f"{formula(file.interface.preprocessing)}, outputs are {file.interface.output}"
            told.setdefault(taken, []).append(name)
    return [f"{', '.join(named)}: as stated by you, unverified: inputs are {taken}." for taken, named in told.items()]


def _unverified(names: Sequence[str], files: Sequence[BareFile]) -> list[str]:
    found = [f"{name} ({file.model.unverified})" for name, file in zip(names, files, strict=True) if file.model.unverified]
    return [f"Unverified: {', '.join(found)}."] if found else []


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
