"""Runners that time files: this machine, and a board over ssh; and the settings of a runtime that a runner tries."""

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from edgecnn.benchmarks.bundle.write_bundle import write_bundle
from edgecnn.benchmarks.gate.budget import load_budgets
from edgecnn.benchmarks.gate.gate import Policy
from edgecnn.benchmarks.machine.host import Machine, machine_text, read_machine
from edgecnn.benchmarks.measure.candidates import candidate_of, folder_candidates
from edgecnn.benchmarks.measure.launches import Candidate, measure
from edgecnn.benchmarks.measure.options import BenchOptions, Plan, PlanOptions
from edgecnn.benchmarks.measure.run import benchmark
from edgecnn.benchmarks.remote.install import running_version
from edgecnn.benchmarks.remote.received import judged_here, sent
from edgecnn.benchmarks.remote.remote import Job, bench_devices
from edgecnn.benchmarks.results.latency_summary import launch_percentile, p50_ns, ratios
from edgecnn.benchmarks.results.records import Launch, Report
from edgecnn.edge.data.splits import Split
from edgecnn.edge.errors import EdgeCnnError, MissingDependency, setting
from edgecnn.edge.export_records import Interval, Setting
from edgecnn.edge.files import temporary_folder
from edgecnn.edge.formats import MOST_THREADS, RUNTIMES
from edgecnn.edge.manifest import Artifact
from edgecnn.edge.model_folder import ModelFolder
from edgecnn.edge.result import SILENT
from edgecnn.edge.runtimes import opener_for
from edgecnn.edge.runtimes.installed import runtime_for

BASE = Interval(1.0, 1.0, 1.0)
"""Cost of the file or setting with which the others are compared."""
BRIEF = Plan(min_seconds=0.12, min_runs=24, launches=1, rounds=6, max_seconds=2)
"""For a search: a process for each file, and rounds that take turns."""
THOROUGH = PlanOptions(until_width_percent=3)
"""For the proof: on a busy machine, a few launches would have intervals that hide a gain of a tenth."""
MOST_FILES = 9
"""Number of files that are timed side by side: with more, the machine drifts from the first to the last of a round."""
# What disturbs a run makes it longer: of few runs, a low percentile differs least from one measurement to the next.
_LOW_PERCENT = 10
# Accuracy is judged here; there, images only have to warm the model up and be timed.
_IMAGES = 50
# Images that judge other runtimes there, in bytes of pixels.
_JUDGED_BYTES = 2**23
_THOROUGHLY = (f"--until-width={THOROUGH.until_width_percent}",)
_BRIEFLY = (f"--launches={BRIEF.launches}", f"--min-seconds={BRIEF.min_seconds}", f"--min-runs={BRIEF.min_runs}")


def thread_counts(cores: int) -> tuple[int, ...]:
    """Return 1, 2, 4 and so on up to the number of cores, and that number; at most as many as a runtime takes."""
    cores = min(cores, MOST_THREADS)
    powers = [2**power for power in range(cores.bit_length())]
    return tuple(sorted({*powers, cores}))


def exported(folder: Path) -> tuple[Artifact, ...]:
    """Return the entries of a folder's exported files: of one format, unless the best of each are compared."""
    models = ModelFolder(folder)
    assert models.manifest  # noqa: S101  # A runner gets no other folder.
    return models.manifest.exported


def named_runtimes(model_format: str) -> tuple[str, ...]:
    """Return the names of the runtimes that run files of a format only if they are named, installed or not."""
    return tuple(row.name for row in RUNTIMES.values() if model_format in row.formats and row.by_name)


def settings_of(report: Report) -> tuple[Setting, ...]:
    """Return the settings of a report on one file, the first of which is one thread of the default runtime.

    Intervals hold for all settings at once, since the best of them is recommended.
    """
    named = {row.name_in_results: row.name for row in RUNTIMES.values() if row.by_name}
    over_first = (BASE, *ratios([file.launches for file in report.files], 0)[1:])
    settings = []
    for file, ratio in zip(report.files, over_first, strict=True):
        if ratio is None:
            raise ValueError(f"{file.name} must have been measured in several launches")
        p50, p99 = p50_ns(file.launches), launch_percentile(file.launches, 99).value_ns
        slow = None if p99 is None else float(p99)
        settings.append(Setting(file.threads, named.get(file.runtime_name), ratio, p50, slow, file.verdict.status))
    return tuple(settings)


def pair_ratios(launches: Mapping[str, Sequence[Launch]], base: str) -> dict[str, Interval]:
    """Return each file's time divided by the base's; with an interval, from medians, if there are several launches.

    Each interval is that of its own pair: both files were named before these launches, and a tuned file must beat every plain
    one, so that more of them don't make a wrong claim likelier.
    """
    return {name: _ratio(own, launches[base], name == base) for name, own in launches.items()}


def _ratio(own: Sequence[Launch], base: Sequence[Launch], same: bool) -> Interval:
    if same:
        return BASE
    if found := ratios((own, base), 1)[0]:
        return found
    low, low_of_base = (
        np.array([np.percentile(item.measured.unpack(), _LOW_PERCENT) for launch in of for item in launch.rounds])
        for of in (own, base)
    )
    estimate = float(np.exp(np.log(low / low_of_base).mean()))
    return Interval(estimate, estimate, estimate)


