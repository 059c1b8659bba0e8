"""Measures and judges a candidate_set, and returns a report."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from edgecnn.benchmarks.bundle.verify import tolerance_of
from edgecnn.benchmarks.gate.accuracy import Accuracy, differs
from edgecnn.benchmarks.gate.budget import BESIDE_REFERENCE, Budget, Budgets
from edgecnn.benchmarks.gate.checks import judge
from edgecnn.benchmarks.gate.gate import Figures, Policy, Verdict, join
from edgecnn.benchmarks.machine.host import read_machine, read_state
from edgecnn.benchmarks.measure.candidates import CandidateSet, LabelledImages, MeasuredReference, StoredReference
from edgecnn.benchmarks.measure.launches import Candidate, Measured, measure
from edgecnn.benchmarks.measure.options import BenchOptions
from edgecnn.benchmarks.measure.other_measurements import (
    Extra,
    Profiled,
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
from edgecnn.benchmarks.timing.process import ModelProcess
from edgecnn.benchmarks.timing.profile import OpTime
from edgecnn.edge.errors import ArtifactError, ConfigError, field
from edgecnn.edge.export_records import Parity
from edgecnn.edge.manifest import REFERENCE_NAME
from edgecnn.edge.result import SILENT, Progress


@dataclass(frozen=True)
class Finished:
    """The results of the last launch's processes after their rounds, for each candidate.

    Attributes:
        extras: Batches, a fixed rate, a sustained run.
        accuracies: Accuracy on all test images; None if inputs were random.
        profiles: Times of single operators, or why there are none.
        slowest_ops: The slowest operator of each int8 file, by its place, that is not shown to be faster than float32.
    """

    extras: list[Extra]
    accuracies: list[Accuracy] | None
    profiles: list[Profiled]
    slowest_ops: dict[int, OpTime | None]


def benchmark(  # Longer than 50 lines: the record that it fills in has so many fields.
    candidate_set: CandidateSet,
    options: BenchOptions,
    budgets: Budgets,
    policy: Policy,
    *,
    command: str,
    versions: dict[str, str],
    notes: Sequence[str] = (),
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
        notes: Notes for the report.
        progress: Receives the steps.

    Raises:
        ArtifactError: If a file changed, a runtime crashes on it, or the Keras model contradicts its stored outputs.
        ConfigError: If a limit applies to none of the measured files.
        InvalidMeasurement: If the machine does not report a process's memory.
        MissingDependency: If a runtime is not installed.
    """
    candidates = candidate_set.candidates
    notes = [*notes, *candidate_set.notes]
    _require_judged(candidate_set, budgets)
    machine, before = read_machine(), read_state()
    images = len(candidate_set.images.test.labels) if candidate_set.images else 0
    measured, finished = measure(
        candidates,
        options.plan,
        lambda processes, launches: _finish(candidate_set, options, processes, launches, progress),
        progress,
        lambda costs: extra_seconds(options, costs, images),
    )
    after = read_state()
    pairs = zip(candidates, measured.opened, strict=True)
    notes += dict.fromkeys(f"{file.artifact.path} is doubtful: {doubt}." for file, opened in pairs for doubt in opened.doubts)
    # Not `after`: a sustained run's effect on the machine says nothing about the rounds before it.
    noise = measured.noise([candidate.name for candidate in candidates], before)

    def judged(candidate: Candidate, figures: Figures) -> tuple[Budget, Verdict]:
        budget = _budget(candidate, candidate_set, budgets)
        return budget, judge(figures, budget, noise, policy)

    baseline, files = beside_fastest(
        [
            _file_result(place, candidate_set, measured, finished, percents=options.percents, judged=judged)
            for place in range(len(candidates))
        ]
    )
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
        notes=tuple(notes),
        noise=noise,
        allowed=tuple(sorted({item.name for item in noise if policy.allows(item)})),
        files=files,
        verdict=join([(file.name, file.verdict) for file in files]),
        reference=candidate_set.reference.name,
    )


