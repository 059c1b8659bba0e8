"""What networks cost before they are trained: the size of a file and its time do not depend on its weights."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import copyfile
from typing import Any

import numpy as np

from edgecnn.benchmarks.gate.budget import Budget, Budgets
from edgecnn.benchmarks.gate.checks import judge
from edgecnn.benchmarks.gate.gate import FAIL, INVALID, PASS, Policy, Status
from edgecnn.benchmarks.machine.host import Machine, machine_text, read_machine
from edgecnn.benchmarks.measure.candidates import models_candidates
from edgecnn.benchmarks.measure.options import BenchOptions, Plan, PlanOptions
from edgecnn.benchmarks.measure.run import benchmark, figures_of
from edgecnn.benchmarks.results.fit import FittedFile, NetworkCost, NetworkCosts
from edgecnn.benchmarks.results.latency_summary import fastest_round
from edgecnn.benchmarks.results.records import FileResult, Report
from edgecnn.benchmarks.runners.choose import TUNE_SECONDS
from edgecnn.benchmarks.runners.emulated import CORES, Emulated, unsteady
from edgecnn.benchmarks.runners.timed import OverSsh
from edgecnn.convert.export.export import export as export_model
from edgecnn.convert.training.config import TrainConfig
from edgecnn.convert.training.train import fitted_interface
from edgecnn.edge.data.splits import ArraySplit, Split
from edgecnn.edge.errors import ArtifactError
from edgecnn.edge.files import read_bytes, temporary_folder, write_bytes
from edgecnn.edge.graph.summary import Summary, summarize
from edgecnn.edge.manifest import MODEL_NAME, Manifest
from edgecnn.edge.model.interface import SCHEMES, Interface
from edgecnn.edge.model_file import read_model
from edgecnn.edge.packages import versions
from edgecnn.edge.records import from_json, to_json
from edgecnn.edge.result import SILENT
from edgecnn.edge.runtimes import opener_for
from edgecnn.edge.sandbox.unverified import remember_made
from edgecnn.edge.text import counted
from edgecnn.workflows.networks import NetworkWork

# Images of an untrained network's export: its cost does not depend on them.
_FEW = 16
_BRIEF = Plan(min_seconds=0.3, min_runs=120, launches=1, rounds=12, max_seconds=3)
_BRIEFLY = ("--allow=noise", "--launches=1", "--min-seconds=0.3", "--min-runs=120")
# Processes of so many files are open at once.
_SIDE_BY_SIDE = 8
_P90 = 90.0


@dataclass(frozen=True)
class Cost:
    """What a file takes where it is for.

    Attributes:
        precision: Its precision.
        size_bytes: Its size in bytes.
        p90_ns: 90th percentile of its time in nanoseconds; None if there were too few runs, or on an emulated core.
        fastest_ns: Median of its fastest round in nanoseconds; None on an emulated core.
        instructions: Those of one image on an emulated core; None where times are measured.
        status: `PASS` if it is within the limits.
        reasons: What each limit says that it is not shown to be within.
    """

    precision: str
    size_bytes: int
    p90_ns: float | None
    fastest_ns: float | None
    instructions: int | None
    status: Status
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class FitJob:
    """A search.

    Attributes:
        work: What is done for each network.
        base: Settings of all trainings; the networks, their filters and epochs are planned.
        transfers: Settings of the networks trained on ImageNet that are tried too; otherwise as in `base`.
        sizes: Smaller sizes (height, width) of the images that are tried too.
        budget: The limits of time and size.
        minutes: Limit of the training time.
        max_instructions: Limit of the instructions of one image on an emulated core, or None.
        device: The board, as ssh takes it, or an emulated core; None for this machine.
        board: What the board found of itself; None for another machine.
        policy: How noise is handled where the files are judged.
        command: Command that repeats it.
        ray: Address of the Ray cluster that trains; None for this process.
    """

    work: NetworkWork
    base: TrainConfig
    transfers: tuple[TrainConfig, ...]
    sizes: tuple[tuple[int, int], ...]
    budget: Budget
    max_instructions: int | None
    minutes: float
    device: str | None
    board: Machine | None
    policy: Policy
    command: str
    ray: str | None

    @property
    def core(self) -> Emulated | None:
        """The emulated core whose instructions are counted, if times are measured nowhere."""
        if self.device not in CORES:
            return None
        return Emulated(self.device, TUNE_SECONDS, self.work.progress.say, self.work.exporting.formats)

    @property
    def machine(self) -> str:
        """Where the time is measured, in words."""
        if self.core:
            return self.core.machine
        return f"{self.device} ({machine_text(self.board)})" if self.board else machine_text(read_machine())

    @property
    def most(self) -> float | None:
        """The limit of the 90th percentile of the time in nanoseconds, or of the instructions; None without a limit."""
        slow = self.budget.max_p90_ms
        return self.max_instructions if self.core else None if slow is None else slow * 1e6

    @property
    def limits(self) -> dict[str, float]:
        """The limits by their names."""
        limits = {
            "max_p90_ms": self.budget.max_p90_ms,
            "max_instructions": self.max_instructions,
            "max_size_kib": self.budget.max_size_kib,
        }
        return {name: limit for name, limit in limits.items() if limit is not None}

    @property
    def precisions(self) -> tuple[str, ...]:
        """Precisions of the files that show what a network costs: a tuned file is as fast as the faster one, or faster."""
        return ("int8", "float32") if self.work.tuning else self.work.exporting.precisions

    def is_small(self, cost: NetworkCost | FittedFile, times: float = 1.0) -> bool:
        """Return whether a network's file has at most so many times the limit of size."""
        large = self.budget.max_size_kib
        return large is None or cost.size_bytes <= times * large * 1024

    def best_of(self, costs: Sequence[NetworkCost]) -> NetworkCost:
        """Return the fastest of those within the limit of size, or else the smallest."""
        return min(costs, key=lambda cost: (0, cost.limited) if self.is_small(cost) else (1, cost.size_bytes))

    def is_within(self, cost: NetworkCost | FittedFile, times: float = 1.0) -> bool:
        """Return whether a network costs at most so many times the limits."""
        return self.is_small(cost, times) and (self.most is None or (cost.limited or float("inf")) <= times * self.most)


