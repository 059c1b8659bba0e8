"""The result of a benchmark, or of one on several devices. docs/reference/results.md describes the JSON."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgecnn.benchmarks.gate.accuracy import KERAS_REFERENCE, Accuracy
from edgecnn.benchmarks.gate.budget import Budget
from edgecnn.benchmarks.gate.gate import INVALID, PASS, STATUSES, Status, Verdict
from edgecnn.benchmarks.machine.host import Machine, State
from edgecnn.benchmarks.machine.noise import Load, Noise
from edgecnn.benchmarks.measure.options import Plan, Preference
from edgecnn.benchmarks.statistics.percentiles import Percentile
from edgecnn.benchmarks.timing.profile import OpTime, Profile
from edgecnn.benchmarks.timing.times import Times
from edgecnn.edge.data.folder_options import NO_OPTIONS, FolderOptions
from edgecnn.edge.export_records import Interval
from edgecnn.edge.manifest import Artifact, DatasetRecord
from edgecnn.edge.result import Result
from edgecnn.edge.show import rendered
from edgecnn.edge.text import WIDTH

SCHEMA, DEVICES_SCHEMA = 8, 1


@dataclass(frozen=True)
class Round:
    """One turn of a file.

    Attributes:
        warm_up: Runs before it that fill the caches again.
        measured: The timed runs; none is dropped.
        cpu_ns: CPU time of the process during them, in all threads.
        clock_khz: Clock of the CPU directly after them; None if not reported.
        waits: Number of times a thread of the process gave up its CPU voluntarily; None in results before schema 4.
        stops: Number of times a signal stopped the process; None in results before schema 4.
    """

    warm_up: Times
    measured: Times
    cpu_ns: int
    clock_khz: int | None
    waits: int | None = None
    stops: int | None = None


@dataclass(frozen=True)
class Launch:
    """One process that opened the file.

    Attributes:
        import_ns: Time to import the runtime's package.
        load_ns: Time from the file's bytes to a model ready to run.
        warm_up: Times of the warm-up, beginning with the first inference.
        settled: Whether the times had settled when the warm-up ended.
        rounds: Rounds in the order of measurement.
        peak_memory_bytes: Peak resident memory of the process after the rounds.
        steady_memory_bytes: Resident memory of the process at that time.
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
    """Summary of the timed runs of all launches.

    Attributes:
        runs: Number of runs.
        percentiles: Requested percentiles of all launches, with equal weight (`edgecnn.benchmarks.statistics.percentiles`).
        typical_ns: Geometric mean of the rounds' medians, with Student's interval; not the p50. None with a single launch.
        ratio: Time divided by the baseline's (None for the baseline, and with one launch), by rounds. In 95 % of benchmarks the
            intervals of all files hold at once, the choice of the fastest as baseline included.
        difference_ns: The difference, in nanoseconds, in the same way.
        images_per_second: Images over time, one run after another; launches weigh alike, as do the rounds of each.
        import_ns: Median over the launches.
        load_ns: Median over the launches.
        first_ns: Median over the launches of the process's first inference.
        peak_memory_bytes: Largest peak of the launches.
        steady_memory_bytes: Median over the launches.
    """

    runs: int
    percentiles: tuple[Percentile, ...]
    typical_ns: Interval | None
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
        batch: Images per batch.
        one_by_one: Whether the file takes a fixed number of images, so that its batches are loops.
        measured: Times of the batches.
        images_per_second: Number of images divided by their total time.
    """

    batch: int
    one_by_one: bool
    measured: Times
    images_per_second: float


@dataclass(frozen=True)
class Paced:
    """A fixed request rate. `edgecnn.benchmarks.timing.latency.PacedTimes` defines the fields."""

    rate: float
    frames: int
    dropped: int
    missed: int
    response: Times
    busy: Times


@dataclass(frozen=True)
class Window:
    """A stretch of a sustained run; raw times are not kept, since they would be gigabytes.

    Attributes:
        seconds: End of the stretch in seconds after the run's start.
        runs: Number of runs.
        p50_ns: Median time.
        p90_ns: 90th percentile.
        max_ns: Slowest run.
        temperature_celsius: Temperature at its end.
        clock_khz: Clock at its end.
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
        name: Name of the file, with the suffix `x2` for two threads if several numbers of threads were measured.
        artifact: The manifest's entry, or one made from the file itself.
        runtime: Package and version that ran it.
        threads: Number of threads of the runtime.
        launches: Raw times.
        latency: Figures derived from them.
        accuracy: Accuracy on all test images, compared with the reference. None if inputs were random.
        throughput: Throughput in batches; None if `batch` was not asked for.
        paced: Lateness of frames at a fixed rate; None if `rate` was not asked for.
        sustained: Seconds of a long run, one after another; empty if none was asked for.
        profile: Time of each operator; None if it was not asked for, or the runtime has no profiler.
        profile_problem: Reason why there is no profile although it was asked for.
        budget: Its limits.
        verdict: The judgement.
        images_per_run: Number of images in one timed run: the file's own fixed batch, or 1.
        slowest_op: What takes most of the time, for an int8 file that is not shown to be faster than float32; else None.
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
    slowest_op: OpTime | None = None

    @property
    def runtime_name(self) -> str:
        """What ran it, without its version: the `name_in_results` of a row of `RUNTIMES`."""
        return self.runtime.partition(" ")[0]


