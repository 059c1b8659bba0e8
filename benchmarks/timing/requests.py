"""The requests of a parent to the process that runs a file, and the answers."""

from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from edgecnn.benchmarks.timing.latency import MOST_INPUTS, ROUND_WARM_UP_RUNS, PacedTimes, RoundTimes, WarmUp
from edgecnn.benchmarks.timing.profile import Profile
from edgecnn.edge.manifest import TensorSpec
from edgecnn.edge.model.interface import Interface
from edgecnn.edge.model.preprocess import Bools, Floats, Images
from edgecnn.edge.runtimes.base import Opener
from edgecnn.edge.sandbox.unverified import SECONDS

OPENING_SECONDS = 10 * SECONDS
"""Time limit for opening an unverified file and warming up, after one run has returned within `SECONDS`."""

Answer = TypeVar("Answer")


class Request(Generic[Answer]):
    """A request to an opened file, with the type of the answer."""


@dataclass(frozen=True)
class Open:
    """Open the file and warm up, one run after another; must be the first request.

    Attributes:
        path: Path of the file.
        sha256: Hash that the parent saw.
        opener: How to open its format.
        threads: Number of threads of the runtime.
        images: Images to time, uint8 (n, h, w, c). None for random inputs: then the file need not be an image classifier.
        interface: Preprocessing and output of the file; None if a manifest has them, and for random inputs.
        signature: Name of the file's signature; None if it has one.
    """

    path: Path
    sha256: str
    opener: Opener
    threads: int
    images: Images | None
    interface: Interface | None = None
    signature: str | None = None


@dataclass(frozen=True)
class Opened:
    """The file is ready.

    Attributes:
        runtime: Package and version that runs it.
        import_ns: Time to import the runtime's package.
        load_ns: Time from the file's bytes to a model ready to run.
        warm_up: The first inference and those that followed it.
        cpu_seconds: CPU time of the process so far, in all threads.
        input: The input as the runtime sees it.
        output: The output as the runtime sees it.
        any_batch: Whether a run takes any number of images; then the timed ones have one.
        images_per_run: Number of images in a timed run: 1, or the file's own fixed batch.
        class_names: Class names of an image classifier; empty for a file that runs on random inputs.
        doubts: Doubts whether the file and its interface fit together.
    """

    runtime: str
    import_ns: int
    load_ns: int
    warm_up: WarmUp
    cpu_seconds: float
    input: TensorSpec
    output: TensorSpec
    any_batch: bool
    images_per_run: int
    class_names: tuple[str, ...]
    doubts: tuple[str, ...]


@dataclass(frozen=True)
class TimeRound(Request[tuple[RoundTimes, int | None]]):
    """Time single runs. The answer is the times and the clock after them in kHz.

    Attributes:
        runs: Minimum number of runs.
        seconds: Minimum duration.
        inputs: Number of inputs; runs are whole turns of them.
        warm_up_runs: Number of runs before them.
    """

    runs: int
    seconds: float
    inputs: int = MOST_INPUTS
    warm_up_runs: int = ROUND_WARM_UP_RUNS


@dataclass(frozen=True)
class TimeBatch(Request[RoundTimes]):
    """Time batches of `size` images, rounded up to whole runs of the file, after a warm-up."""

    size: int
    runs: int
    seconds: float


@dataclass(frozen=True)
class Pace(Request[PacedTimes]):
    """Run at `rate` frames a second."""

    rate: float
    frames: int


@dataclass(frozen=True)
class ProfileOps(Request[Profile]):
    """Ask the runtime for the time of each op."""

    runs: int


@dataclass(frozen=True)
class TimeEmpty(Request[RoundTimes]):
    """Time a call that does nothing, in the same loop."""

    runs: int


@dataclass(frozen=True)
class Classify(Request[tuple[Floats, Bools | None]]):
    """Classify images, as many as fit into memory. The answer is that of `Classifier.judged`."""

    images: Images


@dataclass(frozen=True)
class Memory:
    """The resources that the process used.

    Attributes:
        peak_bytes: Peak resident memory.
        steady_bytes: Present resident memory.
        cpu_seconds: CPU time so far, in all threads.
    """

    peak_bytes: int
    steady_bytes: int
    cpu_seconds: float


@dataclass(frozen=True)
class ReadMemory(Request[Memory]):
    """Ask for the process's memory."""
