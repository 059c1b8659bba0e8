"""Runs on the emulated board: one inference of files of the folder `tuning`, with each runtime of a list, between marks.

A stretch is counted several times. Marks cost instructions themselves; the first, empty stretch shows how many.
Arguments: the first file's place, the step to the next one, the runs before counting, and the runs to count.
"""

import gc
import json
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path

from edgecnn.benchmarks.emulator.marks import stretch
from edgecnn.benchmarks.timing.random_inputs import random_inputs
from edgecnn.edge.errors import MissingDependency
from edgecnn.edge.model_folder import ModelFolder
from edgecnn.edge.runtimes import opener_for

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
