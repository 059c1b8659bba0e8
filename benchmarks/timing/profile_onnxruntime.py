"""ONNX Runtime's profiler, which writes its trace into a file."""

import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from edgecnn.edge.errors import InvalidMeasurement, field, parsing
from edgecnn.edge.files import temporary_folder
from edgecnn.edge.runtimes.onnxruntime import inference_session, open_model, session_options

CAVEAT = "ONNX Runtime's profiler adds one or two microseconds to each op"

_ENDING = "_kernel_time"


def profile_ops(data: bytes, threads: int, singles: list[NDArray[Any]], warmup: int) -> tuple[str, list[tuple[str, int]]]:
    """See `edgecnn.benchmarks.timing.profile.OpProfiler`."""
    runtime = open_model(data, threads)  # Refuses a bad file with our message.
    options = session_options(threads)
    options.enable_profiling = True
    with temporary_folder() as folder:
        options.profile_file_prefix = str(folder / "trace")
        session = inference_session(data, options)
        for single in singles:
            session.run(None, {runtime.input_spec.name: single})
        trace = Path(session.end_profiling()).read_text(errors="replace")
    return f"ONNX Runtime {runtime.version} profiler", parse(trace, len(singles), warmup)


def parse(trace: str, runs: int, warmup: int) -> list[tuple[str, int]]:
    """Return each op of a trace with its summed microseconds, in the order in which the ops ran.

    Args:
        trace: The JSON that `end_profiling` wrote.
        runs: Number of inferences in it.
        warmup: Number of the first runs not to count.

    Raises:
        InvalidMeasurement: If an op did not run once in every inference: the runtime drops events if there are many.
    """
    times: dict[tuple[str, str], list[int]] = defaultdict(list)
    with parsing("ONNX Runtime's profile can't be read", f"bench without {field('profile')}", InvalidMeasurement):
        events = json.loads(trace, strict=False)  # It writes the file's names unescaped.
    for event in events:
        # Fences and the session's own steps are not work of an op.
        if event.get("cat") == "Node" and event["name"].endswith(_ENDING):
            times[event["args"]["op_name"], event["name"].removesuffix(_ENDING)].append(int(event["dur"]))
    if not times or any(len(of_node) != runs for of_node in times.values()):
        raise InvalidMeasurement(
            f"ONNX Runtime's profiler does not report the same ops in every run: bench without {field('profile')}"
        )
    types = Counter(op for op, _ in times)
    return [(op if types[op] == 1 else f"{op} {node}", sum(of_node[warmup:])) for (op, node), of_node in times.items()]