def kept_costs(
    job: FitJob, models: Mapping[str, Callable[[], Any]], path: Path, made_of: str | None = None
) -> tuple[NetworkCost, ...]:
    """Return what these models cost, or what an earlier call has written to `path`; `made_of` is a model's digest.

    Of a network's files of several precisions, that of `FitJob.best_of` counts; all are kept, since another call may have
    other limits.
    """
    dataset = job.work.dataset
    classes = counted(dataset.class_names, "class")
    measured_for = f"{job.machine}, {dataset.train.shape}, {classes}, {' or '.join(map(job.work.file_of, job.precisions))}"
    measured_for += f", of {made_of}" if made_of else ""
    with suppress(ArtifactError):
        kept = from_json(NetworkCosts, read_bytes(path), str(path))
        if kept.measured_for == measured_for and {cost.name for cost in kept.networks} == {*models}:
            job.work.progress.say(f"{counted(models, 'network')}: measured before")
            return _best(job, models, kept.networks)
    kinds = " and as ".join(map(job.work.file_of, job.precisions))
    job.work.progress.say(f"Measuring what {counted(models, 'network')} cost before any is trained, each as {kinds}")
    found = costs(job, models, job.precisions)
    write_bytes(path, to_json(NetworkCosts(measured_for, found)).encode())
    return _best(job, models, found)


def _best(job: FitJob, names: Iterable[str], found: Sequence[NetworkCost]) -> tuple[NetworkCost, ...]:
    return tuple(job.best_of([cost for cost in found if cost.name == name]) for name in names)


def costs(job: FitJob, models: Mapping[str, Callable[[], Any]], precisions: tuple[str, ...]) -> tuple[NetworkCost, ...]:
    """Return what networks cost where they are for, in each precision.

    Args:
        job: The search.
        models: Functions that return the Keras models, by the networks' names.
        precisions: Those of the files, one after the other for each network.

    Raises:
        ConversionError: If one can't be exported.
        EdgeCnnError: If the board gives no result.
    """
    dataset, exporting = job.work.dataset, replace(job.work.exporting, precisions=precisions)
    few = replace(
        dataset, train=_first(dataset.train), test=_first(dataset.test), val=None, val_share=None, val_seed=None, earlier=None
    )
    interface = fitted_interface(job.work.interface or Interface(SCHEMES["unit"]), few)
    with temporary_folder() as folder:
        files, exported, results = list[str](), list[tuple[str, Summary]](), list[Cost]()
        for place, (name, build) in enumerate(models.items()):
            job.work.progress.step(place, len(models), f"{name}: converting")
            path = folder / f"{place}.keras"
            build().save(path)
            remember_made(path.read_bytes())
            export_model(path, few, exporting, interface, folder / str(place))
            files += [f"{place}/{job.work.file_of(precision)}" for precision in precisions]
            exported += [(name, summarize(MODEL_NAME, read_model(folder / str(place) / MODEL_NAME)))] * len(precisions)
        together = job.core.most_files if job.core else _SIDE_BY_SIDE
        for start in range(0, len(files), together):
            job.work.progress.step(start, len(files), "measuring")
            results += measured(job, folder, files[start : start + together], few.test, brief=True)
    return tuple(
        NetworkCost(
            name, of.parameters, of.macs, cost.size_bytes, cost.p90_ns, cost.fastest_ns, cost.precision, cost.instructions
        )
        for (name, of), cost in zip(exported, results, strict=True)
    )


