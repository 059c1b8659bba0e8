"""Reads and compares results of benchmarks, and measures this machine's noise."""

from collections.abc import Sequence
from pathlib import Path

from edgecnn.api.usage import Usage
from edgecnn.benchmarks.compare.compare import Comparison, compare_reports
from edgecnn.benchmarks.compare.selftest import SelfTest, read_floor
from edgecnn.benchmarks.compare.selftest import selftest as run_selftest
from edgecnn.benchmarks.judge.gate import Policy
from edgecnn.benchmarks.measure.lineup import candidate_of
from edgecnn.benchmarks.measure.schedule import steps_of
from edgecnn.benchmarks.results.devices import DeviceResults
from edgecnn.benchmarks.results.read import read_report as read_one
from edgecnn.benchmarks.results.read import read_results as read_any
from edgecnn.benchmarks.results.records import Report
from edgecnn.benchmarks.timing.latency import Plan
from edgecnn.edge.data.folder_options import NO_OPTIONS, FolderOptions
from edgecnn.edge.errors import ConfigError
from edgecnn.edge.folder.model_folder import ModelFolder
from edgecnn.edge.progress import SILENT, Progress

Side = str | Path | Report | Sequence[str | Path | Report]
"""A result, or several of one side: as returned by `edgecnn.bench`, or paths of their JSON."""


def read_report(path: str | Path) -> Report:
    """Read the JSON of a benchmark, written by `edgecnn bench` or `Report.to_json` of this or an earlier release.

    `boards.json/pi4` is the result of one board in the file that a benchmark of several devices wrote.

    Raises:
        ArtifactError: If it is missing, damaged, not a result, or has a layout unknown to this edgecnn.
        ConfigError: If it has several boards' results and none of them is named.
    """
    return read_one(Path(path))


def read_results(path: str | Path) -> Report | DeviceResults:
    """Read the JSON of a benchmark, as `read_report` does, or all results of a benchmark of several devices.

    Raises:
        ArtifactError: If it is missing, damaged, not a result, or has a layout unknown to this edgecnn.
        ConfigError: If it has several boards' results and not the named one.
    """
    return read_any(Path(path))


def compare(
    old: Side,
    new: Side,
    *,
    floor: str | Path | None = None,
    max_slowdown_percent: float | None = None,
    force: bool = False,
    allow: Sequence[str] = (),
) -> Comparison:
    """Find which files became faster or slower between the results of two sides.

    A file that is slower than the limit raises no exception: see `changes` and `refused` of the result.

    Args:
        old: Results of the old side: one, or several for intervals that hold between benchmarks.
        new: Results of the new side.
        floor: What `edgecnn.selftest` measured on this machine, as a JSON file, for one result a side.
        max_slowdown_percent: How much slower a file may have become, 0 to 1,000 %. Default: no limit.
        force: Whether to compare results of different machines or inputs, or without some of the old files, anyway.
        allow: Names of noise that is judged anyway, or `noise` for all of it.

    Raises:
        ArtifactError: If a file is missing, damaged or not a result.
        ConfigError: If the results are from different machines or inputs, share no file, or a limit is out of range or is for
            a file that the new side lacks.
    """
    then, now = _named(old, "old"), _named(new, "new")
    between = read_floor(Path(floor), [report for _, report in (*then, *now)]) if floor else None
    return compare_reports(then, now, max_slowdown_percent, force=force, policy=Policy(tuple(allow)), floor=between)


def selftest(
    file: str | Path,
    *,
    trials: int = 20,
    plan: Plan = Plan(0.2, 200, 5),
    data: str | Path | None = None,
    images: FolderOptions = NO_OPTIONS,
    trust: Sequence[str] = (),
    threads: int = 1,
    progress: Progress = SILENT,
) -> SelfTest:
    """Compare a file with itself: this machine's noise floor, and whether the intervals hold on it (`holds`).

    Args:
        file: A file that edgecnn exported.
        trials: Number of comparisons of the file with itself, 4 to 1,000.
        plan: Seconds, runs and processes of each side of a comparison.
        data: Where the file's test images are now. Default: the place in its manifest.
        images: How a folder of images is read.
        trust: Names of Python modules that define a Keras model's own layers. Their code runs.
        threads: Number of threads of the runtime, 1 to 64.
        progress: Receives the progress.

    Raises:
        ArtifactError: If the file is missing, damaged or stale.
        ConfigError: If edgecnn did not export it, or a number is out of range.
        MissingDependency: If its runtime is not installed.
    """
    with ModelFolder(file) as models:
        model = models.model()
        if model.manifest is None:
            raise ConfigError(f"{file}: {model.unverified}: selftest needs a file that edgecnn exported")
        opener = Usage(trust=trust).opener(model.format)
        candidate = candidate_of(model, opener, threads, models.test_images(data, images))
        return run_selftest(candidate, plan, trials, steps_of(progress))


def _named(side: Side, name: str) -> list[tuple[str, Report]]:
    """Return each result with its name for messages."""
    several = [side] if isinstance(side, (str, Path, Report)) else list(side)
    return [
        (name if len(several) == 1 else f"{name} {place + 1}", item)
        if isinstance(item, Report)
        else (str(item), read_report(item))
        for place, item in enumerate(several)
    ]
