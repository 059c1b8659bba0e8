"""Checks whether one thread and ONNX Runtime's spinning are the right defaults here."""

import subprocess
import sys
from pathlib import Path
from statistics import median

from edgecnn.benchmarks.gate.budget import load_budgets
from edgecnn.benchmarks.gate.gate import Policy
from edgecnn.benchmarks.measure.candidates import folder_candidates
from edgecnn.benchmarks.measure.options import BenchOptions
from edgecnn.benchmarks.measure.run import benchmark
from edgecnn.benchmarks.results.records import FileResult
from edgecnn.edge.data.dataset import load_test
from edgecnn.edge.model_folder import ModelFolder
from edgecnn.edge.runtimes import opener_for
from tools.claims.claims import Claim, at_most

_TURNS = 5
# Each session has its own process: spinning threads would take the other's time.
_SPIN = """
import sys, time
import numpy as np
import onnxruntime
from edgecnn.edge.runtimes.onnxruntime import session_options
options = session_options(int(sys.argv[2]))
options.add_session_config_entry("session.intra_op.allow_spinning", sys.argv[3])
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
entry = session.get_inputs()[0]
given = {entry.name: np.random.default_rng(0).random([1, *entry.shape[1:]], np.float32)}
times = []
for _ in range(4000):
    start = time.perf_counter_ns()
    session.run(None, given)
    times.append(time.perf_counter_ns() - start)
print(np.median(times[1000:]) / 1e3)
"""


def measure(folder: Path) -> list[Claim]:
    """Compare one and two threads as `edgecnn bench --threads 1,2` does, and spinning with not spinning."""
    options = BenchOptions(threads=(1, 2))
    openers = {name: (opener_for(name),) for name in ("tflite", "onnx")}
    candidate_set = folder_candidates(ModelFolder(folder), options, openers, load_test())
    report = benchmark(
        candidate_set, options, load_budgets(None, {}, ()), Policy(("noise",)), command="make benchmark", versions={}
    )
    files = {file.name: file for file in report.files}
    claims = []
    for name in ("int8.tflite", "int8.onnx"):
        one, two = files[f"{name} x1"], files[f"{name} x2"]
        said = f"p50 and p99: one thread {_us(one, 0)} and {_us(one, 2)} µs, two {_us(two, 0)} and {_us(two, 2)}"
        claims.append(at_most(f"{name}: p99 with one thread / with two", _ns(one, 2) / _ns(two, 2), 1, said))

    model = str(folder / "float32.onnx")
    for threads in ("1", "2"):
        turns = [[_spin(model, threads, allowed) for allowed in ("1", "0")] for _ in range(_TURNS)]
        on, off = (median(times) for times in zip(*turns, strict=True))
        said = f"p50 {on:.1f} and {off:.1f} µs, medians of {_TURNS} processes each, in turns"
        text = f"float32.onnx, {threads} thread{'s' * (threads != '1')}: spinning / not spinning"
        claims.append(at_most(text, median(a / b for a, b in turns), 1.02, said))
    return claims


def _spin(model: str, threads: str, allowed: str) -> float:
    command = [sys.executable, "-c", _SPIN, model, threads, allowed]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _ns(file: FileResult, place: int) -> float:
    value = file.latency.percentiles[place].value_ns
    if value is None:
        raise ValueError(f"{file.name}: too few runs for a percentile")
    return value


def _us(file: FileResult, place: int) -> str:
    return f"{_ns(file, place) / 1e3:.1f}"
