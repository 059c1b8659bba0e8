"""What makes measured times unfit to be judged."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.host import State, throttle_reasons

# What --allow takes.
NAMES = ("governor", "temperature", "throttled", "battery", "load", "warm-up", "drift", "rounds")

# Shares. docs/measuring.md says what a quiet machine shows.
_CLOCK_MOVED = 0.05
_DRIFT = 0.05
_ROUNDS_APART = 0.10
# Mean cores while timing.
OTHERS_CORES = 0.10
_STOLEN_CORES = 0.02


@dataclass(frozen=True)
class Noise:
    """One reason not to trust times.

    Attributes:
        name: One of `NAMES`.
        file: The file it concerns; None for all.
        text: What was seen, with figures, and what to do.
    """

    name: str
    file: str | None
    text: str


@dataclass(frozen=True)
class Load:
    """Who used the CPUs that the benchmark may use, while a file was being timed.

    Attributes:
        seconds: Wall time of all rounds.
        others_cores: Mean number of cores that other processes used.
        stolen_cores: Mean number of cores that the hypervisor took.
    """

    seconds: float
    others_cores: float
    stolen_cores: float


def machine_noise(states: Sequence[State], clocks_khz: Sequence[int], load: Load | None) -> tuple[Noise, ...]:
    """Return what was wrong with the machine.

    Args:
        states: Before, during and after, in order.
        clocks_khz: Straight after each round, where the machine says.
        load: Of the whole, where the machine says.
    """
    found = []
    governors = sorted({name for state in states for name in state.governors} - {"performance"})
    if governors and clocks_khz and min(clocks_khz) < max(clocks_khz) * (1 - _CLOCK_MOVED):
        low, high = min(clocks_khz) // 1000, max(clocks_khz) // 1000
        found.append(
            Noise(
                "governor",
                None,
                f"the clock moved between {low:,} and {high:,} MHz under governor {', '.join(governors)}: "
                "sudo cpupower frequency-set -g performance",
            )
        )
    hot = max((state for state in states if _too_hot(state)), key=lambda state: state.temperature_celsius or 0, default=None)
    if hot:
        text = f"{hot.temperature_celsius:.0f} °C is at the limit of {hot.temperature_limit_celsius:.0f}: cool it"
        found.append(Noise("temperature", None, text))
    start = next((state.throttled for state in states if state.throttled is not None), None)
    throttled = sorted({reason for state in states for reason in throttle_reasons(start, state.throttled)})
    if throttled:
        found.append(Noise("throttled", None, f"{', '.join(throttled)}: use a stronger power supply, or cool it"))
    if any(state.on_battery for state in states):
        found.append(Noise("battery", None, "the machine ran on battery: plug it in"))
    if load and load.others_cores > OTHERS_CORES:
        text = f"other processes used {load.others_cores:.2f} cores while files were timed: stop them"
        found.append(Noise("load", None, text))
    if load and load.stolen_cores > _STOLEN_CORES:
        text = f"the hypervisor took {load.stolen_cores:.2f} cores while files were timed: use a machine of your own"
        found.append(Noise("load", None, text))
    return tuple(found)


def time_noise(name: str, medians_ns: Sequence[float], settled: Sequence[bool]) -> tuple[Noise, ...]:
    """Return what was wrong with one file's times.

    Args:
        name: The file's.
        medians_ns: The median of each round, in the order they were taken.
        settled: Whether each launch's warm-up had settled.
    """
    found = []
    if not all(settled):
        text = f"{name}: times had not settled after 5 s of warm-up in {list(settled).count(False)} of {len(settled)} launches"
        found.append(Noise("warm-up", name, text))
    values = np.array(medians_ns, np.float64)
    quarter = len(values) // 4
    if quarter:
        drift = float(np.median(values[-quarter:]) / np.median(values[:quarter])) - 1
        if abs(drift) > _DRIFT:
            text = f"{name}: the last rounds' medians are {drift:+.0%} beside the first's: let the machine settle"
            found.append(Noise("drift", name, text))
    low, middle, high = np.percentile(values, (10, 50, 90))
    if high - low > _ROUNDS_APART * middle:
        text = f"{name}: rounds disagree, their medians go from {low / 1e3:.1f} to {high / 1e3:.1f} µs (p10 to p90)"
        found.append(Noise("rounds", name, text))
    return tuple(found)


def _too_hot(state: State) -> bool:
    temperature, limit = state.temperature_celsius, state.temperature_limit_celsius
    return temperature is not None and limit is not None and temperature >= limit
