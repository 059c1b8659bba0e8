"""This machine as a yardstick."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgecnn.benchmarks.machine.host import Machine, read_machine
from edgecnn.benchmarks.measure.launches import measure
from edgecnn.benchmarks.measure.lineup import candidate_of
from edgecnn.benchmarks.measure.planning import PlanOptions
from edgecnn.benchmarks.yardsticks.launches import BRIEF, MOST_FILES, ratios
from edgecnn.edge.data.splits import Split
from edgecnn.edge.export_records import Interval
from edgecnn.edge.folder.model_folder import ModelFolder
from edgecnn.edge.runtimes import opener_for


@dataclass(frozen=True)
class Here:
    """Times files on this machine, with one thread, as `edgecnn bench` does. See `edgecnn.convert.export.tuning.yardstick`.

    Attributes:
        test: Test images, of which the first are timed.
        seconds: Longest time of a search for one format.
    """

    test: Split
    seconds: float
    unit: Literal["time"] = "time"
    most_files: int = MOST_FILES

    @property
    def machine(self) -> str:
        """CPU and board of this machine."""
        return machine_text(read_machine())

    def compare(self, folder: Path, base: str, *, thorough: bool) -> dict[str, Interval]:
        """See `Yardstick`."""
        models = ModelFolder(folder)
        files = models.manifest.exported if models.manifest else ()
        candidates = [candidate_of(models.model(file.path), opener_for(file.format), 1, self.test) for file in files]
        plan = PlanOptions() if thorough else BRIEF
        measured, _ = measure(candidates, plan, lambda processes, launches: None, lambda done, steps, text: None)
        names = [candidate.name for candidate in candidates]
        return ratios(dict(zip(names, measured.launches, strict=True)), base)


def machine_text(machine: Machine) -> str:
    """Return the names of a machine's CPU and board."""
    return ", ".join(filter(None, (machine.cpu or machine.machine, machine.board)))
