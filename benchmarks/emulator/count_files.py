"""Runs on the emulated board: one inference of files of the folder `tuning`, with each runtime of a list, between marks.

A stretch is counted several times. Marks cost instructions themselves; the first, empty stretch shows how many.
Arguments: the first file's place, the step to the next one, the runs before counting, and the runs to count.
"""

import ctypes
import gc
import json
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from edgecnn.benchmarks.timing.latency import random_inputs
from edgecnn.edge.errors import MissingDependency
from edgecnn.edge.model_folder import ModelFolder
from edgecnn.edge.runtimes import opener_for

WARM_UP, REPEATS = 5, 5
_ASKED_BY = 7391  # The same number is in icount.c.
_call = ctypes.CDLL(None).syscall


def stretch(work: Callable[[], object], label: int, warm_up: int = WARM_UP, repeats: int = REPEATS) -> None:
    """Repeat the call until it allocates nothing new, then `repeats` times between marks."""
    for _ in range(warm_up):
        work()
    for _ in range(repeats):
        _call(_ASKED_BY, label)
        work()
        _call(_ASKED_BY, label)


FOLDER = "tuning"
RUNTIMES = "runtimes.json"
"""A list of names of runtimes; null is the default one of a file's format. Those that are missing here are skipped."""


def main() -> None:
    """Count the run of each file of this share, and print the names of file and runtime in order."""
    first, step, warm_up, repeats = map(int, sys.argv[1:])
    gc.disable()  # Otherwise it might run between two marks.
    stretch(lambda: None, 0)
    models = ModelFolder(Path(FOLDER))
    assert models.manifest is not None  # noqa: S101  # Whoever starts this wrote one.
    counted: list[tuple[str, str | None]] = []
    for artifact in models.manifest.exported[first::step]:
        model = models.model(artifact.path)
        for name in json.loads(Path(RUNTIMES).read_text(encoding="utf-8")):
            with suppress(MissingDependency):
                opener = opener_for(name or model.format)
                runtime = opener.open_file(model, 1, trusted=True)  # An emulated child takes long to start.
                counted.append((artifact.path, name))
                run = partial(runtime.run, random_inputs(runtime.input_spec, artifact.path)[0])
                stretch(run, len(counted), warm_up, repeats)
    print(json.dumps(counted))


if __name__ == "__main__":
    main()
