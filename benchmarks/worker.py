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
from typing import Any

from benchmarks.latency import LatencySample, Plan, measure_latency
from edge.classifier import Classifier
from edge.errors import ArtifactError, EdgeCnnError, InvalidMeasurement
from edge.files import sha256
from edge.model_file import read_model
from edge.preprocess import Floats, Images, to_input
from edge.runtimes import Opener


@dataclass(frozen=True)
class Open:
    """Open the file; must be the first request. `sha256` is the hash that the parent saw."""

    path: Path
    sha256: str
    opener: Opener
    threads: int


@dataclass(frozen=True)
class Opened:
    """The file is ready.

    Attributes:
        runtime: Package and version.
        import_ns: Importing the runtime's package.
        load_ns: From the file's bytes to a model that can run.
    """

    runtime: str
    import_ns: int
    load_ns: int


@dataclass(frozen=True)
class Time:
    """Time single images. Answered by (LatencySample, peak memory in bytes)."""

    images: Images
    plan: Plan


@dataclass(frozen=True)
class Classify:
    """Classify all images. Answered by float32 probabilities (n, classes)."""

    images: Images


class Worker:
    """Answers requests, one after another."""

    def __init__(self, request: Open) -> None:
        start = time.perf_counter_ns()
        request.opener.import_library()
        imported = time.perf_counter_ns()
        model = read_model(request.path)
        if sha256(model.data) != request.sha256:
            raise ArtifactError(f"{request.path} changed while it was measured: run edgecnn bench again")
        before = time.perf_counter_ns()
        runtime = request.opener.open_file(model, request.threads)
        loaded = time.perf_counter_ns()
        self._classifier = Classifier(model, runtime)
        self.opened = Opened(f"{runtime.name} {runtime.version}", imported - start, loaded - before)

    def answer(self, request: Time | Classify) -> tuple[LatencySample, int] | Floats:
        """Do what is asked."""
        if isinstance(request, Classify):
            return self._classifier.probabilities(request.images)
        inputs = to_input(request.images, self._classifier.table)
        return measure_latency(self._classifier.runtime, inputs, request.plan), peak_memory_bytes()


def peak_memory_bytes(status: Path = Path("/proc/self/status")) -> int:
    """Return the largest resident memory that this process has had, as Linux keeps it for a program (VmHWM).

    `ru_maxrss` would start from the parent's size, which is TensorFlow's.

    Raises:
        InvalidMeasurement: If the system does not say.
    """
    lines = status.read_text().splitlines() if status.exists() else []
    for line in lines:
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise InvalidMeasurement(f"{status} does not tell the peak memory: measure on Linux")


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
