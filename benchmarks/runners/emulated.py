"""An emulated core as a runner: it counts instructions, which are no times, but the same at each count."""

import json
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgecnn.benchmarks.emulator import count_files
from edgecnn.benchmarks.emulator.count_files import REPEATS, WARM_UP
from edgecnn.benchmarks.emulator.counting import Stretch, count, counter
from edgecnn.benchmarks.emulator.packages import copy_project, site_of
from edgecnn.benchmarks.emulator.userland import CPUS, HOME, PROJECT, SITE, SYSTEMS, Board, emulator, root_of
from edgecnn.benchmarks.gate.gate import UNJUDGED
from edgecnn.benchmarks.runners.timed import BASE, exported, named_runtimes
from edgecnn.edge.errors import InvalidMeasurement, MissingDependency, field
from edgecnn.edge.export_records import Interval, Setting
from edgecnn.edge.files import temporary_folder
from edgecnn.edge.runtimes.installed import runtime_for

_SYSTEM = SYSTEMS["trixie-arm64"]
CORES = {CPUS[board]: board for board in _SYSTEM.cpus}
"""Cores that can be emulated -> the board that has them."""
# A count that varies more than this between calls is not the cost of one inference.
_STEADY = 0.01
# Runs before counting, and runs to count: for a search, one that allocates everything and one that shows whether it did.
_THOROUGHLY, _BRIEFLY = (WARM_UP, REPEATS), (2, 2)


@dataclass(frozen=True)
class Emulated:
    """Counts the ARM instructions of one inference on an emulated core. See `edgecnn.convert.export.config`.

    Attributes:
        core: A name in `CORES`.
        seconds: Longest time of a search for one format.
        say: Receives what is fetched the first time.
        formats: Names of the formats of the files: the board gets their default runtimes.
        runtime: Name of the runtime to tune for; None for the default one of each format.
    """

    core: str
    seconds: float
    say: Callable[[str], None]
    formats: tuple[str, ...]
    runtime: str | None = None
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
        emulator(), root_of(_SYSTEM), counter(), site_of(_SYSTEM, self.formats)

    def compare(self, folder: Path, base: str, *, thorough: bool) -> dict[str, Interval]:
        """See `Runner`; the interval is from the smallest to the largest count.

        Raises:
            CannotEmulate: If the emulator can't be made, or a file does not run on it.
            InvalidMeasurement: If a file's counts differ from one call to the next.
        """
        counts = self.counts(folder, thorough=thorough)
        _require_steady(counts.items())
        return {name: _ratio(found, counts[base]) for name, found in counts.items()}

    def counts(self, folder: Path, *, thorough: bool) -> dict[str, Stretch]:
        """Return what one inference of each exported file of a folder takes, steady or not.

        Raises:
            CannotEmulate: As in `compare`.
        """
        runtime = runtime_for(exported(folder)[0].format, self.runtime)
        counts = self._count(folder, [runtime], *(_THOROUGHLY if thorough else _BRIEFLY))
        if not counts:
            fix = f"omit {field('tune_runtime')}, or tune for another core" if self.runtime else "use another core"
            raise MissingDependency(f"{self.machine} does not run {runtime}: {fix}")
        return {name: found for (name, _), found in counts.items()}

    def settings(self, folder: Path, max_drop_points: float) -> tuple[Setting, ...]:
        """See `Runner`. Instructions of several threads would not tell how long they take, so there is one thread only."""
        (file,) = exported(folder)
        counts = self._count(folder, [None, *named_runtimes(file.format)], *_THOROUGHLY)
        of_default = counts[file.path, None]
        _require_steady((name, found) for (name, _), found in counts.items())
        return tuple(
            Setting(1, runtime, BASE if runtime is None else _ratio(found, of_default), None, None, UNJUDGED)
            for (_, runtime), found in counts.items()
        )

    def _count(self, folder: Path, runtimes: Sequence[str | None], *runs: int) -> dict[tuple[str, str | None], Stretch]:
        """Return the counts by names of file and runtime; each CPU of this machine takes a share of the files.

        Errors are those of `compare`.
        """
        files = exported(folder)
        with temporary_folder() as scratch:
            home, program, shares = scratch / "home", Path(count_files.__file__), min(os.cpu_count() or 1, len(files))
            shutil.copytree(folder, home / count_files.FOLDER)
            shutil.copy(program, home)
            (home / count_files.RUNTIMES).write_text(json.dumps(runtimes), encoding="utf-8")
            folders = {SITE: site_of(_SYSTEM, self.formats), PROJECT: copy_project(scratch / "project"), HOME: home}
            board = Board(_SYSTEM, CORES[self.core], folders)

            def counted(share: int) -> dict[tuple[str, str | None], Stretch]:
                printed, stretches = count(board, program.name, *map(str, (share, shares, *runs)))
                names = [(name, runtime) for name, runtime in json.loads(printed.splitlines()[-1])]
                return dict(zip(names, stretches, strict=True))

            with ThreadPoolExecutor(shares) as pool:
                counts = {key: found for share in pool.map(counted, range(shares)) for key, found in share.items()}
        return counts


def unsteady(found: Stretch) -> str | None:
    """Return that a count varies too much from one run to the next, as a file's predicate; None if it does not."""
    if found.spread <= _STEADY * found.instructions:
        return None
    return f"takes {found.instructions:,} instructions, but {found.spread:,} more or less from one run to the next"


def _require_steady(counts: Iterable[tuple[str, Stretch]]) -> None:
    for name, found in counts:
        if reason := unsteady(found):
            raise InvalidMeasurement(f"{name} {reason}: something else is running")


def _ratio(found: Stretch, base: Stretch) -> Interval:
    low, high = found.instructions - found.spread, found.instructions + found.spread
    return Interval(*(number / base.instructions for number in (found.instructions, low, high)))
