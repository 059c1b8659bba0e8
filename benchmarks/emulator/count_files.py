"""Runs on the emulated board: one inference of files of the folder `tuning` between two marks.

A stretch is counted several times. Marks cost instructions themselves; the first, empty stretch shows how many.
Arguments: the first file's place, the step to the next one, the runs before counting, and the runs to count.
"""

import gc
import json
import sys
from functools import partial
from pathlib import Path

from edgecnn.benchmarks.emulator.marks import stretch
from edgecnn.benchmarks.timing.random_inputs import random_inputs
from edgecnn.edge.folder.model_folder import ModelFolder
from edgecnn.edge.runtimes import opener_for

FOLDER = "tuning"


def main() -> None:
    """Count the run of each file of this share, and print their names in order."""
    first, step, warm_up, repeats = map(int, sys.argv[1:])
    gc.disable()  # Otherwise it might run between two marks.
    stretch(lambda: None, 0)
    models = ModelFolder(Path(FOLDER))
    assert models.manifest is not None  # noqa: S101  # Whoever starts this wrote one.
    names = [artifact.path for artifact in models.manifest.exported][first::step]
    for label, name in enumerate(names, 1):
        model = models.model(name)
        runtime = opener_for(model.format).open_file(model, 1, trusted=True)  # An emulated child takes long to start.
        stretch(partial(runtime.run, random_inputs(runtime.input_spec, name)[0]), label, warm_up, repeats)
    print(json.dumps(names))


if __name__ == "__main__":
    main()
