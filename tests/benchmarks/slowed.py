"""Results in which one file is as slow as a test needs it."""

from dataclasses import replace

import numpy as np

from edgecnn.benchmarks.results.records import Report
from edgecnn.benchmarks.timing.times import Times


def slowed(report: Report, name: str, other: str, factor: float) -> Report:
    """Return the report with the times of one file as another's times a factor, in every round."""
    launches = next(file for file in report.files if file.name == other).launches

    def times(measured: Times) -> Times:
        return Times.pack((measured.unpack() * factor).astype(np.int64))

    slow = tuple(
        replace(launch, rounds=tuple(replace(item, measured=times(item.measured)) for item in launch.rounds))
        for launch in launches
    )
    return replace(report, files=tuple(replace(f, launches=slow) if f.name == name else f for f in report.files))
