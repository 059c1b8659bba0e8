"""What a benchmark hands over: raw measurements with what follows from them. docs/results.md describes the JSON."""

from dataclasses import dataclass

from benchmarks.accuracy import KERAS_REFERENCE, Accuracy
from benchmarks.gate import Budget, Verdict
from benchmarks.host import Machine, State
from benchmarks.intervals import Interval
from benchmarks.latency import Plan
from benchmarks.noise import Load, Noise
from benchmarks.percentiles import Percentile
from benchmarks.profile import Profile
from benchmarks.times import Times
from edge.manifest import Artifact, DatasetRecord

SCHEMA = 3


@dataclass(frozen=True)
class Round:
    """One turn of a file.

    Attributes:
        warm_up: Runs before, that bring the caches back.
        measured: The timed runs; none is dropped.
        cpu_ns: CPU time of the process during them, all threads.
        clock_khz: The CPU's clock straight after them; None where the machine does not say.
    """

    warm_up: Times
    measured: Times
    cpu_ns: int
    clock_khz: int | None


@dataclass(frozen=True)
class Launch:
    """One process that opened the file.

    Attributes:
        import_ns: Importing the runtime's package.
        load_ns: From the file's bytes to a model that can run.
        warm_up: The first inference first.
        settled: Whether the times had settled when the warm-up ended.
        rounds: In the order they were taken.
        peak_memory_bytes: The most resident memory that the process had, after the rounds.
        steady_memory_bytes: Its resident memory then.
    """

    import_ns: int
    load_ns: int
    warm_up: Times
    settled: bool
    rounds: tuple[Round, ...]
    peak_memory_bytes: int
    steady_memory_bytes: int


@dataclass(frozen=True)
class Latency:
    """What the timed runs of all launches say.

    Attributes:
        runs: How many.
        percentiles: Those that were asked for; their bounds hold for the next process too (`summary.launch_percentile`).
        p50_ns: Geometric mean over the launches of their rounds' medians, with Student's interval over the launches.
            None with a single launch.
        ratio: This file's time over the baseline's, round by round, with Student's interval over the launches. None for
            the baseline itself and with a single launch.
        difference_ns: Likewise, the difference.
        images_per_second: Images over the runs' summed time, one run after another.
        import_ns: Median over the launches.
        load_ns: Median over the launches.
        first_ns: Median over the launches of the process's first inference.
        peak_memory_bytes: The largest of the launches.
        steady_memory_bytes: Median over the launches.
    """

    runs: int
    percentiles: tuple[Percentile, ...]
    p50_ns: Interval | None
    ratio: Interval | None
    difference_ns: Interval | None
    images_per_second: float
    import_ns: int
    load_ns: int
    first_ns: int
    peak_memory_bytes: int
    steady_memory_bytes: int


@dataclass(frozen=True)
class Throughput:
    """Batches instead of single images.

    Attributes:
        batch: Images in each.
        one_by_one: The file takes a fixed number of images, so that its batches are loops.
        measured: Times of the batches.
        images_per_second: Images over their summed time.
    """

    batch: int
    one_by_one: bool
    measured: Times
    images_per_second: float


@dataclass(frozen=True)
class Paced:
    """A fixed request rate. `benchmarks.paced.PacedTimes` says what the fields mean."""

    rate: float
    frames: int
    dropped: int
    missed: int
    response: Times
    busy: Times


@dataclass(frozen=True)
class Window:
    """A stretch of a sustained run; raw times are not kept, they would be gigabytes.

    Attributes:
        seconds: When it ended, since the run's start.
        runs: How many.
        p50_ns: Median.
        p90_ns: Nine of ten runs took no longer.
        max_ns: The slowest.
        temperature_celsius: At its end.
        clock_khz: At its end.
    """

    seconds: float
    runs: int
    p50_ns: int
    p90_ns: int
    max_ns: int
    temperature_celsius: float | None
    clock_khz: int | None


@dataclass(frozen=True)
class FileResult:
    """One measured file, with one number of threads.

    Attributes:
        name: The file's name, with `x2` behind it where two threads are one of several numbers measured.
        artifact: The manifest's entry, or one made from the file itself.
        runtime: Package and version that ran it.
        threads: Of the runtime.
        launches: Raw times.
        latency: What follows from them.
        accuracy: On all test images, beside the reference. None where inputs were random: latency only.
        throughput: With --batch.
        paced: With --rate.
        sustained: With --sustained; else empty.
        profile: With --profile, where the runtime has one.
        profile_problem: Why there is no profile though it was asked for.
        budget: What was allowed.
        verdict: The judgement.
        images_per_run: How many images one timed run takes: the file's own fixed batch, or 1.
    """

    name: str
    artifact: Artifact
    runtime: str
    threads: int
    launches: tuple[Launch, ...]
    latency: Latency
    accuracy: Accuracy | None
    throughput: Throughput | None
    paced: Paced | None
    sustained: tuple[Window, ...]
    profile: Profile | None
    profile_problem: str | None
    budget: Budget
    verdict: Verdict
    images_per_run: int = 1


@dataclass(frozen=True)
class Report:
    """A whole benchmark.

    Attributes:
        schema: Number of this record's layout.
        command: To repeat it.
        versions: Of edgecnn and numpy.
        folder: Where the files were.
        dataset: The test images. None where inputs were random: latency only.
        class_names: By class index; empty where inputs were random.
        plan: How long was measured.
        timed_region: What is inside the timed region.
        empty_call: Times of a call that does nothing, in the same loop: the resolution.
        machine: Where.
        before: Its state before the first file.
        during: After each round of all files.
        after: At the end.
        load: During the rounds; None where /proc/stat does not say.
        extras_load: During everything that was measured after them.
        baseline: The name of the file that ratios are taken against: the fastest.
        notes: What was not measured or not judged though one might expect it.
        noise: What makes the times of the rounds unstable.
        allowed: The names of noise that was judged anyway.
        files: In the manifest's order, or as they were named.
        verdict: On all of them.
        reference: What accuracy is judged against, as texts call it.
    """

    schema: int
    command: str
    versions: dict[str, str]
    folder: str
    dataset: DatasetRecord | None
    class_names: tuple[str, ...]
    plan: Plan
    timed_region: str
    empty_call: Times
    machine: Machine
    before: State
    during: tuple[State, ...]
    after: State
    load: Load | None
    extras_load: Load | None
    baseline: str
    notes: tuple[str, ...]
    noise: tuple[Noise, ...]
    allowed: tuple[str, ...]
    files: tuple[FileResult, ...]
    verdict: Verdict
    reference: str = KERAS_REFERENCE
