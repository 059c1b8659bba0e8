"""The child process that runs one file: opens it, times it, classifies with it.

Runtimes in one process disturb each other's memory, threads and allocator; each file gets a process of its own. The
parent (`benchmarks.process`) sends a request as a pickle on standard input and reads the answer from the descriptor
named on the command line, so that nothing a library prints is taken for an answer.
"""

import os
import pickle
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from benchmarks.host import read_clock
from benchmarks.latency import RoundTimes, Stopwatch, WarmUp
from benchmarks.paced import PacedTimes, run_paced
from benchmarks.profile import Profile, profile
from edge.classifier import Classifier
from edge.errors import ArtifactError, EdgeCnnError, InvalidMeasurement
from edge.files import sha256
from edge.model_file import read_model
from edge.preprocess import Floats, Images, to_input
from edge.runtimes import Opener

Answer = TypeVar("Answer")


class Request(Generic[Answer]):
    """What an opened file is asked for, and the type of the answer."""


@dataclass(frozen=True)
class Open:
    """Open the file and warm up on single images; must be the first request. `sha256` is the hash that the parent saw."""

    path: Path
    sha256: str
    opener: Opener
    threads: int
    images: Images


@dataclass(frozen=True)
class Opened:
    """The file is ready.

    Attributes:
        runtime: Package and version.
        import_ns: Importing the runtime's package.
        load_ns: From the file's bytes to a model that can run.
        warm_up: The first inference and what followed it.
        cpu_seconds: CPU time of the process, all threads, until now.
    """

    runtime: str
    import_ns: int
    load_ns: int
    warm_up: WarmUp
    cpu_seconds: float


@dataclass(frozen=True)
class Round(Request[tuple[RoundTimes, int | None]]):
    """Time single images: at least so many runs and seconds. Answered by the times and the clock after them in kHz."""

    runs: int
    seconds: float


@dataclass(frozen=True)
class TimeBatch(Request[RoundTimes]):
    """Time batches of `size` images, after a warm-up."""

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
    """Classify all images. The answer is float32 (n, classes)."""

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


class Worker:
    """Answers requests, one after another."""

    def __init__(self, request: Open) -> None:
        start = time.perf_counter_ns()
        request.opener.import_library()
        imported = time.perf_counter_ns()
        self._model = read_model(request.path)
        if sha256(self._model.data) != request.sha256:
            raise ArtifactError(f"{request.path} changed while it was measured: run edgecnn bench again")
        before = time.perf_counter_ns()
        runtime = request.opener.open_file(self._model, request.threads)
        loaded = time.perf_counter_ns()
        self._threads = request.threads
        self._runtime = runtime
        self._classifier = Classifier(self._model, runtime)
        self._inputs = to_input(request.images, self._classifier.table)
        self._singles = [self._inputs[i : i + 1].copy() for i in range(len(self._inputs))]
        self._stopwatch = Stopwatch(runtime.run, self._singles)
        warm_up = self._stopwatch.warm_up()
        name = f"{runtime.name} {runtime.version}"
        self.opened = Opened(name, imported - start, loaded - before, warm_up, time.process_time())

    def answer(self, request: Request[Any]) -> Any:
        """Do what is asked."""
        match request:
            case Round():
                return self._stopwatch.round(request.runs, request.seconds), read_clock()
            case TimeBatch():
                batch = self._inputs[[i % len(self._inputs) for i in range(request.size)]]
                stopwatch = Stopwatch(self._runtime.run, [batch])
                stopwatch.warm_up()
                return stopwatch.round(request.runs, request.seconds)
            case Pace():
                self._runtime.run(self._singles[0])  # After batches a runtime sets its buffers up anew.
                return run_paced(self._runtime.run, self._singles, request.rate, request.frames)
            case ProfileOps():
                return profile(self._model.data, self._model.format, self._threads, self._inputs, request.runs)
            case TimeEmpty():
                return Stopwatch(lambda batch: batch, self._singles).round(request.runs, 0)
            case Classify():
                return self._classifier.probabilities(request.images)
            case ReadMemory():
                return read_memory()
            case _:
                raise ValueError(f"request must be one of this module's, got {request}")


def read_memory(status: Path = Path("/proc/self/status")) -> Memory:
    """Return this process's resident memory: what Linux keeps for a program (VmHWM), and what it is now (VmRSS).

    `ru_maxrss` would start from the parent's size, which is TensorFlow's.

    Raises:
        InvalidMeasurement: If the system does not say.
    """
    lines = status.read_text().splitlines() if status.exists() else []
    sizes = {key: int(value.split()[0]) * 1024 for key, _, value in (line.partition(":") for line in lines) if key[:2] == "Vm"}
    if not {"VmHWM", "VmRSS"} <= sizes.keys():
        raise InvalidMeasurement(f"{status} does not tell the memory of a process: measure on Linux")
    return Memory(sizes["VmHWM"], sizes["VmRSS"], time.process_time())


def serve(descriptor: int) -> None:
    """Answer requests until standard input ends. Errors of the user's making are answers too."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends this process.
    worker: Worker | None = None
    with os.fdopen(descriptor, "wb") as answers:
        while True:
            try:
                request: Any = pickle.load(sys.stdin.buffer)
            except EOFError:
                return
            answer: Any
            try:
                if worker is None:
                    worker = Worker(request)
                    answer = worker.opened
                else:
                    answer = worker.answer(request)
            except EdgeCnnError as error:
                answer = error
            pickle.dump(answer, answers)
            answers.flush()
