"""What `Classifier.predict` adds to the interpreter."""

import itertools
import time
from pathlib import Path
from statistics import median

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from convert.dataset import load_test
from edge.classifier import Classifier
from tests.promises.claims import Claim, at_least, at_most

_TURNS = 200
_RUNS = 200
_BATCH_TURNS = 40


def measure(folder: Path) -> list[Claim]:
    """Time one uint8 image through the classifier and through the bare interpreter, and 10,000 at once, in turns."""
    path = folder / "int8.tflite"
    classifier = Classifier.load(path)
    interpreter = Interpreter(str(path), num_threads=1)
    interpreter.allocate_tensors()
    entry, answer = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
    test = load_test()
    images = test.images(range(len(test.labels)))
    singles = [image.copy() for image in images[:100]]
    ready = [(image ^ 128).view(np.int8)[np.newaxis] for image in singles]

    def bare(image: np.ndarray) -> None:
        interpreter.set_tensor(entry, image)
        interpreter.invoke()
        interpreter.get_tensor(answer)

    more, alone = [], []
    for turn in range(_TURNS):
        ways = [(classifier.predict, singles), (bare, ready)]
        took = {}
        for way, given in ways if turn % 2 else reversed(ways):
            inputs = itertools.cycle(given)
            start = time.perf_counter_ns()
            for _ in range(_RUNS):
                way(next(inputs))
            took[way] = (time.perf_counter_ns() - start) / _RUNS / 1e3
        more.append(took[classifier.predict] - took[bare])
        alone.append(took[bare])

    def one_by_one() -> None:
        for image in itertools.islice(itertools.cycle(ready), len(images)):
            bare(image)

    def together() -> None:
        classifier.predict(images)

    rates = []
    for turn in range(_BATCH_TURNS):
        seconds = {}
        for work in (one_by_one, together) if turn % 2 else (together, one_by_one):
            begin = time.perf_counter()
            work()
            seconds[work] = time.perf_counter() - begin
        rates.append(seconds[one_by_one] / seconds[together])
    return [
        at_most(
            "Classifier.predict of one image - bare interpreter, µs",
            median(more),
            3,
            f"median of {_TURNS} turns of {_RUNS} runs; the interpreter alone takes {median(alone):.1f} µs",
        ),
        at_least(
            "throughput of predict of 10,000 images / of the interpreter",
            median(rates),
            0.97,
            f"images a second, int8.tflite, one thread; median of {_BATCH_TURNS} turns",
        ),
    ]
