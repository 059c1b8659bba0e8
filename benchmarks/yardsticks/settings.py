"""The settings of a runtime that a yardstick tries, and what a benchmark says of them."""

from pathlib import Path

from edgecnn.benchmarks.results.latency_summary import launch_percentile, p50_ns
from edgecnn.benchmarks.results.records import FileResult, Report
from edgecnn.benchmarks.results.side_by_side import ratios
from edgecnn.edge.export_records import Interval, Setting
from edgecnn.edge.folder.model_folder import ModelFolder
from edgecnn.edge.formats import RUNTIMES
from edgecnn.edge.manifest import Artifact

BASE = Interval(1.0, 1.0, 1.0)
"""Cost of the first setting, with which the others are compared."""


def thread_counts(cores: int) -> tuple[int, ...]:
    """Return 1, 2, 4 and so on up to the number of cores, and that number."""
    powers = [2**power for power in range(cores.bit_length())]
    return tuple(sorted({*powers, cores}))


def exported(folder: Path) -> tuple[Artifact, ...]:
    """Return the entries of a folder's exported files, which all have one format."""
    models = ModelFolder(folder)
    assert models.manifest  # noqa: S101  # A yardstick gets no other folder.
    return models.manifest.exported


def named_runtimes(model_format: str) -> tuple[str, ...]:
    """Return the names of the runtimes that run files of a format only if they are named, installed or not."""
    return tuple(row.name for row in RUNTIMES.values() if model_format in row.formats and row.by_name)


def settings_of(report: Report) -> tuple[Setting, ...]:
    """Return the settings of a report on one file, the first of which is one thread of the default runtime.

    Intervals hold for all settings at once, since the best of them is recommended.
    """
    over_first = (BASE, *ratios([file.launches for file in report.files], 0)[1:])
    return tuple(_setting(file, ratio) for file, ratio in zip(report.files, over_first, strict=True))


def _setting(file: FileResult, ratio: Interval | None) -> Setting:
    # Of several runtimes, the name in the result is that of the file and the runtime's.
    runtime = next((word for word in file.name.split() if word in named_runtimes(file.artifact.format)), None)
    if ratio is None:
        raise ValueError(f"{file.name} must have been measured in several launches")
    p50, p99 = p50_ns(file.launches), launch_percentile(file.launches, 99).value_ns
    return Setting(file.threads, runtime, ratio, p50, None if p99 is None else float(p99), file.verdict.status)