def _finish(
    candidate_set: CandidateSet,
    options: BenchOptions,
    processes: Sequence[ModelProcess],
    launches: Sequence[Sequence[Launch]],
    progress: Progress,
) -> Finished:
    """Ask the processes of the last launch for everything else."""
    places = len(processes)

    def saying(place: int) -> Callable[[str], None]:
        return lambda text: progress.step(place, places, f"{candidate_set.candidates[place].name}: {text}")

    extras = [measure_extra(process, options, saying(place)) for place, process in enumerate(processes)]
    accuracies = _classify(candidate_set, candidate_set.images, processes, progress) if candidate_set.images else None
    profiles: list[Profiled] = []
    for place, (candidate, process) in enumerate(zip(candidate_set.candidates, processes, strict=True)):
        wanted = options.profile and candidate.artifact.exported  # Keras has no operator profiler.
        profiles.append(measure_profile(process, saying(place)) if wanted else (None, None))
    timed = [
        TimedFile(candidate.artifact, process.opened.runtime, candidate.request.threads, own)
        for candidate, process, own in zip(candidate_set.candidates, processes, launches, strict=True)
    ]
    slowest_ops = {
        place: measure_slowest_op(processes[place], profiles[place][0], saying(place))
        for place, _, _ in no_faster_than_float(timed)
        if timed[place].artifact.precision == "int8" and timed[place].artifact.is_plain
    }
    return Finished(extras, accuracies, profiles, slowest_ops)


def _file_result(
    place: int,
    candidate_set: CandidateSet,
    measured: Measured,
    finished: Finished,
    *,
    percents: Sequence[float],
    judged: Callable[[Candidate, Figures], tuple[Budget, Verdict]],
) -> FileResult:
    candidate, opened, launches = candidate_set.candidates[place], measured.opened[place], measured.launches[place]
    latency = summarize(launches, percents, opened.images_per_run)
    accuracy = finished.accuracies[place] if finished.accuracies else None
    extra, (profile, profile_problem) = finished.extras[place], finished.profiles[place]
    figures = Figures(
        name=candidate.name,
        exported=candidate.artifact.exported,
        size_bytes=candidate.artifact.size_bytes,
        peak_memory_bytes=latency.peak_memory_bytes,
        p90=launch_percentile(launches, 90),
        accuracy=accuracy,
        reference=candidate_set.reference.name,
        class_names=candidate_set.class_names,
        recorded=_recorded(candidate, candidate_set),
    )
    budget, verdict = judged(candidate, figures)
    return FileResult(
        name=candidate.name,
        artifact=candidate.artifact,
        runtime=opened.runtime,
        threads=candidate.request.threads,
        launches=launches,
        latency=latency,
        accuracy=accuracy,
        throughput=extra.throughput,
        paced=extra.paced,
        sustained=extra.sustained,
        profile=profile,
        profile_problem=profile_problem,
        budget=budget,
        verdict=verdict,
        images_per_run=opened.images_per_run,
        slowest_op=finished.slowest_ops.get(place),
    )


def _classify(
    candidate_set: CandidateSet, images: LabelledImages, processes: Sequence[ModelProcess], progress: Progress
) -> list[Accuracy]:
    places = (i for i, candidate in enumerate(candidate_set.candidates) if candidate_set.is_reference(candidate))
    stored = candidate_set.reference.probabilities if isinstance(candidate_set.reference, StoredReference) else None
    reference = next(places) if stored is None else stored
    chosen = [file.artifact.mended is not None and file.artifact.mended.held_out > 0 for file in candidate_set.candidates]
    classes = len(candidate_set.class_names)
    found = classify(
        processes,
        images.test,
        reference,
        classes,
        progress=progress,
        chosen=chosen,
        groups=images.groups,
        learnt=images.record.learnt,
    )
    if stored is not None:
        for file, accuracy in zip(candidate_set.candidates, found, strict=True):
            if not file.artifact.exported and (difference := differs(accuracy, tolerance_of(file.artifact))):
                path = file.request.path
                raise ArtifactError(
                    f"{path.parent / REFERENCE_NAME} is not what {path.name} computes here: {difference}: export it again"
                )
    return found


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
