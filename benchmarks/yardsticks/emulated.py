"""An emulated core as a yardstick: it counts instructions, which are no times, but the same at each count."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgecnn.benchmarks.emulator import count_files
from edgecnn.benchmarks.emulator.counting import count, counter
from edgecnn.benchmarks.emulator.packages import copy_project, site_of
from edgecnn.benchmarks.emulator.userland import CPUS, HOME, PROJECT, SITE, SYSTEMS, Board, emulator, root_of
from edgecnn.edge.errors import InvalidMeasurement
from edgecnn.edge.export_records import Interval
from edgecnn.edge.temporary import temporary_folder

_SYSTEM = SYSTEMS["trixie-arm64"]
CORES = {CPUS[board]: board for board in _SYSTEM.cpus}
"""Cores that can be emulated -> the board that has them."""
# A count that varies more than this between calls is not the cost of one inference.
_STEADY = 0.01


@dataclass(frozen=True)
class Emulated:
    """Counts the ARM instructions of one inference on an emulated core. See `edgecnn.convert.export.tuning.yardstick`.

    Attributes:
        core: A name in `CORES`.
        seconds: Longest time of a search for one format.
        say: Receives what is fetched the first time.
        formats: Names of the formats of the files: the board gets their default runtimes.
    """

    core: str
    seconds: float
    say: Callable[[str], None]
    formats: tuple[str, ...]
    unit: Literal["instructions"] = "instructions"

    @property
    def machine(self) -> str:
        """The core in words."""
        return f"an emulated {self.core.title()}"

    def prepare(self) -> None:
        """Fetch and make what the emulator needs; what is there already takes no time.

        Raises:
            CannotEmulate: If this machine can't emulate it.
        """
        self.say(f"preparing the emulated {self.core.title()}: minutes the first time, for Debian's and Python's packages")
        emulator(), root_of(_SYSTEM), counter(), site_of(_SYSTEM, self.formats)

    def compare(self, folder: Path, base: str, *, thorough: bool) -> dict[str, Interval]:
        """See `Yardstick`; the interval is from the smallest to the largest count.

        Raises:
            CannotEmulate: If the emulator can't be made, or a file does not run on it.
            InvalidMeasurement: If a file's counts differ from one call to the next.
        """
        with temporary_folder() as scratch:
            home = scratch / "home"
            shutil.copytree(folder, home / count_files.FOLDER)
            shutil.copy(Path(count_files.__file__), home)
            folders = {SITE: site_of(_SYSTEM, self.formats), PROJECT: copy_project(scratch / "project"), HOME: home}
            board = Board(_SYSTEM, CORES[self.core], folders)
            printed, stretches = count(board, Path(count_files.__file__).name)
        names: list[str] = json.loads(printed.splitlines()[-1])
        counts = dict(zip(names, stretches, strict=True))
        for name, found in counts.items():
            if found.spread > _STEADY * found.instructions:
                raise InvalidMeasurement(
                    f"{name} takes {found.instructions:,} instructions, but {found.spread:,} more or less from one run to the "
                    "next: something else is running"
                )
        of_base = counts[base].instructions
        return {
            name: Interval(
                found.instructions / of_base,
                (found.instructions - found.spread) / of_base,
                (found.instructions + found.spread) / of_base,
            )
            for name, found in counts.items()
        }
