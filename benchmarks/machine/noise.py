"""Finds what makes measured times too noisy to judge."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from edgecnn.benchmarks.machine.host import State, throttle_reasons
from edgecnn.benchmarks.measure.options import NAMES as NAMES
from edgecnn.benchmarks.measure.options import NoiseName

# Shares. docs/explanation/measuring.md has the values of a quiet machine.
_CLOCK_MOVED = 0.05
_DRIFT = 0.05
_ROUNDS_APART = 0.10
# Mean number of cores during timing.
OTHERS_CORES = 0.10
_STOLEN_CORES = 0.02
# Shares of the CPUs that the benchmark may not use, and of the timed time.
_OUTSIDE_BUSY = 0.10
_QUOTA_STOPPED = 0.01

# Noise that only adds time: without it the same runs would take as long or less. Rounds that disagree are slow ones among
# others, which all count.
_ONLY_ADDS_TIME = frozenset[NoiseName](("load", "neighbours", "preempted", "rounds"))
# The rest may hide how slow a run can be, as when the clock falls after the measurement. No CPU's highest clock is this many
# times its lowest: 600 to 1,800 MHz on a Raspberry Pi 4, 400 to 5,700 on the widest of others.
_MOST_HIDDEN = 20


@dataclass(frozen=True)
class Noise:
    """One reason not to trust the times.

    Attributes:
        name: Kind of noise; a kind may be ignored.
        file: The affected file; None for all.
        text: The observation, with figures, and what to do.
    """

    name: NoiseName
    file: str | None
    text: str

    @property
    def reason(self) -> str:
        """The observation with its kind."""
        return f"{self.text} ({self.name})"


@dataclass(frozen=True)
class Load:
    """The use of the benchmark's CPUs while files were timed.

    Attributes:
        seconds: Wall time of all rounds.
        others_cores: Mean number of cores that other processes used.
        stolen_cores: Mean number of cores that the hypervisor took.
        outside_cores: Mean number of cores in use among the CPUs that the benchmark may not use, which share caches, memory and
            clock budget with them. None if there are none, or if /proc/stat does not report them.
        outside_cpus: Number of those CPUs.
        throttled_seconds: CPU seconds for which the CPU quota of a container (cgroup) stopped the benchmark, as counted by
            the kernel. None if there is no quota.
    """

    seconds: float
    others_cores: float
    stolen_cores: float
    outside_cores: float | None = None
    outside_cpus: int = 0
    throttled_seconds: float | None = None


def hidden_factor(found: Iterable[Noise]) -> int:
    """Return how many times longer than measured runs may take: 1 if the noise can only have added time, else 20."""
    return 1 if all(item.name in _ONLY_ADDS_TIME for item in found) else _MOST_HIDDEN


def machine_noise(states: Sequence[State], clocks_khz: Sequence[int], load: Load | None) -> tuple[Noise, ...]:
    """Return the noise of the machine, by its states before, during and after, in order, and its load over the whole time.

    The clocks are those directly after each round, as far as they are reported.
    """
    found = (*_state_noise(states, clocks_khz), *(_load_noise(load) if load else ()))
    return tuple(Noise(name, None, text) for name, text in found)


def _state_noise(states: Sequence[State], clocks_khz: Sequence[int]) -> Iterator[tuple[NoiseName, str]]:
    governors = sorted({name for state in states for name in state.governors} - {"performance"})
    if governors and clocks_khz and min(clocks_khz) < max(clocks_khz) * (1 - _CLOCK_MOVED):
        low, high = min(clocks_khz) // 1000, max(clocks_khz) // 1000
        moved = f"the clock varied between {low:,} and {high:,} MHz under governor {', '.join(governors)}"
        yield "governor", f"{moved}: sudo cpupower frequency-set -g performance"
    hot = max((state for state in states if _too_hot(state)), key=lambda state: state.temperature_celsius or 0, default=None)
    if hot:
        yield "temperature", f"{hot.temperature_celsius:.0f} °C is at the limit of {hot.temperature_limit_celsius:.0f}: cool it"
    start = next((state.throttled for state in states if state.throttled is not None), None)
    throttled = sorted({reason for state in states for reason in throttle_reasons(start, state.throttled)})
    if throttled:
        yield "throttled", f"{', '.join(throttled)}: use a stronger power supply, or cool it"
    if any(state.on_battery for state in states):
        yield "battery", "the machine ran on battery: plug it in"


def _load_noise(load: Load) -> Iterator[tuple[NoiseName, str]]:
    if load.others_cores > OTHERS_CORES:
        yield "load", f"other processes used {load.others_cores:.2f} cores while files were timed: stop them"
    if load.stolen_cores > _STOLEN_CORES:
        yield "load", f"the hypervisor took {load.stolen_cores:.2f} cores while files were timed: use a dedicated machine"
    if load.throttled_seconds is not None and load.throttled_seconds > _QUOTA_STOPPED * load.seconds:
        lost = f"{load.throttled_seconds:.2g} of {load.seconds:.2g} s while files were timed"
        yield "throttled", f"the CPU quota of this container (cgroup) stopped the benchmark for {lost}: raise the quota"
    if load.outside_cores is not None and load.outside_cores > _OUTSIDE_BUSY * load.outside_cpus:
        used = f"other processes used {load.outside_cores:.2f} of the {load.outside_cpus} CPUs that the benchmark may not use"
        yield "neighbours", f"{used}, and share caches and clock with it: stop them"


def time_noise(name: str, medians_ns: Sequence[float], settled: Sequence[bool]) -> tuple[Noise, ...]:
    """Return the noise in one file's times: the medians of its rounds, in order, and whether each launch's warm-up settled."""
    found = []
    if not all(settled):
        launches = f"{list(settled).count(False)} of {len(settled)} launches"
        text = f"the times of {name} had not settled after 5 s of warm-up in {launches}"
        found.append(Noise("warm-up", name, text))
    values = np.array(medians_ns, np.float64)
    quarter = len(values) // 4
    if quarter:
        drift = float(np.median(values[-quarter:]) / np.median(values[:quarter])) - 1
        if abs(drift) > _DRIFT:
            text = f"the medians of the last rounds of {name} differ by {drift:+.0%} from the first's: let the machine settle"
            found.append(Noise("drift", name, text))
    low, middle, high = np.percentile(values, (10, 50, 90))
    if high - low > _ROUNDS_APART * middle:
        text = f"the rounds of {name} disagree, their medians go from {low / 1e3:.1f} to {high / 1e3:.1f} µs (p10 to p90)"
        found.append(Noise("rounds", name, text))
    return tuple(found)


def _too_hot(state: State) -> bool:
    temperature, limit = state.temperature_celsius, state.temperature_limit_celsius
    return temperature is not None and limit is not None and temperature >= limit
