"""An emulated core as a yardstick: it counts instructions, which are no times, but the same at each count."""

import json
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgecnn.benchmarks.emulator import count_files
from edgecnn.benchmarks.emulator.counting import Stretch, count, counter
from edgecnn.benchmarks.emulator.marks import REPEATS, WARM_UP
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
# Runs before counting, and runs to count: for a search, one that allocates everything and one that shows whether it did.
_THOROUGHLY, _BRIEFLY = (WARM_UP, REPEATS), (2, 2)


@dataclass(frozen=True)
class Emulated:
    """Counts the ARM instructions of one inference on an emulated core. See `edgecnn.convert.export.tuning.yardstick`.

    Attributes:
        core: A name in `CORES`.
        seconds: Longest time of a search for one format.
        say: Receives what is fetched the first time.
    """

    core: str
    seconds: float
    say: Callable[[str], None]
    unit: Literal["instructions"] = "instructions"
    most_files: int = 33

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
        emulator(), root_of(_SYSTEM), counter(), site_of(_SYSTEM)

    def compare(self, folder: Path, base: str, *, thorough: bool) -> dict[str, Interval]:
        """See `Yardstick`; the interval is from the smallest to the largest count.

        Raises:
            CannotEmulate: If the emulator can't be made, or a file does not run on it.
            InvalidMeasurement: If a file's counts differ from one call to the next.
        """
        counts = self._counts(folder, *(_THOROUGHLY if thorough else _BRIEFLY))
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

    def _counts(self, folder: Path, *runs: int) -> dict[str, Stretch]:
        """Count every exported file of a folder; each CPU of this machine takes a share of them."""
        with temporary_folder() as scratch:
            home, program, shares = scratch / "home", Path(count_files.__file__), os.cpu_count() or 1
            shutil.copytree(folder, home / count_files.FOLDER)
            shutil.copy(program, home)
            folders = {SITE: site_of(_SYSTEM), PROJECT: copy_project(scratch / "project"), HOME: home}
            board = Board(_SYSTEM, CORES[self.core], folders)

            def counted(share: int) -> dict[str, Stretch]:
                printed, stretches = count(board, program.name, *map(str, (share, shares, *runs)))
                names: list[str] = json.loads(printed.splitlines()[-1])
                return dict(zip(names, stretches, strict=True))

            with ThreadPoolExecutor(shares) as pool:
                return {name: found for share in pool.map(counted, range(shares)) for name, found in share.items()}
