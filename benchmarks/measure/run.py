"""Measures and judges a candidate_set, and returns a report."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from edgecnn.benchmarks.bundle.verify import tolerance_of
from edgecnn.benchmarks.gate.accuracy import Accuracy, differs
from edgecnn.benchmarks.gate.budget import BESIDE_REFERENCE, Budget, Budgets
from edgecnn.benchmarks.gate.checks import judge
from edgecnn.benchmarks.gate.gate import UNJUDGED, Figures, Policy, Verdict, join
from edgecnn.benchmarks.machine.host import read_machine, read_state
from edgecnn.benchmarks.measure.candidates import CandidateSet, MeasuredReference
from edgecnn.benchmarks.measure.launches import Candidate, measure, noise_of
from edgecnn.benchmarks.measure.options import BenchOptions
from edgecnn.benchmarks.measure.other_measurements import (
    Extra,
    classify,
    extra_seconds,
    measure_extra,
    measure_profile,
    measure_slowest_op,
)
from edgecnn.benchmarks.results.latency_summary import (
    TimedFile,
    beside_fastest,
    launch_percentile,
    no_faster_than_float,
    summarize,
)
from edgecnn.benchmarks.results.records import SCHEMA, FileResult, Launch, Report
from edgecnn.benchmarks.timing.latency import RANDOM_REGION, TIMED_REGION
from edgecnn.benchmarks.timing.requests import Opened
from edgecnn.benchmarks.timing.worker import ModelProcess
from edgecnn.edge.errors import ArtifactError, ConfigError, field
from edgecnn.edge.export_records import Parity
from edgecnn.edge.manifest import REFERENCE_NAME
from edgecnn.edge.result import SILENT, Progress


def benchmark(  # Longer than 50 lines: the record that it fills in has so many fields.
    candidate_set: CandidateSet,
    options: BenchOptions,
    budgets: Budgets,
    policy: Policy,
    *,
    command: str,
    versions: dict[str, str],
    progress: Progress = SILENT,
) -> Report:
    """Measure and judge files.

    Args:
        candidate_set: Which files, and what they are compared with, from `edgecnn.benchmarks.measure.candidates`.
        options: What to measure, and how.
        budgets: Limits of the files.
        policy: How noise is handled.
        command: Command that repeats it, for the report.
        versions: Versions of the measuring packages, for the report.
        progress: Receives the steps.

    Raises:
        ArtifactError: If a file changed, a runtime crashes on it, or the float model contradicts its stored outputs.
        ConfigError: If a limit applies to none of the measured files.
        InvalidMeasurement: If the machine does not report a process's memory.
        MissingDependency: If a runtime is not installed.
    """
    candidates = candidate_set.candidates
    _require_judged(candidate_set, budgets)
    machine, before = read_machine(), read_state()
    images = len(candidate_set.images.test.labels) if candidate_set.images else 0
    measured, extras = measure(
        candidates,
        options.plan,
        lambda processes, launches: _finish(candidate_set, options, processes, launches, progress),
        progress,
        lambda costs: extra_seconds(options, costs, images),
    )
    after = read_state()
    pairs = zip(candidates, measured.opened, strict=True)
    doubts = dict.fromkeys(f"{file.artifact.path} is doubtful: {doubt}." for file, opened in pairs for doubt in opened.doubts)
    # Not `after`: a sustained run's effect on the machine says nothing about the rounds before it.
    launches = zip((candidate.name for candidate in candidates), measured.launches, strict=True)
    noise = noise_of(launches, (before, *measured.during), measured.load)
    found = []
    for place, (candidate, extra) in enumerate(zip(candidates, extras, strict=True)):
        file = _file_result(candidate, measured.opened[place], measured.launches[place], extra, options.percents)
        figures = figures_of(file, candidate_set.reference.name, candidate_set.class_names, _recorded(candidate, candidate_set))
        budget = _budget(candidate, candidate_set, budgets)
        found.append(replace(file, budget=budget, verdict=judge(figures, budget, noise, policy)))
    baseline, files = beside_fastest(found)
    return Report(
        schema=SCHEMA,
        command=command,
        versions=versions,
        folder=candidate_set.folder,
        dataset=candidate_set.images.record if candidate_set.images else None,
        class_names=candidate_set.class_names,
        plan=measured.plan,
        timed_region=TIMED_REGION if candidate_set.images else RANDOM_REGION,
        empty_call=measured.empty_call,
        machine=machine,
        before=before,
        during=measured.during,
        after=after,
        load=measured.load,
        extras_load=measured.extras_load,
        baseline=baseline,
        notes=(*candidate_set.notes, *doubts),
        noise=noise,
        allowed=tuple(sorted({item.name for item in noise if policy.allows(item)})),
        files=files,
        verdict=join([(file.name, file.verdict) for file in files]),
        reference=candidate_set.reference.name,
        unmeasured=candidate_set.unmeasured,
    )


def _finish(
    candidate_set: CandidateSet,
    options: BenchOptions,
    processes: Sequence[ModelProcess],
    launches: Sequence[Sequence[Launch]],
    progress: Progress,
) -> list[Extra]:
    """Ask the processes of the last launch for everything else."""
    places = len(processes)

    def saying(place: int) -> Callable[[str], None]:
        return lambda text: progress.step(place, places, f"{candidate_set.candidates[place].name}: {text}")

    extras = [measure_extra(process, options, saying(place)) for place, process in enumerate(processes)]
    if candidate_set.images:
        accuracies = classify(processes, candidate_set, candidate_set.images, progress)
        _require_as_stored(candidate_set, accuracies)
        extras = [replace(extra, accuracy=accuracy) for extra, accuracy in zip(extras, accuracies, strict=True)]
    timed = []
    for place, (candidate, process) in enumerate(zip(candidate_set.candidates, processes, strict=True)):
        if options.profile and candidate.artifact.exported:  # Keras has no operator profiler.
            profile, problem = measure_profile(process, saying(place))
            extras[place] = replace(extras[place], profile=profile, profile_problem=problem)
        timed.append(TimedFile(candidate.artifact, process.opened.runtime, candidate.request.threads, launches[place]))
    for place, _, _ in no_faster_than_float(timed):
        if timed[place].artifact.precision == "int8" and timed[place].artifact.is_plain:
            slowest = measure_slowest_op(processes[place], extras[place].profile, saying(place))
            extras[place] = replace(extras[place], slowest_op=slowest)
    return extras


def _file_result(
    candidate: Candidate, opened: Opened, launches: tuple[Launch, ...], extra: Extra, percents: Sequence[float]
) -> FileResult:
    """Return a file's result before it is judged."""
    return FileResult(
        name=candidate.name,
        artifact=candidate.artifact,
        runtime=opened.runtime,
        threads=candidate.request.threads,
        launches=launches,
        latency=summarize(launches, percents, opened.images_per_run),
        budget=Budget(),
        verdict=Verdict(UNJUDGED, ()),
        images_per_run=opened.images_per_run,
        **vars(extra),
    )


