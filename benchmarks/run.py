"""Artifacts -> Report."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy import Accuracy, compare
from benchmarks.gate import Budget, Verdict, join, judge
from benchmarks.host import Host, read_host
from benchmarks.latency import TIMED_REGION, LatencySample, Plan
from benchmarks.process import ModelProcess
from benchmarks.statistics import LatencySummary, summarize
from benchmarks.worker import Classify, Open, Time
from edge.errors import ArtifactError, ConfigError
from edge.files import read_bytes, sha256
from edge.manifest import Artifact, DatasetRecord, Manifest
from edge.model_file import read_model
from edge.preprocess import Floats, Images
from edge.runtimes import Opener

SCHEMA = 1

# Enough different inputs that no cache learns them, few enough that converting them does not show in the peak memory.
_TIMED_IMAGES = 100


@dataclass(frozen=True)
class FileResult:
    """One measured file.

    Attributes:
        artifact: The manifest's entry.
        runtime: Package and version that ran it.
        import_ns: Importing the runtime's package, in a fresh process.
        load_ns: From the file's bytes to a model that can run.
        peak_memory_bytes: Of the process, after the timed runs.
        latency: Raw times.
        summary: What follows from them.
        accuracy: On all test images, beside the reference.
        verdict: PASS or FAIL.
    """

    artifact: Artifact
    runtime: str
    import_ns: int
    load_ns: int
    peak_memory_bytes: int
    latency: LatencySample
    summary: LatencySummary
    accuracy: Accuracy
    verdict: Verdict


@dataclass(frozen=True)
class Report:
    """A whole benchmark.

    Attributes:
        schema: Number of this record's layout.
        folder: Where the files were.
        dataset: The images.
        threads: Of each runtime.
        plan: How long was measured.
        timed_region: What is inside the timed region.
        budget: What was allowed.
        before: The machine before the first file.
        after: The machine after the last.
        files: In the manifest's order.
        verdict: On all of them.
    """

    schema: int
    folder: str
    dataset: DatasetRecord
    threads: int
    plan: Plan
    timed_region: str
    budget: Budget
    before: Host
    after: Host
    files: tuple[FileResult, ...]
    verdict: Verdict


def benchmark(
    folder: Path,
    formats: tuple[str, ...],
    openers: dict[str, Opener],
    images: Images,
    labels: NDArray[np.int64],
    threads: int,
    plan: Plan,
    budget: Budget,
    on_step: Callable[[str], None] = lambda text: None,
) -> Report:
    """Measure and judge the folder's files, each in a process of its own, one after another.

    Args:
        folder: With a manifest.
        formats: Which of the manifest's files to measure.
        openers: How to open each of these formats.
        images: The test images uint8 (n, h, w, c); the caller has checked that they are the manifest's.
        labels: Theirs, int64 (n,).
        threads: Of each runtime, 1 to 64.
        plan: How long to measure.
        budget: What is allowed.
        on_step: Gets a line before each file.

    Raises:
        ArtifactError: If a file or the reference is missing, damaged or stale, or a runtime crashes on it.
        ConfigError: If no file is of these formats, or `threads` is not 1 to 64.
        MissingDependency: If a runtime is not installed.
    """
    manifest = Manifest.load(folder)
    reference = load_reference(folder, manifest)
    chosen = [artifact for artifact in manifest.artifacts if artifact.format in formats]
    for model_format in formats:
        if not any(artifact.format == model_format for artifact in chosen):
            raise ConfigError(f"{folder} has no {model_format} file: run edgecnn export --format {model_format}")
    for artifact in chosen:
        read_model(folder / artifact.path)  # A damaged or stale file is told before minutes of measuring.
    before = read_host()
    results = []
    for artifact in chosen:
        on_step(artifact.path)
        request = Open(folder / artifact.path, artifact.sha256, openers[artifact.format], threads)
        results.append(_measure(artifact, request, images, labels, reference, plan, budget))
    verdict = join(tuple(result.verdict for result in results))
    return Report(
        schema=SCHEMA,
        folder=str(folder),
        dataset=manifest.dataset,
        threads=threads,
        plan=plan,
        timed_region=TIMED_REGION,
        budget=budget,
        before=before,
        after=read_host(),
        files=tuple(results),
        verdict=verdict,
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


def _export(folder: Path, manifest: Manifest) -> str:
    return f"run edgecnn export {folder / manifest.keras_model().path}"


def _measure(
    artifact: Artifact,
    request: Open,
    images: Images,
    labels: NDArray[np.int64],
    reference: Floats,
    plan: Plan,
    budget: Budget,
) -> FileResult:
    with ModelProcess(request) as process:
        sample, peak_memory = process.time(Time(images[:_TIMED_IMAGES], plan))
        accuracy = compare(process.classify(Classify(images)), reference, labels)
        opened = process.opened
    verdict = judge(artifact.path, accuracy, budget)
    return FileResult(
        artifact,
        opened.runtime,
        opened.import_ns,
        opened.load_ns,
        peak_memory,
        sample,
        summarize(sample),
        accuracy,
        verdict,
    )
