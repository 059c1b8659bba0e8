"""Threads that share a classifier get the answers to their own images."""

from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from edgecnn.edge.data.splits import Split
from edgecnn.edge.inference.classifier import Classifier

FILES = [
    ("exported", "int8.tflite", "litert"), ("exported", "float32.tflite", "litert"), ("any_batch", "float32.tflite", "litert"),
    ("exported", "int8.onnx", "onnxruntime"), ("by_name", "int8.ncnn", "ncnn"), ("by_name", "float32.mnn", "mnn"),
    ("exported", "float32.onnx", "openvino"), ("exported", "float32.onnx", "onnxruntime"),
    ("any_batch", "float32.onnx", "openvino"),
]  # fmt: skip


@pytest.mark.parametrize(("folder", "file", "runtime"), FILES)
def test_threads_get_the_answers_to_their_own_images(
    folder: str, file: str, runtime: str, test_split: Split, request: pytest.FixtureRequest
) -> None:
    path: Path = request.getfixturevalue(folder) / file
    if runtime in ("openvino", "ncnn"):
        import_module(runtime)  # An emulated board skips what it lacks.
    classifier, images = Classifier.load(path, runtime=runtime), test_split.images(range(60))
    expected = [classifier.predict(image).probabilities for image in images]
    assert len({answer.tobytes() for answer in expected}) > 10

    def wrong(start: int) -> int:
        places = [(start + place) % 60 for place in range(300)]
        return sum(not np.array_equal(classifier.predict(images[place]).probabilities, expected[place]) for place in places)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(wrong, (0, 15, 30, 45))) == [0, 0, 0, 0]