@dataclass(frozen=True)
class Unmeasured:
    """What was not measured though it was asked for, or might be expected.

    Attributes:
        runtime: Name of the runtime that did not run it, or of a format for the runtimes of that.
        reason: Reason, as the end of a sentence.
        file: Path of the one file, which the runtime refuses; None for all that the runtime would run.
    """

    runtime: str
    reason: str
    file: str | None = None


@dataclass(frozen=True)
class Choice:
    """The file to ship (`edgecnn.benchmarks.results.choice`); no result stores it.

    Attributes:
        file: Name of a file that passes in every result; None if none does.
        closest: Where none passes, the name of the file that comes closest; None if nothing can be chosen.
        status: Verdict of that file, the worst of several results; `UNJUDGED` if no limit was set or nothing can be chosen.
        reason: Why it is this file, or why no file is chosen, without a verb: `the smallest of 3 files not shown to be ...`.
        maybe_faster: Files than which this one may take over 15 % longer: a single launch doesn't show whether it does.
        others: Every other file that could have been chosen, and why it was not.
    """

    file: str | None
    closest: str | None
    status: Status
    reason: str
    maybe_faster: tuple[str, ...] = ()
    others: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, repr=False)
class Report(Result):
    """A whole benchmark.

    Attributes:
        schema: Version of this record's layout.
        command: The command that repeats it.
        versions: Versions of edgecnn and numpy.
        folder: The folder of the files.
        dataset: The test images. None where inputs were random: latency only.
        class_names: By class index; empty where inputs were random.
        plan: How long was measured, in how many launches and rounds.
        timed_region: What is inside the timed region.
        empty_call: Times of a call that does nothing, in the same loop: the resolution.
        machine: The machine that it ran on.
        before: The machine's state before the first file.
        during: Its state after each round of all files.
        after: Its state at the end.
        load: During the rounds; None where /proc/stat does not say.
        extras_load: During everything that was measured after them.
        baseline: The name of the file that ratios are taken against: the fastest, by the typical time.
        notes: What else a reader must know; before schema 7 also what was not measured.
        noise: What makes the times of the rounds unstable.
        allowed: The names of noise that was judged anyway.
        files: In the manifest's order, or as they were named.
        verdict: The verdict on all files.
        reference: What accuracy is judged against, as texts call it.
        unmeasured: What was not measured though one might expect it.
        prefer: What counts first when the file to ship is chosen.
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
    unmeasured: tuple[Unmeasured, ...] = ()
    prefer: Preference = "accuracy"

    def choice(self, prefer: Preference | None = None) -> Choice:
        """Return the file to ship and why; `prefer` says what counts first, by default what the result says."""
        choice: Choice = rendered(self, "choice", prefer)
        return choice

    def to_text(self, width: int = WIDTH, verbose: bool = False) -> str:
        """Return the verdict, the file to ship and the tables; `verbose` adds how it was measured."""
        return str(rendered(self, "to_text", width, verbose))

    def to_markdown(self) -> str:
        """Return the same as Markdown, with how it was measured."""
        return str(rendered(self, "to_markdown"))

    def to_csv(self) -> str:
        """Return CSV with a row for each file, in plain numbers: times in nanoseconds, shares 0 to 1."""
        return str(rendered(self, "to_csv"))

    def rows(self) -> list[dict[str, Any]]:
        """Return one dict per file, with the columns of the CSV."""
        rows: list[dict[str, Any]] = rendered(self, "rows")
        return rows

    def to_html(
        self,
        path: str | Path | None = None,
        data: str | Path | None = None,
        images: FolderOptions = NO_OPTIONS,
        on_text: Callable[[str], None] = lambda text: None,
    ) -> str:
        """Return one page with pictures that loads nothing and runs nothing, and write it to `path` if one is given.

        Args:
            path: The file.
            data: Test images, to show those that changed their class. Default: where the report says, or none.
            images: How a folder of images is read.
            on_text: Receives the reason if no images are shown.

        Raises:
            ConfigError: If `data` are other images, or the file can't be written.
            MissingDependency: If Jinja, matplotlib or Pillow is not installed.
        """
        return str(rendered(self, "to_html", path, data, images, on_text))

    def __repr__(self) -> str:
        return f"<Report {self.verdict.status}: {', '.join(file.name for file in self.files)}>"


@dataclass(frozen=True)
class DeviceResult:
    """The answer of one device: a result, or the reason why there is no result.

    Attributes:
        host: Host as named.
        error: A sentence; None if there is a result.
        result: The JSON of `edgecnn bench` there.
    """

    host: str
    error: str | None
    result: Report | None


@dataclass(frozen=True, repr=False)
class DeviceResults(Result):
    """The answers of all devices.

    Attributes:
        schema: Number of this record's layout.
        command: Command that repeats it.
        devices: Devices in the order in which they were named.
    """

    schema: int
    command: str
    devices: tuple[DeviceResult, ...]

    def to_text(self, width: int = WIDTH, verbose: bool = False) -> str:
        """Return tables with a column for each device, then a paragraph for each; `verbose` adds what was timed."""
        return str(rendered(self, "to_text", width, verbose))

    def choice(self, prefer: Preference | None = None) -> Choice:
        """Return the one file to ship to all devices that gave a result; as `Report.choice`."""
        choice: Choice = rendered(self, "choice", prefer)
        return choice

    @property
    def is_invalid(self) -> bool:
        """Whether a result must not be judged, and no result is known to exceed its budget."""
        statuses = [device.result.verdict.status for device in self.devices if device.result]
        return max(statuses, key=STATUSES.index, default=PASS) == INVALID
