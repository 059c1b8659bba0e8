"""The process that runs one file: `python -m tools.peers.child RUNTIME FILE THREADS INPUTS DESCRIPTOR`.

Two runtimes in one process would share allocator and threads, and the start of a process is part of the measurement.
Answers are lines of JSON on a separate descriptor, since runtimes print freely.
"""

import importlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from edgecnn.benchmarks.timing.latency import Stopwatch
from tools.peers.runners import RUNNERS

_TIMED_INPUTS = 100


def main(runtime: str, path: str, threads: str, inputs: str, descriptor: str) -> None:
    """Open the file, answer once, then obey standard input line by line until it ends."""
    with os.fdopen(int(descriptor), "w") as answers:

        def answer(**told: Any) -> None:
            answers.write(json.dumps(told) + "\n")
            answers.flush()

        try:
            _serve(runtime, Path(path), int(threads), Path(inputs), answer)
        except Exception as error:  # Each runtime has its own errors.
            answer(error=f"{type(error).__name__}: {' '.join(str(error).split())[:200]}")


def _serve(runtime: str, path: Path, threads: int, inputs: Path, answer: Any) -> None:
    modules, open_file = RUNNERS[runtime]
    images = np.load(inputs, mmap_mode="r")
    timed = [np.array(images[index : index + 1]) for index in range(min(_TIMED_INPUTS, len(images)))]
    start = time.perf_counter_ns()
    for module in modules:
        importlib.import_module(module)
    imported = time.perf_counter_ns()
    runner = open_file(path, threads)
    loaded = time.perf_counter_ns()
    runner.numbers(runner.run(runner.prepare(timed[0])))
    answer(import_ns=imported - start, load_ns=loaded - imported, answered_ns=time.monotonic_ns())

    stopwatch = Stopwatch(runner.run, [runner.prepare(array) for array in timed])
    for line in sys.stdin:
        command, *arguments = json.loads(line)
        if command == "time":
            runs, seconds = arguments
            stopwatch.warm_up()
            answer(times_ns=stopwatch.round(runs, seconds).measured_ns)
        elif command == "classify":
            outputs = [runner.numbers(runner.run(runner.prepare(np.array(images[i : i + 1])))) for i in range(len(images))]
            np.save(arguments[0], np.stack(outputs))
            answer(saved=arguments[0])
        else:
            raise ValueError(f"command must be time or classify, got {command}")


if __name__ == "__main__":
    main(*sys.argv[1:])
