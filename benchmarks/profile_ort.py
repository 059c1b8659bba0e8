"""ONNX Runtime's profiler, which writes a file of what it saw."""

import json
import tempfile
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from edge.errors import InvalidMeasurement
from edge.runtimes.ort import OrtRuntime, session_options

CAVEAT = "ONNX Runtime's profiler adds one or two microseconds to each op"

_ENDING = "_kernel_time"


def profile_ops(data: bytes, threads: int, singles: list[NDArray[Any]], warmup: int) -> tuple[str, list[tuple[str, int]]]:
    """Return the profiler's name and, in order, each op with the microseconds that all runs after the warm-up took.

    Args:
        data: An .onnx file.
        threads: Of the runtime.
        singles: One input for each run, in the model's own shape and dtype.
        warmup: How many of the first not to count.

    Raises:
        As `benchmarks.profile.profile`.
    """
    runtime = OrtRuntime(data, threads)  # Imports the package as it must be, and refuses a bad file with our words.
    import onnxruntime

    options = session_options(threads)
    options.enable_profiling = True
    with tempfile.TemporaryDirectory() as folder:
        options.profile_file_prefix = str(Path(folder) / "trace")
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"], enable_fallback=False)
        for single in singles:
            session.run(None, {runtime.input_spec.name: single})
        trace = Path(session.end_profiling()).read_text()
    return f"ONNX Runtime {runtime.version} profiler", parse(trace, len(singles), warmup)


def parse(trace: str, runs: int, warmup: int) -> list[tuple[str, int]]:
    """Return each op of a trace with its summed microseconds, in the order in which the ops ran.

    Args:
        trace: The JSON that `end_profiling` wrote.
        runs: How many inferences it has.
        warmup: How many of the first not to count.

    Raises:
        InvalidMeasurement: If an op did not run once in every inference: its runtime drops events when there are many.
    """
    times: dict[tuple[str, str], list[int]] = defaultdict(list)
    for event in json.loads(trace):
        # Fences and the session's own steps are no work of an op.
        if event.get("cat") == "Node" and event["name"].endswith(_ENDING):
            times[event["args"]["op_name"], event["name"].removesuffix(_ENDING)].append(int(event["dur"]))
    if not times or any(len(of_node) != runs for of_node in times.values()):
        raise InvalidMeasurement("ONNX Runtime's profiler does not tell the same ops in every run: bench without --profile")
    types = Counter(op for op, _ in times)
    return [(op if types[op] == 1 else f"{op} {node}", sum(of_node[warmup:])) for (op, node), of_node in times.items()]
