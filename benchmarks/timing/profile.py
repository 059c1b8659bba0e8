"""The time of each op from the runtime's own profiler."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

from numpy.typing import NDArray

from edgecnn.edge.errors import ConfigError, InvalidMeasurement, field
from edgecnn.edge.formats import Runtime

# Warm-up runs, which allocate buffers and fill the caches, are not counted.
_WARMUP_RUNS = 20


@dataclass(frozen=True)
class OpTime:
    """One op of the runtime's graph of the file.

    Attributes:
        op: Type as the runtime names it, followed by ONNX Runtime's node name if a type occurs more than once.
        microseconds: Mean over the runs.
        share: Share of the sum of all ops, 0 to 1.
    """

    op: str
    microseconds: float
    share: float


@dataclass(frozen=True)
class Profile:
    """How the time of one inference is distributed.

    Both profilers count whole microseconds and measure themselves too: use the shares, and take times from the
    latency.

    Attributes:
        runs: Number of single inferences.
        total_microseconds: Sum over the ops of one inference.
        profiler: Name of the profiler, for example `LiteRT 2.3.0 profiler`.
        caveat: Limits of its accuracy.
        ops: Ops in the order in which they ran.
    """

    runs: int
    total_microseconds: float
    profiler: str
    caveat: str
    ops: tuple[OpTime, ...]


class OpProfiler(Protocol):
    """What a module that a runtime's row names has as `profile_ops`."""

    def __call__(
        self, data: bytes, threads: int, singles: list[NDArray[Any]], warmup: int
    ) -> tuple[str, list[tuple[str, int]]]:
        """Return the profiler's name and, in order, each op with the microseconds that all runs after the warm-up took.

        Args:
            data: The file.
            threads: Number of threads of the runtime.
            singles: One input for each run, in the model's own shape and dtype.
            warmup: How many of the first not to count.

        Raises:
            MissingDependency, ArtifactError, InvalidMeasurement: As `profile`.
        """


def profile(data: bytes, runtime: Runtime | None, threads: int, inputs: Sequence[NDArray[Any]], runs: int) -> Profile:
    """Run single inputs, one after another, in a separate session with the profiler on, which is slower.

    Call it in a child process: LiteRT's profiler is reached through its C library.

    Args:
        data: The file. Its hash must have been checked: LiteRT's C library crashes on damaged ones.
        runtime: Runtime that runs it; its row names the profiling module. None for one that is in no table.
        threads: Number of threads of the runtime.
        inputs: Inputs of one run each, in the model's own shape and dtype; they rotate.
        runs: Number of runs that count. A few hundred are enough; ONNX Runtime writes 10 KB per run to the temporary folder.

    Raises:
        ValueError: If there are no inputs or no runs.
        ConfigError: For a runtime without op times.
        MissingDependency: If the runtime is not installed, or the profiler of this version can't be reached.
        ArtifactError: If the runtime refuses the file.
        InvalidMeasurement: If the profiler does not report the same ops in every run, or reports no time at all.
    """
    if runtime is None or runtime.profiler is None:
        raise ConfigError(f"{runtime.name if runtime else 'its runtime'} has no op profiler: bench without {field('profile')}")
    if not len(inputs) or runs < 1:
        raise ValueError(f"inputs and runs must be at least one, got {len(inputs)} and {runs}")
    singles = [inputs[i % len(inputs)] for i in range(_WARMUP_RUNS + runs)]
    module = import_module(runtime.profiler)
    profile_ops: OpProfiler = module.profile_ops
    profiler, ops = profile_ops(data, threads, singles, _WARMUP_RUNS)
    total = sum(microseconds for _, microseconds in ops)
    if not total:
        raise InvalidMeasurement(
            f"every op took less than the microsecond that the {profiler} counts: bench without {field('profile')}"
        )
    shares = tuple(OpTime(op, microseconds / runs, microseconds / total) for op, microseconds in ops)
    return Profile(runs, total / runs, profiler, module.CAVEAT, shares)
