"""Runs on the emulated board: one inference of every file between two marks. Prints the versions as JSON.

The first stretch, an empty one, shows how many the marks themselves cost.
"""

import gc
import json
import platform
from functools import partial
from pathlib import Path

import numpy as np

from edgecnn.benchmarks.emulator.marks import stretch
from edgecnn.edge.data.dataset import load_test
from edgecnn.edge.folder.model_folder import ModelFolder
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.model.interface import SCHEMES, Interface
from edgecnn.edge.model.preprocess import Images

BUNDLE = Path("mnist.zip")
PLAIN = Path("plain-int8.tflite")


def stretches(classifier: Classifier, image: Images, place: int) -> None:
    """Count a runtime's run with a prepared input, and the whole of `predict`."""
    stretch(partial(classifier.runtime.run, classifier.singles(image)[0]), 2 * place + 1)
    stretch(partial(classifier.predict, image), 2 * place + 2)


def main() -> None:
    image = load_test(BUNDLE).images([0])
    gc.disable()  # Otherwise it might run between two marks.
    stretch(lambda: None, 0)
    files: list[str] = []
    versions = {"python": platform.python_version(), "numpy": np.__version__}
    with ModelFolder(BUNDLE) as bundle:
        for name in bundle.names:
            classifier = Classifier.load(bundle.path / name)
            stretches(classifier, image, len(files))
            files.append(name)
            versions[classifier.runtime.name] = classifier.runtime.version
    stretches(Classifier.load(PLAIN, interface=Interface(SCHEMES["unit"])), image, len(files))
    files.append(PLAIN.name)
    print(json.dumps({"files": files, "versions": versions}))


if __name__ == "__main__":
    main()
