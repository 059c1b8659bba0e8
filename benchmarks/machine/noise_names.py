"""The names of the kinds of noise, without the imports needed to find them."""

from typing import Literal, get_args

NoiseName = Literal[
    "governor", "temperature", "throttled", "battery", "load", "neighbours", "preempted", "warm-up", "drift", "rounds"
]
NAMES: tuple[NoiseName, ...] = get_args(NoiseName)
"""The values of `allow`."""
