"""The cost of measuring: each file's time in `edgecnn bench`, compared with a bare loop around the same interpreter.

    python tools/claims/overhead.py artifacts/mnist

Both loops take turns in one process, and the ratio is computed turn by turn, so that noise affects both equally.
"""

import itertools
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecnn.benchmarks.timing.latency import Stopwatch
from edgecnn.edge.data.dataset import load_test
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.manifest import Manifest
from edgecnn.edge.runtimes.litert import InterpretedModel

TURNS = 60
SECONDS = 0.05


def bare_run(runtime: Any) -> Callable[[NDArray[Any]], Any]:
    """Return the same inference without any of our code."""
    if isinstance(runtime, InterpretedModel):
        interpreter, input_index, output_index = runtime._interpreter, runtime._input, runtime._output

        def run(single: NDArray[Any]) -> Any:
            interpreter.set_tensor(input_index, single)
            interpreter.invoke()
            return interpreter.get_tensor(output_index)

        return run
    session, name = runtime._session, runtime.input_spec.name
    return lambda single: session.run(None, {name: single})[0]


def bare_ns(run: Callable[[NDArray[Any]], Any], singles: list[NDArray[Any]], runs: int) -> float:
    """Return the mean time of a loop that is timed as a whole."""
    batches = itertools.cycle(singles)
    start = time.perf_counter_ns()
    for _ in range(runs):
        run(next(batches))
    return (time.perf_counter_ns() - start) / runs


def main(folder: Path) -> None:
    """Print a line for each exported file."""
    images = load_test().images(range(100))
    print(f"{'file':16}{'bench µs':>10}{'bare µs':>10}{'more µs':>10}{'ratio':>8}   medians of {TURNS} turns")
    for artifact in Manifest.load(folder).artifacts:
        if not artifact.exported:
            continue
        classifier = Classifier.load(folder / artifact.path)
        singles = classifier.singles(images)
        stopwatch, run = Stopwatch(classifier.runtime.run, singles), bare_run(classifier.runtime)
        stopwatch.warm_up()
        pairs = []
        for turn in range(TURNS):
            measured: list[int] = []
            for which in (0, 1) if turn % 2 else (1, 0):
                if which:
                    measured = stopwatch.round(1, SECONDS).measured_ns
                    mean = float(np.mean(measured))
                else:
                    bare = bare_ns(run, singles, int(SECONDS * 1e9 / 30_000))
            pairs.append((mean, bare))
        ours, theirs = np.array(pairs).T
        more, ratio = np.median(ours - theirs) / 1e3, np.median(ours / theirs)
        print(f"{artifact.path:16}{np.median(ours) / 1e3:10.2f}{np.median(theirs) / 1e3:10.2f}{more:10.2f}{ratio:8.3f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
