"""Runs a .tflite file with tflite-micro's interpreter and with LiteRT's reference kernels, in child processes."""

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecnn.edge.errors import ConversionError, parsing, why
from edgecnn.edge.native_output import quiet
from edgecnn.edge.runtimes.base import installed_version
from edgecnn.edge.sandbox.unverified import run_in_child

_NAME = "tflite-micro"
_LARGEST_ARENA = 2**26  # More memory than any microcontroller has.
_ARENA_STEP = 16  # To which tflite-micro aligns.
# What its C++ writes about an operator that failed, and the place in its source before a reason.
_FAILED = re.compile(r"Node (.+) \(number \d+u?\) failed")
_PLACE = re.compile(r"^\S+\.(?:cc|h):?\d* ")


def micro_version() -> str:
    """Return the package and version that runs files, for example `tflite-micro 0.dev20261023182759`."""
    return f"{_NAME} {installed_version(_NAME)}"


def run_micro(data: bytes, name: str, inputs: Sequence[NDArray[Any]]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the raw outputs of tflite-micro, and of LiteRT's reference kernels (n, ...), of a .tflite file.

    Each input is that of one call, in the file's dtype and full shape. `name` is for messages.

    Raises:
        ConversionError: If tflite-micro can't run the file; the message has its reason.
        ArtifactError: If the file crashes the child process, or takes too long.
    """
    # Each takes milliseconds an image, on one core.
    with ThreadPoolExecutor(1) as other:
        reference = other.submit(run_in_child, partial(_interpret_reference, data, inputs), name, len(data))
        outputs = run_in_child(partial(_interpret, data, name, inputs), name, len(data))
        return outputs, reference.result()


def smallest_arena(data: bytes, name: str, item: NDArray[Any]) -> int:
    """Return the size in bytes of the smallest arena in which tflite-micro runs a .tflite file on one input, on this machine.

    Errors are those of `run_micro`.
    """
    return run_in_child(partial(_find_arena, data, name, item), name, len(data))


def _interpret(data: bytes, name: str, inputs: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Return the outputs. Called in the child."""
    with parsing(f"{name} can't be read", "export it again"):  # tflite-micro reads the FlatBuffer in Python first.
        try:
            with quiet():
                interpreter = _opened(data, _LARGEST_ARENA)
                return np.stack([_run(interpreter, item) for item in inputs])
        except RuntimeError as error:
            fix = "export a file of int8, or train a network without that layer"
            raise ConversionError(f"{name}: {_NAME} can't run it ({_reason(error)}): {fix}") from error


def _opened(data: bytes, arena_bytes: int) -> Any:
    from tflite_micro import runtime

    return runtime.Interpreter.from_bytes(data, arena_size=arena_bytes)


def _run(interpreter: Any, item: NDArray[Any]) -> NDArray[Any]:
    interpreter.set_input(item, 0)
    interpreter.invoke()
    output: NDArray[Any] = np.array(interpreter.get_output(0))
    return output


def _find_arena(data: bytes, name: str, item: NDArray[Any]) -> int:
    """Return the size of the smallest arena, by halving. Called in the child."""
    expected = _interpret(data, name, [item])[0]
    low, high = 0, _LARGEST_ARENA // _ARENA_STEP
    while high - low > 1:
        # From above: in an arena that is far too small for a residual network tflite-micro crashes, instead of saying so.
        middle = (low + high) // 2 if low else high // 2
        try:
            with quiet():
                _opened(data, middle * _ARENA_STEP)
            high = middle
        except RuntimeError:
            low = middle
    if not np.array_equal(_run(_opened(data, high * _ARENA_STEP), item), expected):
        raise RuntimeError(f"tflite-micro computes something else in an arena of {high * _ARENA_STEP} bytes")
    return high * _ARENA_STEP


def _interpret_reference(data: bytes, inputs: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Return the outputs of the kernels from which tflite-micro's were made. Called in the child."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(model_content=data, experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
    interpreter.allocate_tensors()
    entry, end = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
    outputs = []
    for item in inputs:
        interpreter.set_tensor(entry, item)
        interpreter.invoke()
        outputs.append(interpreter.get_tensor(end))
    return np.stack(outputs)


def _reason(error: RuntimeError) -> str:
    """Return the operator that failed and its reason, which tflite-micro's C++ wrote; else what Python says."""
    lines = [line.strip() for line in "\n".join(getattr(error, "__notes__", ())).splitlines() if line.strip()]
    failed = [found[1] for found in map(_FAILED.match, lines) if found]
    told = [_PLACE.sub("", line) for line in lines if not _FAILED.match(line)]
    return why(RuntimeError(": ".join((*failed[:1], *told[:1])))) if told else why(error)
