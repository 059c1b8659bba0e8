"""What a parent asks of the process that runs a file, and what it answers."""

from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from benchmarks.latency import RoundTimes, WarmUp
from benchmarks.paced import PacedTimes
from benchmarks.profile import Profile
from edge.interface import Interface
from edge.manifest import TensorSpec
from edge.preprocess import Floats, Images
from edge.runtimes import Opener

Answer = TypeVar("Answer")


class Request(Generic[Answer]):
    """What an opened file is asked for, and the type of the answer."""


@dataclass(frozen=True)
class Open:
    """Open the file and warm up, one run after another; must be the first request.

    Attributes:
        path: The file.
        sha256: The hash that the parent saw.
        opener: How to open its format.
        threads: Of the runtime.
        images: What is timed, uint8 (n, h, w, c). None for random inputs: then the file need be no image classifier.
        interface: What the file does not say of itself; None where a manifest does, and for random inputs.
        signature: Which of the file's; None where it has one.
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
        runtime: Package and version.
        import_ns: Importing the runtime's package.
        load_ns: From the file's bytes to a model that can run.
        warm_up: The first inference and what followed it.
        cpu_seconds: CPU time of the process, all threads, until now.
        input: As the runtime sees it.
        output: Likewise.
        any_batch: Whether a run takes any number of images; then the timed ones have one.
        images_per_run: How many images a timed run has: 1, or the file's own fixed batch.
        class_names: Of an image classifier; empty for a file that runs on random inputs.
        doubts: What looks wrong in how the file and its interface fit together.
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
class Round(Request[tuple[RoundTimes, int | None]]):
    """Time single runs: at least so many, and so many seconds. Answered by the times and the clock after them in kHz."""

    runs: int
    seconds: float


@dataclass(frozen=True)
class TimeBatch(Request[RoundTimes]):
    """Time batches of `size` images, or as many more as whole runs of the file take, after a warm-up."""

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
    """Ask the runtime where the time goes."""

    runs: int


@dataclass(frozen=True)
class TimeEmpty(Request[RoundTimes]):
    """Time a call that does nothing, in the same loop."""

    runs: int


@dataclass(frozen=True)
class Classify(Request[Floats]):
    """Classify images, as many as fit into memory. The answer is float32 (n, classes)."""

    images: Images


@dataclass(frozen=True)
class Memory:
    """What the process used.

    Attributes:
        peak_bytes: The most resident memory it ever had.
        steady_bytes: Its resident memory now.
        cpu_seconds: CPU time, all threads, until now.
    """

    peak_bytes: int
    steady_bytes: int
    cpu_seconds: float


@dataclass(frozen=True)
class ReadMemory(Request[Memory]):
    """Ask for the process's memory."""
