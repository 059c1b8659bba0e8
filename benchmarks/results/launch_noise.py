"""Finds the noise in one file's times from its launches."""

from collections.abc import Sequence

import numpy as np

from edgecnn.benchmarks.machine.noise import CpuUse, Noise, cpu_noise, time_noise
from edgecnn.benchmarks.results.latency_summary import round_medians
from edgecnn.benchmarks.results.records import Launch, Round


def launch_noise(name: str, launches: Sequence[Launch]) -> tuple[Noise, ...]:
    """Return the noise of `time_noise` and `cpu_noise`.

    Args:
        name: Name of the file.
        launches: Its launches, at least one.
    """
    medians = round_medians(launches).ravel().tolist()
    uses = [_use(item) for launch in launches for item in launch.rounds]
    return cpu_noise(name, uses) + time_noise(name, medians, [launch.settled for launch in launches])


def _use(item: Round) -> CpuUse:
    times = item.measured.unpack()
    return CpuUse(float(np.median(times)), int(times.sum()), item.cpu_ns, len(times), item.waits, item.stops)