def _first(split: Split) -> ArraySplit:
    count = min(_FEW, len(split.labels))
    return ArraySplit(split.images(range(count)), split.labels[:count])


def measured(job: FitJob, root: Path, files: Sequence[str], test: Split, brief: bool = False) -> list[Cost]:
    """Return what files in folders of `root` take where they are for; a board measures a folder after another."""
    if job.core:
        return _counted(job, job.core, root, files, brief)
    model_format = job.work.exporting.formats[0]
    if job.device is None:
        options = BenchOptions(plan=_BRIEF if brief else PlanOptions())
        candidate_set = models_candidates(root, files, options, opener_for(model_format), test)
        budget = Budget(max_drop_points=None) if brief else job.budget
        policy, progress = (Policy(("noise",)), SILENT) if brief else (job.policy, job.work.progress)
        made_with = versions("numpy")
        report = benchmark(
            candidate_set, options, Budgets(budget, {}), policy, command=job.command, versions=made_with, progress=progress
        )
        return [_timed(result, brief) for result in report.files]
    there, reports = OverSsh(job.device, test, 0), dict[Path, Report]()
    folders = [(root / file).parent for file in files]
    for place, folder in enumerate(dict.fromkeys(folders)):
        job.work.progress.step(place, len({*folders}), f"{job.device}: measuring")
        reports[folder] = there.bench(folder, (*(_BRIEFLY if brief else ()), "--max-drop=100", f"--runtime={model_format}"))
    found = zip(folders, files, strict=True)
    return [_timed(_judged(job, reports[folder], Path(file).name), brief) for folder, file in found]


def _judged(job: FitJob, report: Report, name: str) -> FileResult:
    """Return a file that a board measured, judged here by the limits alone: its accuracy there is that of few images."""
    file = next(item for item in report.files if item.artifact.path == name)
    figures = figures_of(replace(file, accuracy=None), report.reference, report.class_names, None)
    return replace(file, verdict=judge(figures, job.budget, report.noise, job.policy))


def _timed(result: FileResult, brief: bool) -> Cost:
    file, verdict = result.artifact, result.verdict
    found = next((item.value_ns for item in result.latency.percentiles if item.percent == _P90), None)
    slow = None if found is None else float(found)
    if slow is None and brief:  # There were too few runs: the slowest counts.
        slow = float(max(np.max(item.measured.unpack()) for launch in result.launches for item in launch.rounds))
    reasons = tuple(check.text for check in verdict.checks if check.status != PASS)
    status = verdict.status if verdict.judged else PASS
    return Cost(file.precision, file.size_bytes, slow, fastest_round(result.launches), None, status, reasons)


def _counted(job: FitJob, core: Emulated, root: Path, files: Sequence[str], brief: bool) -> list[Cost]:
    manifests = [Manifest.load((root / file).parent) for file in files]
    with temporary_folder() as folder:
        entries = []
        for place, (file, manifest) in enumerate(zip(files, manifests, strict=True)):
            artifact, path = manifest.artifact(Path(file).name), f"{place}{Path(file).suffix}"
            assert artifact  # noqa: S101  # They were exported.
            copyfile(root / file, folder / path)
            entries.append(replace(artifact, path=path, source_sha256=None))  # Each is made of another model.
        together = (manifests[0].source(), *entries)
        replace(manifests[0], artifacts=together, reference=None, for_programs=()).save(folder)
        counts = core.counts(folder, thorough=not brief)
    found = []
    for entry in entries:
        stretch = counts[entry.path]
        instructions, invalid = stretch.instructions, None if brief else unsteady(stretch)
        large = job.budget.max_size_kib is not None and entry.size_bytes > job.budget.max_size_kib * 1024
        slow = job.max_instructions is not None and instructions > job.max_instructions
        reasons = [f"{instructions:,} instructions are more than {job.max_instructions:,}"] if slow else []
        reasons += [f"{entry.size_bytes / 1024:.1f} KiB are more than {job.budget.max_size_kib:g}"] if large else []
        status: Status = FAIL if reasons else INVALID if invalid else PASS
        reasons += [f"it {invalid}"] if invalid else []
        found.append(Cost(entry.precision, entry.size_bytes, None, None, instructions, status, tuple(reasons)))
    return found
