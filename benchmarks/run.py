"""Lineup -> Report."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from benchmarks.accuracy import Accuracy
from benchmarks.budgets import Budgets
from benchmarks.extras import Extra, classify, measure_extra, measure_profile
from benchmarks.gate import Budget, Figures, Policy, join, judge
from benchmarks.host import State, read_machine, read_state
from benchmarks.latency import RANDOM_REGION, TIMED_REGION
from benchmarks.launches import Candidate, Measured, Progress, measure
from benchmarks.lineup import Lineup
from benchmarks.noise import Noise, machine_noise, time_noise
from benchmarks.options import Options
from benchmarks.process import ModelProcess
from benchmarks.profile import Profile
from benchmarks.results import SCHEMA, FileResult, Report
from benchmarks.summary import fastest, launch_percentile, round_medians, summarize
from edge.errors import ConfigError

Finished = tuple[list[Extra], list[Accuracy] | None, list[tuple[Profile | None, str | None]]]


def benchmark(
    lineup: Lineup,
    options: Options,
    budgets: Budgets,
    policy: Policy,
    command: str,
    versions: dict[str, str],
    notes: Sequence[str] = (),
    on_progress: Progress = lambda done, steps, text: None,
) -> Report:
    """Measure and judge files.

    Args:
        lineup: Which, and beside what; `benchmarks.lineup` makes it.
        options: What to measure, and how.
        budgets: What is allowed.
        policy: What to do with noise.
        command: To repeat it, for the report.
        versions: Of what measures, for the report.
        notes: For the report.
        on_progress: Gets steps done, steps in all, and what is done next.

    Raises:
        ArtifactError: If a file changed, or a runtime crashes on it.
        ConfigError: If a limit is for none of the measured files.
        InvalidMeasurement: If the machine does not tell a process's memory.
        MissingDependency: If a runtime is not installed.
    """
    candidates = lineup.candidates
    notes = [*notes, *lineup.notes, *_unjudged(lineup, budgets)]
    machine, before = read_machine(), read_state()

    def finish(processes: Sequence[ModelProcess]) -> Finished:
        places = len(candidates)
        turns = list(zip(candidates, processes, range(places), strict=True))
        extras = [measure_extra(file, process, options, on_progress, place, places) for file, process, place in turns]
        accuracies = None if lineup.test is None else _classify(lineup, processes, on_progress)
        profiles = [measure_profile(file, process, options, on_progress, place, places) for file, process, place in turns]
        return extras, accuracies, profiles

    measured, (extras, accuracies, profiles) = measure(candidates, options.plan, finish, on_progress)
    after = read_state()
    pairs = zip(candidates, measured.opened, strict=True)
    notes += dict.fromkeys(f"{file.artifact.path} is doubtful: {doubt}." for file, opened in pairs for doubt in opened.doubts)
    # Not `after`: what a sustained run does to the machine says nothing of the rounds before it.
    noise = _noise(candidates, measured, (before, *measured.during))
    best = fastest(measured.launches)
    files = []
    for index, candidate in enumerate(candidates):
        launches, opened, extra = measured.launches[index], measured.opened[index], extras[index]
        accuracy = accuracies[index] if accuracies else None
        latency = summarize(launches, measured.launches[best], options.percents, opened.images_per_run)
        budget = _budget(candidate, lineup, budgets)
        figures = Figures(
            name=candidate.name,
            exported=candidate.artifact.format != "keras",
            size_bytes=candidate.artifact.size_bytes,
            peak_memory_bytes=latency.peak_memory_bytes,
            p90=launch_percentile(launches, 90),
            accuracy=accuracy,
            reference=lineup.reference,
        )
        profile, profile_problem = profiles[index]
        files.append(
            FileResult(
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
                verdict=judge(figures, budget, noise, policy),
                images_per_run=opened.images_per_run,
            )
        )
    return Report(
        schema=SCHEMA,
        command=command,
        versions=versions,
        folder=lineup.folder,
        dataset=lineup.dataset,
        class_names=lineup.class_names,
        plan=options.plan,
        timed_region=RANDOM_REGION if lineup.test is None else TIMED_REGION,
        empty_call=measured.empty_call,
        machine=machine,
        before=before,
        during=measured.during,
        after=after,
        load=measured.load,
        extras_load=measured.extras_load,
        baseline=candidates[best].name,
        notes=tuple(notes),
        noise=noise,
        allowed=tuple(sorted({item.name for item in noise if policy.allows(item)})),
        files=tuple(files),
        verdict=join(tuple(file.verdict for file in files)),
        reference=lineup.reference,
    )


def _classify(lineup: Lineup, processes: Sequence[ModelProcess], on_progress: Progress) -> list[Accuracy]:
    assert lineup.test  # noqa: S101  # The caller has looked.
    places = (i for i, candidate in enumerate(lineup.candidates) if candidate.artifact.path == lineup.measured)
    reference = next(places) if lineup.stored is None else lineup.stored
    return classify(processes, lineup.test, reference, len(lineup.class_names), on_progress)


def _budget(candidate: Candidate, lineup: Lineup, budgets: Budgets) -> Budget:
    budget = budgets.of(candidate.artifact.path)
    if candidate.artifact.path != lineup.measured:
        return budget
    return replace(budget, max_drop_points=None, min_agreement_percent=None)  # Beside itself there is nothing to judge.


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


def _unjudged(lineup: Lineup, budgets: Budgets) -> Iterator[str]:
    """Give a note on each file that has limits and is not measured.

    Raises:
        ConfigError: If limits would judge nothing, which must not end in PASS.
    """
    measured = {candidate.artifact.path for candidate in lineup.candidates}
    exported, accuracy = budgets.general.of_exported(), budgets.general.of_accuracy()
    if all(candidate.artifact.format == "keras" for candidate in lineup.candidates) and exported:
        raise ConfigError(f"{exported[0]} is a limit of exported files, none is measured: name a --runtime")
    for budget in (budgets.general, *budgets.files.values()):
        if lineup.test is None and budget.of_accuracy():
            raise ConfigError(f"{budget.of_accuracy()[0]} is a limit of accuracy, which takes labelled images: add --data")
    if measured == {lineup.measured} and accuracy:
        raise ConfigError(
            f"{accuracy[0]} is a limit of files beside a reference, which {lineup.measured} itself is: name another file"
        )
    for file in budgets.files:
        if file not in measured:
            yield f"{file} has limits of its own and was not measured."
