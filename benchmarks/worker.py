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
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.host import read_clock
from benchmarks.latency import Stopwatch
from benchmarks.paced import run_paced
from benchmarks.profile import profile
from benchmarks.random_inputs import random_inputs
from benchmarks.requests import (
    Classify,
    Memory,
    Open,
    Opened,
    Pace,
    ProfileOps,
    ReadMemory,
    Request,
    Round,
    TimeBatch,
    TimeEmpty,
)
from edge.classifier import Classifier
from edge.errors import ArtifactError, ConfigError, EdgeCnnError, InvalidMeasurement
from edge.files import sha256
from edge.model_file import read_model
from edge.preprocess import Images


class Worker:
    """Answers requests, one after another."""

    def __init__(self, request: Open) -> None:
        start = time.perf_counter_ns()
        request.opener.import_library()
        imported = time.perf_counter_ns()
        self._request = request
        self._model = read_model(request.path)
        if sha256(self._model.data) != request.sha256:
            raise ArtifactError(f"{request.path} changed while it was measured: run edgecnn bench again")
        before = time.perf_counter_ns()
        self._runtime = request.opener.open_file(self._model, request.threads, request.signature)
        loaded = time.perf_counter_ns()
        self._classifier: Classifier | None = None
        batch: int | None
        class_names: tuple[str, ...] = ()
        doubts: tuple[str, ...] = ()
        if request.images is None:
            self._singles = random_inputs(self._runtime.input_spec, str(request.path))
            batch = None if self._runtime.input_spec.shape[:1] == (None,) else 1
        else:
            self._classifier = Classifier(self._model, self._runtime, request.interface)
            self._singles = _singles(self._classifier, request.images, request.path)
            batch, class_names = self._classifier.batch, self._classifier.class_names
            doubts = self._classifier.doubts
        self._stopwatch = Stopwatch(self._runtime.run, self._singles)
        try:
            warm_up = self._stopwatch.warm_up()
        except Exception as error:  # Each runtime has errors of its own, with no common base class but this one.
            what = "it on random inputs" if request.images is None else "it"
            reason = " ".join(str(error).split())[:200]
            raise ArtifactError(f"{request.path}: {self._runtime.name} can't run {what} ({reason}): export it again") from error
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
            class_names=class_names,
            doubts=doubts,
        )

    def answer(self, request: Request[Any]) -> Any:
        """Do what is asked."""
        match request:
            case Round():
                return self._stopwatch.round(request.runs, request.seconds), read_clock()
            case TimeBatch():
                stopwatch = self._batches(request.size)
                stopwatch.warm_up()
                return stopwatch.round(request.runs, request.seconds)
            case Pace():
                self._runtime.run(self._singles[0])  # After batches a runtime sets its buffers up anew.
                return run_paced(self._runtime.run, self._singles, request.rate, request.frames)
            case ProfileOps():
                if self._request.signature is not None:
                    raise ConfigError("the profilers take a file's first signature only: bench without --profile")
                return profile(self._model.data, self._model.format, self._request.threads, self._singles, request.runs)
            case TimeEmpty():
                return Stopwatch(lambda batch: batch, self._singles).round(request.runs, 0)
            case Classify() if self._classifier:
                return self._classifier.probabilities(request.images)
            case ReadMemory():
                return read_memory()
            case _:
                raise ValueError(f"request must be one of benchmarks.requests, got {request}")

    def _batches(self, size: int) -> Stopwatch:
        """Return what times batches: one call where the file takes any number of images, else as many as it needs."""
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
        raise ConfigError(f"{path} takes images of {classifier.shape}, these are {images.shape[1:]}: name others with --data")
    return classifier.singles(images)


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
