"""Print the time in µs by which handing over an input makes an inference longer, in LiteRT or OpenVINO with one thread.

LiteRT's tool reads one input again and again: all of the copy is added. OpenVINO's tool hands over each input where it is, and
reads it while it measures: what a copy and its inference take more than such an inference, in turns, is added.
Arguments: a .tflite or .onnx file, and a folder of inputs as .npy files.
"""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import openvino
from ai_edge_litert.interpreter import Interpreter

RUNS = 200


def litert(path: Path, inputs: Sequence[Any]) -> float:
    """Return the median time of a copy, in ns."""
    interpreter = Interpreter(str(path), num_threads=1)
    interpreter.allocate_tensors()
    index = interpreter.get_input_details()[0]["index"]
    copies = []
    for run in range(RUNS):
        begun = time.perf_counter_ns()
        interpreter.set_tensor(index, inputs[run % len(inputs)])
        copies.append(time.perf_counter_ns() - begun)
        interpreter.invoke()
    return median(copies)


def openvino_of(path: Path, inputs: Sequence[Any]) -> float:
    """Return the difference of the median times with and without a copy, in ns."""
    compiled = openvino.compile_model(path, "CPU", {"INFERENCE_NUM_THREADS": 1})
    copying: Any = compiled.create_infer_request()
    referring: Any = compiled.create_infer_request()
    buffer, tensors = copying.get_input_tensor().data, [openvino.Tensor(numbers) for numbers in inputs]
    with_copy, without = [], []
    for run in range(RUNS):
        begun = time.perf_counter_ns()
        np.copyto(buffer, inputs[run % len(inputs)])
        copying.infer()
        with_copy.append(time.perf_counter_ns() - begun)
        referring.set_input_tensor(tensors[(run + len(inputs) // 2) % len(inputs)])  # Not the one that is in the cache.
        begun = time.perf_counter_ns()
        referring.infer()
        without.append(time.perf_counter_ns() - begun)
    return median(with_copy) - median(without)


def main() -> None:
    """Time it."""
    path, folder = map(Path, sys.argv[1:])
    inputs = [np.load(file) for file in sorted(folder.iterdir())]
    print((litert if path.suffix == ".tflite" else openvino_of)(path, inputs) / 1e3)


if __name__ == "__main__":
    main()
