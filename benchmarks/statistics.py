"""What a latency sample says."""

from dataclasses import dataclass

import numpy as np

from benchmarks.latency import LatencySample


@dataclass(frozen=True)
class LatencySummary:
    """Of the measured runs alone.

    Attributes:
        runs: How many.
        p50_ns: Median, an observed time.
        p90_ns: Nine of ten runs took no longer; an observed time.
        images_per_second: Runs over their summed time, one image after another.
    """

    runs: int
    p50_ns: int
    p90_ns: int
    images_per_second: float


def summarize(sample: LatencySample) -> LatencySummary:
    """Summarise a sample.

    Percentiles are the smallest observed time that at least that share of runs did not exceed (numpy's `inverted_cdf`):
    an interpolated one would be a time that nothing took.

    Raises:
        ValueError: If nothing was measured.
    """
    times = np.array(sample.measured_ns, np.int64)
    if not len(times):
        raise ValueError("the sample must have measured runs, got none")
    p50, p90 = (int(value) for value in np.percentile(times, (50, 90), method="inverted_cdf"))
    return LatencySummary(len(times), p50, p90, float(len(times) * 1e9 / times.sum()))
