"""Artifacts -> Report."""

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy import compare
from benchmarks.budgets import Budgets
from benchmarks.extras import Extra, measure_extra
from benchmarks.gate import Figures, Policy, join, judge
from benchmarks.host import State, read_machine, read_state
from benchmarks.latency import TIMED_REGION
from benchmarks.launches import Candidate, Measured, Progress, measure
from benchmarks.noise import Noise, machine_noise, time_noise
from benchmarks.options import Options
from benchmarks.process import ModelProcess
from benchmarks.results import SCHEMA, FileResult, Report
from benchmarks.summary import fastest, launch_percentile, round_medians, summarize
from benchmarks.worker import Open
from edge.errors import ArtifactError, ConfigError
from edge.files import read_bytes, sha256
from edge.manifest import Manifest
from edge.model_file import read_model
from edge.preprocess import Floats, Images
from edge.runtimes import Opener

# Enough different inputs that no cache learns them, few enough that converting them does not show in the peak memory.
_TIMED_IMAGES = 100


def benchmark(
    folder: Path,
    options: Options,
    budgets: Budgets,
    policy: Policy,
    openers: dict[str, Opener],
    images: Images,
    labels: NDArray[np.int64],
    command: str,
    versions: dict[str, str],
    notes: tuple[str, ...] = (),
    on_progress: Progress = lambda done, steps, text: None,
) -> Report:
    """Measure and judge the folder's files.

    Args:
        folder: With a manifest.
        options: What to measure, and how.
        budgets: What is allowed.
        policy: What to do with noise.
        openers: How to open each of the formats.
        images: The test images uint8 (n, h, w, c); the caller has checked that they are the manifest's.
        labels: Theirs, int64 (n,).
        command: To repeat it, for the report.
        versions: Of what measures, for the report.
        notes: For the report.
        on_progress: Gets steps done, steps in all, and what is done next.

    Raises:
        ArtifactError: If a file or the reference is missing, damaged or stale, or a runtime crashes on it.
        ConfigError: If no file is of these formats, or a limit is for none of the measured ones.
        InvalidMeasurement: If the machine does not tell a process's memory.
        MissingDependency: If a runtime is not installed.
    """
    manifest = Manifest.load(folder)
    reference = load_reference(folder, manifest)
    candidates = _candidates(folder, manifest, options, openers, images)
    notes = (*notes, *_unjudged(candidates, budgets))
    machine, before = read_machine(), read_state()

    def finish(processes: Sequence[ModelProcess]) -> list[Extra]:
        pairs = zip(candidates, processes, strict=True)
        return [
            measure_extra(candidate, process, options, images, on_progress, place, len(candidates))
            for place, (candidate, process) in enumerate(pairs)
        ]

    measured, extras = measure(candidates, options.plan, finish, on_progress)
    after = read_state()
    # Not `after`: what a sustained run does to the machine says nothing of the rounds before it.
    noise = _noise(candidates, measured, (before, *measured.during))
    best = fastest(measured.launches)
    files = []
    for index, candidate in enumerate(candidates):
        launches, extra = measured.launches[index], extras[index]
        accuracy = compare(extra.probabilities, reference, labels)
        latency = summarize(launches, measured.launches[best], options.percents)
        budget = budgets.of(candidate.artifact.path)
        figures = Figures(
            name=candidate.name,
            exported=candidate.artifact.format != "keras",
            size_bytes=candidate.artifact.size_bytes,
            peak_memory_bytes=latency.peak_memory_bytes,
            p90=launch_percentile(launches, 90),
            accuracy=accuracy,
        )
        files.append(
            FileResult(
                name=candidate.name,
                artifact=candidate.artifact,
                runtime=measured.runtimes[index],
                threads=candidate.request.threads,
                launches=launches,
                latency=latency,
                accuracy=accuracy,
                throughput=extra.throughput,
                paced=extra.paced,
                sustained=extra.sustained,
                profile=extra.profile,
                profile_problem=extra.profile_problem,
                budget=budget,
                verdict=judge(figures, budget, noise, policy),
            )
        )
    return Report(
        schema=SCHEMA,
        command=command,
        versions=versions,
        folder=str(folder),
        dataset=manifest.dataset,
        class_names=manifest.class_names,
        plan=options.plan,
        timed_region=TIMED_REGION,
        empty_call=measured.empty_call,
        machine=machine,
        before=before,
        during=measured.during,
        after=after,
        load=measured.load,
        extras_load=measured.extras_load,
        baseline=candidates[best].name,
        notes=notes,
        noise=noise,
        allowed=tuple(sorted({item.name for item in noise if policy.allows(item)})),
        files=tuple(files),
        verdict=join(tuple(file.verdict for file in files)),
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


def candidate_of(path: Path, manifest: Manifest, opener: Opener, threads: int, images: Images) -> Candidate:
    """Return one of a manifest's files as something to measure on the first of these images."""
    artifact = next(artifact for artifact in manifest.artifacts if artifact.path == path.name)
    return Candidate(artifact.path, artifact, Open(path, artifact.sha256, opener, threads, images[:_TIMED_IMAGES]))


def _export(folder: Path, manifest: Manifest) -> str:
    return f"run edgecnn export {folder / manifest.keras_model().path}"


def _candidates(
    folder: Path, manifest: Manifest, options: Options, openers: dict[str, Opener], images: Images
) -> tuple[Candidate, ...]:
    chosen = [artifact for artifact in manifest.artifacts if artifact.format in options.formats]
    for model_format in options.formats:
        if not any(artifact.format == model_format for artifact in chosen):
            raise ConfigError(f"{folder} has no {model_format} file: run edgecnn export --format {model_format}")
    candidates = []
    for artifact in chosen:
        path = folder / artifact.path
        read_model(path)  # A damaged or stale file is told before minutes of measuring.
        for threads in options.threads:
            candidate = candidate_of(path, manifest, openers[artifact.format], threads, images)
            several = len(options.threads) > 1
            candidates.append(replace(candidate, name=f"{candidate.name} x{threads}") if several else candidate)
    return tuple(candidates)


def _noise(candidates: Sequence[Candidate], measured: Measured, states: Sequence[State]) -> tuple[Noise, ...]:
    clocks = [
        item.clock_khz
        for launches in measured.launches
        for launch in launches
        for item in launch.rounds
        if item.clock_khz is not None
    ]
    noise = machine_noise(states, clocks, measured.load)
    for candidate, launches in zip(candidates, measured.launches, strict=True):
        medians = round_medians(launches).ravel().tolist()
        noise += time_noise(candidate.name, medians, [launch.settled for launch in launches])
    return noise


def _unjudged(candidates: Sequence[Candidate], budgets: Budgets) -> tuple[str, ...]:
    """Return a note on each file that has limits and is not measured.

    Raises:
        ConfigError: If the general limits of exported files would judge nothing, which must not end in PASS.
    """
    measured = {candidate.artifact.path for candidate in candidates}
    if all(candidate.artifact.format == "keras" for candidate in candidates) and budgets.general.of_exported():
        raise ConfigError(
            f"{budgets.general.of_exported()[0]} is a limit of exported files, none is measured: name a --runtime"
        )
    return tuple(f"{file} has limits of its own and was not measured." for file in budgets.files if file not in measured)
