"""Runs on the emulated board: one inference of each file in one runtime, between two marks. Prints the versions as JSON.

`python3 counted.py RUNTIME FILE...`: files of the bundle, or the one that TensorFlow's converter alone made. The first
stretch, an empty one, shows how many instructions the marks themselves cost.
"""

import gc
import json
import platform
import sys
from functools import partial
from pathlib import Path

import numpy as np

from edgecnn.benchmarks.emulator.count_files import stretch
from edgecnn.edge.data.dataset import load_test
from edgecnn.edge.errors import EdgeCnnError
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.model.interface import SCHEMES, Interface
from edgecnn.edge.model_folder import ModelFolder
from edgecnn.edge.runtimes import opener_for

BUNDLE = Path("mnist.zip")


def main() -> None:
    name, *files = sys.argv[1:]
    opener = opener_for(name)
    image = load_test(BUNDLE).images([0])
    gc.disable()  # Otherwise it might run between two marks.
    stretch(lambda: None, 0)
    versions = {"python": platform.python_version(), "numpy": np.__version__}
    with ModelFolder(BUNDLE) as bundle:
        for place, file in enumerate(files):
            plain = Path(file).exists()
            path, interface = (Path(file), Interface(SCHEMES["unit"])) if plain else (bundle.path / file, None)
            # An emulated child that tries it first takes long to start.
            classifier = Classifier.load(path, runtime=opener, interface=interface, trusted=True)
            versions[classifier.runtime.name] = classifier.runtime.version
            stretch(partial(classifier.runtime.run, classifier.singles(image)[0]), 2 * place + 1)
            stretch(partial(classifier.predict, image), 2 * place + 2)
    print(json.dumps(versions))


if __name__ == "__main__":
    try:
        main()
    except EdgeCnnError as error:  # Its one line is the reason in the table.
        sys.exit(str(error))