def figures_of(file: FileResult, reference: str, class_names: tuple[str, ...], recorded: Parity | None) -> Figures:
    """Return what a file is judged by; see `Figures`."""
    return Figures(
        name=file.name,
        exported=file.artifact.exported,
        size_bytes=file.artifact.size_bytes,
        peak_memory_bytes=file.latency.peak_memory_bytes,
        p90=launch_percentile(file.launches, 90),
        accuracy=file.accuracy,
        reference=reference,
        class_names=class_names,
        recorded=recorded,
    )


def _require_as_stored(candidate_set: CandidateSet, accuracies: Sequence[Accuracy]) -> None:
    """Raise if a measured float model contradicts its stored outputs."""
    if isinstance(candidate_set.reference, MeasuredReference):
        return
    for file, accuracy in zip(candidate_set.candidates, accuracies, strict=True):
        if not file.artifact.exported and (difference := differs(accuracy, tolerance_of(file.artifact))):
            path = file.request.path
            raise ArtifactError(
                f"{path.parent / REFERENCE_NAME} is not what {path.name} computes here: {difference}: export it again"
            )


def _recorded(candidate: Candidate, candidate_set: CandidateSet) -> Parity | None:
    """Return a file's agreement with its reference at export, if no measurement here shows that it is the reference."""
    measured = {file.artifact.sha256 for file in candidate_set.candidates if not file.artifact.exported}
    if isinstance(candidate_set.reference, MeasuredReference) or candidate.artifact.source_sha256 in measured:
        return None
    return candidate.artifact.parity


def _budget(candidate: Candidate, candidate_set: CandidateSet, budgets: Budgets) -> Budget:
    budget = budgets.of(candidate.artifact.path)
    if not candidate_set.is_reference(candidate):
        return budget
    return replace(budget, **dict.fromkeys(BESIDE_REFERENCE))  # Compared with itself, there is nothing to judge.


def _require_judged(candidate_set: CandidateSet, budgets: Budgets) -> None:
    """Raise if limits would judge nothing, which must not end in PASS. `load_budgets` does so for those of single files.

    Raises:
        ConfigError: If there is such a limit.
    """
    exported, beside = budgets.general.of_exported(), budgets.general.beside_reference()
    if exported and not any(candidate.artifact.exported for candidate in candidate_set.candidates):
        raise ConfigError(f"{field(exported[0])} applies to exported files, but none is measured: name a {field('runtime')}")
    for budget in (budgets.general, *budgets.files.values()):
        if candidate_set.images is None and budget.of_accuracy():
            limit = field(budget.of_accuracy()[0])
            raise ConfigError(f"{limit} limits accuracy, which needs labelled images: add {field('data')}")
    if beside and all(map(candidate_set.is_reference, candidate_set.candidates)):
        name = candidate_set.reference.name
        raise ConfigError(
            f"{field(beside[0])} applies to files compared with a reference, but {name} is the reference: name another file"
        )
