"""Decides when launches end: at an interval width fixed beforehand."""

from collections.abc import Sequence

from edgecnn.benchmarks.results.latency_summary import fastest, summarize
from edgecnn.benchmarks.results.records import Launch
from edgecnn.benchmarks.statistics.intervals import Interval
from edgecnn.benchmarks.timing.latency import Plan


def narrow_enough(plan: Plan, files: Sequence[Sequence[Launch]]) -> bool:
    """Return whether every reported interval is within the plan's width on either side.

    These are intervals of each file's time divided by the fastest's, or of its own time for a single file.

    Args:
        plan: Plan with or without such a width.
        files: Launches of each file so far.
    """
    if plan.until_width_percent is None:
        return True
    base = files[fastest(files)]
    latencies = [summarize(launches, base, ()) for launches in files]
    intervals = [latency.typical_ns if len(files) == 1 else latency.ratio for latency in latencies]
    return all(_share(interval) <= plan.until_width_percent / 100 for interval in intervals if interval)


def _share(interval: Interval) -> float:
    return max(interval.high - interval.estimate, interval.estimate - interval.low) / interval.estimate
