"""Decides when launches end: at an interval width fixed beforehand."""

from collections.abc import Sequence

from edgecnn.benchmarks.measure.options import Plan
from edgecnn.benchmarks.results.latency_summary import summarize
from edgecnn.benchmarks.results.records import Launch
from edgecnn.benchmarks.results.side_by_side import fastest, ratios
from edgecnn.benchmarks.statistics.intervals import Interval


def narrow_enough(plan: Plan, files: Sequence[Sequence[Launch]]) -> bool:
    """Return whether every reported interval is within the plan's width on either side.

    These are intervals of each file's time divided by the fastest's, or of its own time for a single file.

    Args:
        plan: Plan with or without such a width.
        files: Launches of each file so far.
    """
    if plan.until_width_percent is None:
        return True
    intervals = [summarize(files[0], ()).typical_ns] if len(files) == 1 else ratios(files, fastest(files))
    return all(_share(interval) <= plan.until_width_percent / 100 for interval in intervals if interval)


def _share(interval: Interval) -> float:
    return max(interval.high - interval.estimate, interval.estimate - interval.low) / interval.estimate
