"""The settings of a runtime that a runner tries, and the ratios of their times."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from edgecnn.benchmarks.measure.options import Plan, PlanOptions
from edgecnn.benchmarks.results.latency_summary import launch_percentile, p50_ns, ratios
from edgecnn.benchmarks.results.records import FileResult, Launch, Report
from edgecnn.edge.export_records import Interval, Setting
from edgecnn.edge.formats import RUNTIMES
from edgecnn.edge.manifest import Artifact
from edgecnn.edge.model_folder import ModelFolder

BASE = Interval(1.0, 1.0, 1.0)
"""Cost of the first setting, with which the others are compared."""


def thread_counts(cores: int) -> tuple[int, ...]:
    """Return 1, 2, 4 and so on up to the number of cores, and that number."""
    powers = [2**power for power in range(cores.bit_length())]
    return tuple(sorted({*powers, cores}))


def exported(folder: Path) -> tuple[Artifact, ...]:
    """Return the entries of a folder's exported files, which all have one format."""
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
    over_first = (BASE, *ratios([file.launches for file in report.files], 0)[1:])
    return tuple(_setting(file, ratio) for file, ratio in zip(report.files, over_first, strict=True))


def _setting(file: FileResult, ratio: Interval | None) -> Setting:
    # Of several runtimes, the name in the result is that of the file and the runtime's.
    runtime = next((word for word in file.name.split() if word in named_runtimes(file.artifact.format)), None)
    if ratio is None:
        raise ValueError(f"{file.name} must have been measured in several launches")
    p50, p99 = p50_ns(file.launches), launch_percentile(file.launches, 99).value_ns
    return Setting(file.threads, runtime, ratio, p50, None if p99 is None else float(p99), file.verdict.status)


BRIEF = Plan(min_seconds=0.12, min_runs=24, launches=1, rounds=6, max_seconds=2)
"""For a search: a process for each file, and rounds that take turns."""
THOROUGH = PlanOptions(until_width_percent=3)
"""For the proof: on a busy machine, a few launches would have intervals that hide a gain of a tenth."""
MOST_FILES = 9
"""Number of files that are timed side by side: with more, the machine drifts from the first to the last of a round."""
# What disturbs a run makes it longer: of few runs, a low percentile differs least from one measurement to the next.
_LOW_PERCENT = 10


def pair_ratios(launches: Mapping[str, Sequence[Launch]], base: str) -> dict[str, Interval]:
    """Return each file's time divided by the base's; with an interval, from medians, if there are several launches.

    Each interval is that of its own pair: both files were named before these launches, and a tuned file must beat every plain
    one, so that more of them don't make a wrong claim likelier.
    """
    return {name: _ratio(own, launches[base], name == base) for name, own in launches.items()}


def _ratio(own: Sequence[Launch], base: Sequence[Launch], same: bool) -> Interval:
    if same:
        return Interval(1.0, 1.0, 1.0)
    if found := ratios((own, base), 1)[0]:
        return found
    low, low_of_base = (
        np.array([np.percentile(item.measured.unpack(), _LOW_PERCENT) for launch in of for item in launch.rounds])
        for of in (own, base)
    )
    estimate = float(np.exp(np.log(low / low_of_base).mean()))
    return Interval(estimate, estimate, estimate)
