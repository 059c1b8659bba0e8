"""Print the median time in µs of handing over one input, between inferences, to LiteRT or OpenVINO with one thread.

OpenVINO's tool hands over each input where it is, and reads it while it measures; LiteRT's tool reads one again and again. So
OpenVINO's input is copied once before the copy that is timed, which then finds it in the cache.
Arguments: a .tflite or .onnx file, and a folder of inputs as .npy files.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import openvino
from ai_edge_litert.interpreter import Interpreter

RUNS = 200


def litert(path: Path) -> tuple[Callable[[Any], Any], Callable[[], Any]]:
    """Return what hands over an input to a .tflite file, and what runs it."""
    interpreter = Interpreter(str(path), num_threads=1)
    interpreter.allocate_tensors()
    index = interpreter.get_input_details()[0]["index"]
    return lambda numbers: interpreter.set_tensor(index, numbers), interpreter.invoke


def openvino_of(path: Path) -> tuple[Callable[[Any], Any], Callable[[], Any]]:
    """Return what hands over an input to an .onnx file, and what runs it."""
    request: Any = openvino.compile_model(path, "CPU", {"INFERENCE_NUM_THREADS": 1}).create_infer_request()
    buffer = request.get_input_tensor().data
    return lambda numbers: np.copyto(buffer, numbers), request.infer


def main() -> None:
    """Time it."""
    path, folder = map(Path, sys.argv[1:])
    inputs = [np.load(file) for file in sorted(folder.iterdir())]
    is_litert = path.suffix == ".tflite"
    hand_over, infer = (litert if is_litert else openvino_of)(path)
    times = []
    for run in range(RUNS):
        numbers = inputs[run % len(inputs)]
        if not is_litert:
            hand_over(numbers)
        begun = time.perf_counter_ns()
        hand_over(numbers)
        times.append(time.perf_counter_ns() - begun)
        infer()
    print(median(times) / 1e3)


if __name__ == "__main__":
    main()
