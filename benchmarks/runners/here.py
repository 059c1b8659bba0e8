"""This machine as a runner."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgecnn.benchmarks.gate.budget import load_budgets
from edgecnn.benchmarks.gate.gate import Policy
from edgecnn.benchmarks.machine.host import Machine, read_machine
from edgecnn.benchmarks.measure.candidates import candidate_of, folder_candidates
from edgecnn.benchmarks.measure.launches import measure
from edgecnn.benchmarks.measure.options import BenchOptions
from edgecnn.benchmarks.measure.run import benchmark
from edgecnn.benchmarks.runners.settings import (
    BRIEF,
    MOST_FILES,
    THOROUGH,
    exported,
    named_runtimes,
    pair_ratios,
    settings_of,
    thread_counts,
)
from edgecnn.edge.data.splits import Split
from edgecnn.edge.errors import MissingDependency
from edgecnn.edge.export_records import Interval, Setting
from edgecnn.edge.model_folder import ModelFolder
from edgecnn.edge.result import SILENT
from edgecnn.edge.runtimes import opener_for
from edgecnn.edge.runtimes.installed import runtime_for


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
        models, files = ModelFolder(folder), exported(folder)
        openers = [opener_for(runtime_for(file.format, self.runtime) or file.format) for file in files]
        candidates = [
            candidate_of(models.model(file.path), opener, 1, self.test) for file, opener in zip(files, openers, strict=True)
        ]
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


def machine_text(machine: Machine) -> str:
    """Return the names of a machine's CPU and board."""
    return ", ".join(filter(None, (machine.cpu or machine.machine, machine.board)))
