"""The time that edgecnn adds to the interpreter, or saves."""

import itertools
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from edgecnn.edge.data.dataset import load_test
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.model.preprocess import Images
from tools.claims.claims import Claim, at_least, at_most
from tools.claims.overhead import bare_run

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
    ready = [(image ^ 128).view(np.int8)[np.newaxis] for image in images]
    bare_singly = ready[: len(singles)]
    shift, entered = np.array(128, np.uint8), np.empty((1, *classifier.shape), np.int8)
    pixels = entered.view(np.uint8)[0]
    values = np.arange(-128, 128, dtype=np.float32)

    def bare(image: np.ndarray) -> None:
        interpreter.set_tensor(entry, image)
        interpreter.invoke()
        interpreter.get_tensor(answer)

    def unchecked(image: np.ndarray) -> tuple[NDArray[Any], NDArray[Any]]:
        """Do what an answer takes, in a single function without a check."""
        np.add(image, shift, pixels)
        interpreter.set_tensor(entry, entered)
        interpreter.invoke()
        raw = interpreter.get_tensor(answer)
        return raw.argmax(1), values.take(raw, None, None, "wrap")

    singly = _in_turns(_each(classifier.predict, singles, _RUNS), _each(bare, bare_singly, _RUNS), _TURNS)
    least = _in_turns(_each(unchecked, singles, _RUNS), _each(bare, bare_singly, _RUNS), _TURNS)
    batches = _in_turns(lambda: classifier.predict(images), _each(bare, ready, len(images)), _BATCH_TURNS)
    alone = median(theirs for _, theirs in singly) / _RUNS * 1e6
    added, floor = (median(ours - theirs for ours, theirs in pairs) / _RUNS * 1e6 for pairs in (singly, least))
    return [
        at_most(
            "Classifier.predict of one image / bare interpreter's set, invoke, get",
            median(ours / theirs for ours, theirs in singly),
            1.08,
            f"median of {_TURNS} turns of {_RUNS} runs; {added:.1f} µs more than the interpreter's {alone:.1f}; "
            f"without checks, locks and labels {floor:.1f} more",
        ),
        at_least(
            "throughput of predict of 10,000 images / of the interpreter",
            median(theirs / ours for ours, theirs in batches),
            0.97,
            f"images per second, int8.tflite, one thread; median of {_BATCH_TURNS} turns",
        ),
        _bound(folder / "float32.onnx", images[:100]),
    ]


def _bound(path: Path, images: Images) -> Claim:
    """Time runs in bound buffers and ONNX Runtime's own `run`, in turns."""
    classifier = Classifier.load(path)
    singles = classifier.singles(images)
    own, bare = classifier.runtime.run, bare_run(classifier.runtime)
    pairs = _in_turns(_each(own, singles, _RUNS), _each(bare, singles, _RUNS), _TURNS)
    ours, theirs = (median(times) / _RUNS * 1e6 for times in zip(*pairs, strict=True))
    return at_most(
        "a run of float32.onnx in bound buffers / InferenceSession.run",
        median(one / other for one, other in pairs),
        1,
        f"{ours:.1f} and {theirs:.1f} µs, float32 in and out; median of {_TURNS} turns of {_RUNS} runs",
    )


def _each(way: Callable[[Any], object], given: list[Any], runs: int) -> Callable[[], None]:
    """Return a function that does this many runs, cycling through the inputs."""

    def work() -> None:
        for image in itertools.islice(itertools.cycle(given), runs):
            way(image)

    return work


def _in_turns(ours: Callable[[], object], theirs: Callable[[], object], turns: int) -> list[tuple[float, float]]:
    """Return the seconds of both in each turn; they alternate in going first."""
    pairs = []
    for turn in range(turns):
        seconds = {}
        for work in (ours, theirs) if turn % 2 else (theirs, ours):
            begin = time.perf_counter()
            work()
            seconds[work] = time.perf_counter() - begin
        pairs.append((seconds[ours], seconds[theirs]))
    return pairs
