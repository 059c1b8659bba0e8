"""The child process that runs one file: it opens it, times it and classifies with it; and the parent's side of it.

Runtimes in one process disturb each other's memory, threads and allocator, so each file gets its own process.
"""

import signal
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from edgecnn.benchmarks.machine.host import read_clock
from edgecnn.benchmarks.machine.host_text import memory_bytes, text
from edgecnn.benchmarks.timing.latency import Stopwatch, WarmUp, random_inputs, run_paced
from edgecnn.benchmarks.timing.profile import profile
from edgecnn.benchmarks.timing.requests import (
    OPENING_SECONDS,
    Answer,
    Classify,
    Memory,
    Open,
    Opened,
    Pace,
    ProfileOps,
    ReadMemory,
    Request,
    TimeBatch,
    TimeEmpty,
    TimeRound,
)
from edgecnn.edge.errors import ArtifactError, ConfigError, InvalidMeasurement, field, why
from edgecnn.edge.files import sha256
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.model.preprocess import Images
from edgecnn.edge.model_file import read_model
from edgecnn.edge.sandbox.child import Child, Lost
from edgecnn.edge.sandbox.unverified import limit_memory, limit_time, too_long


class Worker:
    """Answers requests, one after another."""

    def __init__(self, request: Open) -> None:
        start = time.perf_counter_ns()
        self._stops = 0
        signal.signal(signal.SIGCONT, self._continued)
        request.opener.import_library()
        imported = time.perf_counter_ns()
        self._request = request
        self._model = read_model(request.path)
        if sha256(self._model.data) != request.sha256:
            raise ArtifactError(f"{request.path} changed while it was measured: run edgecnn bench again")
        if self._model.unverified is not None:
            limit_memory(len(self._model.data))
            limit_time(OPENING_SECONDS)
        before = time.perf_counter_ns()
        # This is already the child for unverified files.
        self._runtime = request.opener.open_file(self._model, request.threads, request.signature, trusted=True)
        loaded = time.perf_counter_ns()
        self._classifier: Classifier | None = None
        if request.images is None:
            self._singles = random_inputs(self._runtime.input_spec, str(request.path))
        else:
            self._classifier = Classifier(self._model, self._runtime, request.interface)
            self._singles = _singles(self._classifier, request.images, request.path)
        self._stopwatch = Stopwatch(self._runtime.run, self._singles)
        warm_up = self._warm_up()
        limit_time(0)
        if self._classifier and self._classifier.interface.output == "logits" and request.images is not None:
            self._classifier.probabilities(request.images[:1])  # Whether it gives logits is doubted by what it gives.
        batch = self._batch()
        self.opened = Opened(
            runtime=f"{self._runtime.name} {self._runtime.version}",
            import_ns=imported - start,
            load_ns=loaded - before,
            warm_up=warm_up,
            cpu_seconds=time.process_time(),
            input=self._runtime.input_spec,
            output=self._runtime.output_spec,
            any_batch=batch is None,
            images_per_run=batch or 1,
            class_names=self._classifier.class_names if self._classifier else (),
            doubts=self._classifier.doubts if self._classifier else (),
        )

    def _warm_up(self) -> WarmUp:
        try:
            return self._stopwatch.warm_up()
        except Exception as error:  # Runtimes raise their own errors, whose only common base class is this.
            what = "it on random inputs" if self._classifier is None else "it"
            reason = why(error, 200)
            message = f"{self._request.path}: {self._runtime.name} can't run {what} ({reason}): {self._model.fix}"
            raise ArtifactError(message) from error

    def _batch(self) -> int | None:
        """Return how many images one call takes; None for any number."""
        if self._classifier:
            return self._classifier.batch
        return None if self._runtime.input_spec.shape[:1] == (None,) else 1  # A single axis is never free here.

    def answer(self, request: Request[Any]) -> Any:
        """Handle a request."""
        match request:
            case TimeRound():
                before = self._stops
                times = self._stopwatch.round(request.runs, request.seconds, request.inputs, request.warm_up_runs)
                return replace(times, stops=self._stops - before), read_clock()
            case TimeBatch():
                stopwatch = self._batches(request.size)
                stopwatch.warm_up()
                return stopwatch.round(request.runs, request.seconds)
            case Pace():
                self._runtime.run(self._singles[0])  # After batches a runtime sets up its buffers again.
                return run_paced(self._runtime.run, self._singles, request.rate, request.frames)
            case ProfileOps():
                if self._request.signature is not None:
                    raise ConfigError(f"the profilers support only a file's first signature: bench without {field('profile')}")
                runtime = self._request.opener.runtime
                return profile(self._model.data, runtime, self._request.threads, self._singles, request.runs)
            case TimeEmpty():
                return Stopwatch(lambda batch: batch, self._singles).round(request.runs, 0, inputs=1)
            case Classify() if self._classifier:
                return self._classifier.judged(request.images)
            case ReadMemory():
                return read_memory()
            case _:
                raise ValueError(f"request must be one of edgecnn.benchmarks.timing.requests, got {request}")

    def _continued(self, number: int, frame: FrameType | None) -> None:
        self._stops += 1

    def _batches(self, size: int) -> Stopwatch:
        """Return the timer of batches: one call if the file takes any number of images, else as many as it needs."""
        calls = -(-size // self.opened.images_per_run)
        singles = [self._singles[i % len(self._singles)] for i in range(calls)]
        if self.opened.any_batch:
            return Stopwatch(self._runtime.run, [np.concatenate(singles)])

        def run_all(_: NDArray[Any]) -> None:
            for single in singles:
                self._runtime.run(single)

        return Stopwatch(run_all, singles[:1])


def _singles(classifier: Classifier, images: Images, path: Path) -> list[NDArray[Any]]:
    if images.shape[1:] != classifier.shape:
        raise ConfigError(
            f"{path} takes images of {classifier.shape}, not {images.shape[1:]}: name others with {field('data')}"
        )
    return classifier.singles(images)


def read_memory(status: Path = Path("/proc/self/status")) -> Memory:
    """Return this process's resident memory: the peak that Linux records (VmHWM), and the present one (VmRSS).

    `ru_maxrss` would start at the parent's size, which includes TensorFlow.

    Raises:
        InvalidMeasurement: If the system does not report it.
    """
    content = text(status) or ""
    peak, steady = memory_bytes(content, "VmHWM"), memory_bytes(content, "VmRSS")
    if peak is None or steady is None:
        raise InvalidMeasurement(f"{status} does not report the memory of a process: measure on Linux")
    return Memory(peak, steady, time.process_time())


_OF_THIS_PROCESS: list[Worker] = []


def answer(request: Open | Request[Any]) -> Any:
    """Handle a request in the child; `Open` is the first."""
    if isinstance(request, Open):
        _OF_THIS_PROCESS.append(Worker(request))
        return _OF_THIS_PROCESS[0].opened
    return _OF_THIS_PROCESS[0].answer(request)


class ModelProcess:
    """A child process with one opened file, as a context manager: it ends with the block, or with the thread that opened it."""

    def __init__(self, request: Open) -> None:
        """Start the process and open the file in it.

        Raises:
            EdgeCnnError: If opening raised it in the child.
            ArtifactError: If the child died: a runtime crashed on the file.
            InvalidMeasurement: If the child was stopped and does not continue.
        """
        self._path = request.path
        self._child = Child()
        try:
            self.opened: Opened = self._ask(request)
        except BaseException:
            self.close()
            raise

    def ask(self, request: Request[Answer]) -> Answer:
        """Return the child's answer. Errors are as above."""
        answered: Answer = self._ask(request)
        return answered

    def close(self) -> None:
        """End the process."""
        self._child.end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def _ask(self, request: Any) -> Any:
        try:
            return self._child.call(partial(answer, request))
        except Lost as lost:
            raise self._failed(lost, request) from lost
        except MemoryError as error:
            raise ConfigError(
                f"there is not enough memory to measure it: free some, or give a smaller {field('batch')}"
            ) from error
        except RuntimeError as error:  # An exception that nobody expected is our bug: the message has the child's traceback.
            raise RuntimeError(f"{self._path}: {error}") from error

    def _failed(self, lost: Lost, request: Any) -> Exception:
        what = f"{self._path}: the process that measures it {lost.how}"
        if lost.code is None:
            return InvalidMeasurement(f"{what}: find the cause, and run edgecnn bench again")
        if lost.code == -signal.SIGALRM:
            return too_long(str(self._path), OPENING_SECONDS)
        if lost.code == -signal.SIGKILL:
            return ArtifactError(f"{what}: free some")
        if lost.code < 0:
            # LiteRT's profiler is reached through its C library, whose next version may differ.
            mend = f"bench without {field('profile')}" if isinstance(request, ProfileOps) else "export the file again"
            return ArtifactError(f"{what}: {mend}")
        return RuntimeError(f"{what}:\n{lost.output}")
