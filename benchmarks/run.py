"""Artifacts -> Report."""

import io
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy import compare
from benchmarks.budgets import Budgets
from benchmarks.gate import Figures, Policy, join, judge
from benchmarks.host import State, read_machine, read_state
from benchmarks.latency import TIMED_REGION, Plan
from benchmarks.launches import Candidate, Measured, Progress, measure
from benchmarks.noise import Noise, machine_noise, time_noise
from benchmarks.percentiles import percentile
from benchmarks.process import ModelProcess
from benchmarks.profile import Profile
from benchmarks.results import SCHEMA, FileResult, Launch, Paced, Report, Throughput, Window
from benchmarks.summary import fastest, round_medians, summarize
from benchmarks.times import Times
from benchmarks.worker import Classify, Open, Pace, ProfileOps, Round, TimeBatch
from edge.errors import ArtifactError, ConfigError
from edge.files import read_bytes, sha256
from edge.manifest import Manifest
from edge.model_file import read_model
from edge.preprocess import Floats, Images
from edge.runtimes import Opener

# Enough different inputs that no cache learns them, few enough that converting them does not show in the peak memory.
_TIMED_IMAGES = 100
_BATCH_RUNS = 20
_BATCH_SECONDS = 1.0
_PACED_SECONDS = 5.0
_LEAST_FRAMES = 100
_PROFILE_RUNS = 500
_WINDOWS = 300


@dataclass(frozen=True)
class Options:
    """What to measure, and how.

    Attributes:
        formats: Which of the manifest's files.
        threads: Each file is measured with each of these numbers of threads, 1 to 64.
        plan: How long.
        percents: Percentiles to report, above 0 and below 100 %.
        batch: Images in a batch, to measure throughput; None for none.
        rate: Frames a second, to run as a camera loop does; None for none.
        sustained_seconds: How long to run each file at a stretch; 0 for not at all.
        profile: Ask the runtimes for the time of each op.

    Raises:
        ConfigError: If out of range.
    """

    formats: tuple[str, ...]
    threads: tuple[int, ...] = (1,)
    plan: Plan = field(default_factory=Plan)
    percents: tuple[float, ...] = (50.0, 90.0, 99.0)
    batch: int | None = None
    rate: float | None = None
    sustained_seconds: float = 0.0
    profile: bool = False

    def __post_init__(self) -> None:
        if not self.threads or len(set(self.threads)) < len(self.threads):
            raise ConfigError(f"--threads must be different numbers, as 1,2,4, got {self.threads}")
        for percent in self.percents:
            if not 0 < percent < 100:
                raise ConfigError(f"--percentile must be above 0 and below 100, got {percent}")
        if self.batch is not None and not 1 <= self.batch <= 4096:
            raise ConfigError(f"--batch must be 1 to 4096 images, got {self.batch}")
        if self.rate is not None and not 0.1 <= self.rate <= 1e6:
            raise ConfigError(f"--rate must be 0.1 to 1000000 frames a second, got {self.rate}")
        if not 0 <= self.sustained_seconds <= 86_400:
            raise ConfigError(f"--sustained must be at most 24 hours, got {self.sustained_seconds:.0f} s")


def thread_counts(text: str) -> tuple[int, ...]:
    """Return the numbers of `1` or `1,2,4`.

    Raises:
        ConfigError: If it is something else.
    """
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigError(f"--threads must be a number, or several as 1,2,4, got {text}") from error


@dataclass(frozen=True)
class _Extra:
    probabilities: Floats
    throughput: Throughput | None
    paced: Paced | None
    sustained: tuple[Window, ...]
    profile: Profile | None


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
        on_progress: Gets steps done, steps in all, and what is done next.

    Raises:
        ArtifactError: If a file or the reference is missing, damaged or stale, or a runtime crashes on it.
        ConfigError: If no file is of these formats, or a number of threads is not 1 to 64.
        InvalidMeasurement: If the machine does not tell a process's memory.
        MissingDependency: If a runtime is not installed.
    """
    manifest = Manifest.load(folder)
    reference = load_reference(folder, manifest)
    candidates = _candidates(folder, manifest, options, openers, images[:_TIMED_IMAGES])
    machine, before = read_machine(), read_state()

    def finish(processes: Sequence[ModelProcess]) -> list[_Extra]:
        pairs = zip(candidates, processes, strict=True)
        return [_extra(candidate, process, options, images, on_progress) for candidate, process in pairs]

    measured, extras = measure(candidates, options.plan, finish, on_progress)
    after = read_state()
    states = (before, *measured.during, after)
    noise = _noise(candidates, measured, states)
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
            p90=percentile(_times(launches), 90),
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
        baseline=candidates[best].name,
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
            name = artifact.path if len(options.threads) == 1 else f"{artifact.path} x{threads}"
            request = Open(path, artifact.sha256, openers[artifact.format], threads, images)
            candidates.append(Candidate(name, artifact, request))
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


def _times(launches: Sequence[Launch]) -> NDArray[np.int64]:
    return np.concatenate([item.measured.unpack() for launch in launches for item in launch.rounds])


def _extra(candidate: Candidate, process: ModelProcess, options: Options, images: Images, on_progress: Progress) -> _Extra:
    def say(text: str) -> None:
        on_progress(1, 1, f"{candidate.name}: {text}")

    throughput = paced = profile = None
    if options.batch:
        say(f"batches of {options.batch}")
        times = process.ask(TimeBatch(options.batch, _BATCH_RUNS, _BATCH_SECONDS)).measured_ns
        fixed = candidate.artifact.input.shape[0] is not None
        throughput = Throughput(options.batch, fixed, Times.pack(times), options.batch * len(times) * 1e9 / sum(times))
    if options.rate:
        frames = max(_LEAST_FRAMES, round(options.rate * _PACED_SECONDS))
        say(f"{frames} frames at {options.rate:g} a second")
        run = process.ask(Pace(options.rate, frames))
        response, busy = Times.pack(run.response_ns), Times.pack(run.busy_ns)
        paced = Paced(options.rate, run.frames, run.dropped, run.missed, response, busy)
    if options.profile and candidate.artifact.format != "keras":
        say("profiling")
        profile = process.ask(ProfileOps(_PROFILE_RUNS))
    sustained = _sustain(process, options.sustained_seconds, say)
    say(f"classifying {len(images):,} test images")
    return _Extra(process.ask(Classify(images)), throughput, paced, sustained, profile)


def _sustain(process: ModelProcess, seconds: float, say: Callable[[str], None]) -> tuple[Window, ...]:
    windows: list[Window] = []
    start = time.monotonic()
    while (past := time.monotonic() - start) < seconds:
        say(f"sustained, {past:.0f} of {seconds:.0f} s")
        times, clock_khz = process.ask(Round(1, min(max(1.0, seconds / _WINDOWS), seconds - past)))
        values = np.array(times.measured_ns)
        p50, p90 = (int(value) for value in np.percentile(values, (50, 90), method="inverted_cdf"))
        state = read_state()
        end = time.monotonic() - start
        windows.append(Window(end, len(values), p50, p90, int(values.max()), state.temperature_celsius, clock_khz))
    return tuple(windows)
