"""The time of each op, as the runtime's own profiler tells it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from benchmarks import profile_litert, profile_ort
from edge.errors import ConfigError, InvalidMeasurement

# Not counted: the first runs allocate buffers and fill the caches.
_WARMUP_RUNS = 20

_PROFILERS = {"tflite": profile_litert, "onnx": profile_ort}


@dataclass(frozen=True)
class OpTime:
    """One op of the graph that the runtime made of the file.

    Attributes:
        op: Its type as the runtime names it; ONNX Runtime's node name follows where a type occurs more than once.
        microseconds: Mean of the runs.
        share: Of the sum of all ops, 0 to 1.
    """

    op: str
    microseconds: float
    share: float


@dataclass(frozen=True)
class Profile:
    """Where the time of one inference goes.

    Both profilers count whole microseconds and are part of what they measure: read the shares, and take times from the
    latency.

    Attributes:
        runs: Single inferences.
        total_microseconds: Sum of the ops in one inference.
        profiler: What measured, as `LiteRT 2.3.0 profiler`.
        caveat: How far it can be believed.
        ops: In the order they ran.
    """

    runs: int
    total_microseconds: float
    profiler: str
    caveat: str
    ops: tuple[OpTime, ...]


def profile(data: bytes, model_format: str, threads: int, inputs: Sequence[NDArray[Any]], runs: int) -> Profile:
    """Run single inputs, one after another, in a session of its own with the profiler on, which makes it slower.

    Call it in a child process: LiteRT's profiler is reached through its C library.

    Args:
        data: The file. Its hash must have been checked: LiteRT's C library crashes on damaged ones.
        model_format: `tflite` or `onnx`.
        threads: Of the runtime.
        inputs: What one run takes, each in the model's own shape and dtype; they rotate.
        runs: How many count. A few hundred are enough; ONNX Runtime writes 10 KB about each to the temporary folder.

    Raises:
        ValueError: If there are no inputs or no runs.
        ConfigError: For `keras`, whose runtime tells no op times.
        MissingDependency: If the runtime is not installed, or this version of it has no profiler within reach.
        ArtifactError: If the runtime refuses the file.
        InvalidMeasurement: If what the profiler tells is not the same ops in every run, or no time at all.
    """
    if model_format not in _PROFILERS:
        raise ConfigError(f"{model_format} has no op profile: choose --format tflite or --format onnx")
    if not len(inputs) or runs < 1:
        raise ValueError(f"inputs and runs must be at least one, got {len(inputs)} and {runs}")
    singles = [inputs[i % len(inputs)] for i in range(_WARMUP_RUNS + runs)]
    profiler, ops = _PROFILERS[model_format].profile_ops(data, threads, singles, _WARMUP_RUNS)
    total = sum(microseconds for _, microseconds in ops)
    if not total:
        raise InvalidMeasurement(f"every op took less than the microsecond that the {profiler} counts: bench without --profile")
    shares = tuple(OpTime(op, microseconds / runs, microseconds / total) for op, microseconds in ops)
    return Profile(runs, total / runs, profiler, _PROFILERS[model_format].CAVEAT, shares)