@dataclass(frozen=True)
class Here:
    """Times files on this machine, with one thread, as `edgecnn bench` does. See `edgecnn.convert.export.config`.

    Attributes:
        test: Test images, of which the first are timed.
        seconds: Longest time of a search for one format.
        runtime: Name of the runtime to tune for; None for the default one of each format.
    """

    test: Split
    seconds: float
    runtime: str | None = None
    unit: Literal["time"] = "time"
    most_files: int = MOST_FILES

    @property
    def machine(self) -> str:
        """CPU and board of this machine."""
        return machine_text(read_machine())

    def compare(self, folder: Path, base: str, *, thorough: bool) -> dict[str, Interval]:
        """See `Runner`."""
        models, candidates = ModelFolder(folder), list[Candidate]()
        for file in exported(folder):
            opener = opener_for(runtime_for(file.format, self.runtime) or file.format)
            candidates.append(candidate_of(models.model(file.path), opener, 1, self.test))
        plan = THOROUGH if thorough else BRIEF
        measured, _ = measure(candidates, plan, lambda processes, launches: None, SILENT)
        names = [candidate.name for candidate in candidates]
        return pair_ratios(dict(zip(names, measured.launches, strict=True)), base)

    def settings(self, folder: Path, max_drop_points: float) -> tuple[Setting, ...]:
        """See `Runner`. A runtime that refuses the file is skipped."""
        (file,) = exported(folder)
        openers = [opener_for(file.format)]
        for name in named_runtimes(file.format):
            with suppress(MissingDependency):
                openers.append(opener_for(name))
        options = BenchOptions(threads=thread_counts(read_machine().cores))
        candidate_set = folder_candidates(ModelFolder(folder), options, {file.format: openers}, self.test)
        budgets = load_budgets(None, {"max_drop_points": max_drop_points}, ())
        return settings_of(benchmark(candidate_set, options, budgets, Policy(("noise",)), command="", versions={}))


def installed_by(host: str, formats: Sequence[str] = (), runtime: str | None = None) -> str:
    """Return what installs edgecnn on a board, with the default runtimes of formats or one that is named, for a message."""
    named = f" --runtime {runtime}" if runtime else ""
    of = f"an export with {' '.join(setting('formats', name) for name in formats)}, but" if formats else "any export"
    return f"edgecnn bench FOLDER --device {host} --install{named}, with the FOLDER of {of} without --tune"


@dataclass(frozen=True)
class OverSsh:
    """Times files on a board by `edgecnn bench` there. See `edgecnn.convert.export.config`.

    Attributes:
        host: The board as ssh takes it.
        test: Test images.
        seconds: Longest time of a search for one format.
        runtime: Name of the runtime to tune for; None for the default one of each format.
        board: What it found of itself; None if it was not asked.
    """

    host: str
    test: Split
    seconds: float
    runtime: str | None = None
    board: Machine | None = None
    unit: Literal["time"] = "time"
    most_files: int = MOST_FILES

    @property
    def machine(self) -> str:
        """The board in words, or else its host."""
        return machine_text(self.board) if self.board else self.host

    def compare(self, folder: Path, base: str, *, thorough: bool) -> dict[str, Interval]:
        """See `Runner`.

        Raises:
            EdgeCnnError: If the board gives no result; the message is the reason.
        """
        runtime = runtime_for(exported(folder)[0].format, self.runtime)
        named = (f"--runtime={runtime}",) if runtime else ()
        report = self.bench(folder, ("--max-drop=100", *named, *(_THOROUGHLY if thorough else _BRIEFLY)))
        return pair_ratios({file.artifact.path: file.launches for file in report.files}, base)

    def settings(self, folder: Path, max_drop_points: float) -> tuple[Setting, ...]:
        """See `Runner`. A runtime that the board lacks, or that refuses the file, is skipped."""
        (file,) = exported(folder)
        image_bytes, cores = math.prod(self.test.shape), self.board.cores if self.board else 1
        asked = [f"--max-drop={max_drop_points}", f"--threads={','.join(map(str, thread_counts(cores)))}"]
        asked += [f"--runtime={name}" for name in (file.format, *named_runtimes(file.format))]
        return settings_of(self.bench(folder, asked, max(_IMAGES, _JUDGED_BYTES // image_bytes)))

    def bench(self, folder: Path, arguments: Sequence[str], most_images: int = _IMAGES) -> Report:
        """Return what `edgecnn bench` with these arguments measures of a folder's files there; noise is allowed.

        Raises:
            EdgeCnnError: If the board gives no result; the message is the reason.
        """
        with temporary_folder() as scratch:
            bundle = scratch / "tuning.zip"
            write_bundle(bundle, ModelFolder(folder), self.test, test_images=min(most_images, len(self.test.labels)))
            given = (*arguments, "--allow=noise")
            job = Job(bundle, given, running_version(), installed_by(self.host), partial(judged_here, of=sent(bundle, given)))
            (device,) = bench_devices([self.host], job, "edgecnn export").devices
        if device.result is None:
            raise EdgeCnnError(f"{self.host}: {device.error}")
        return device.result
