"""Ratios of the times of files that were measured side by side."""

from collections.abc import Mapping, Sequence

import numpy as np

from edgecnn.benchmarks.measure.options import Plan, PlanOptions
from edgecnn.benchmarks.results.records import Launch
from edgecnn.benchmarks.results.side_by_side import ratios as ratios_of
from edgecnn.edge.export_records import Interval

BRIEF = Plan(min_seconds=0.12, min_runs=24, launches=1, rounds=6, max_seconds=2)
"""For a search: a process for each file, and rounds that take turns."""
THOROUGH = PlanOptions(until_width_percent=3)
"""For the proof: on a busy machine, a few launches would have intervals that hide a gain of a tenth."""
MOST_FILES = 9
"""Number of files that are timed side by side: with more, the machine drifts from the first to the last of a round."""
# What disturbs a run makes it longer: of few runs, a low percentile differs least from one measurement to the next.
_LOW_PERCENT = 10


def ratios(launches: Mapping[str, Sequence[Launch]], base: str) -> dict[str, Interval]:
    """Return each file's time divided by the base's; with an interval, from medians, if there are several launches.

    Each interval is that of its own pair: both files were named before these launches, and a tuned file must beat every plain
    one, so that more of them don't make a wrong claim likelier.
    """
    return {name: _ratio(own, launches[base], name == base) for name, own in launches.items()}


def _ratio(own: Sequence[Launch], base: Sequence[Launch], same: bool) -> Interval:
    if same:
        return Interval(1.0, 1.0, 1.0)
    if found := ratios_of((own, base), 1)[0]:
        return found
    low, low_of_base = (
        np.array([np.percentile(item.measured.unpack(), _LOW_PERCENT) for launch in of for item in launch.rounds])
        for of in (own, base)
    )
    estimate = float(np.exp(np.log(low / low_of_base).mean()))
    return Interval(estimate, estimate, estimate)
