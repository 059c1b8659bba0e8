"""The times of `edgecnn bench` beside those of the runtimes' own tools, for networks that others designed.

The tools are in the runtimes' packages: LiteRT's `litert-benchmark`, OpenVINO's `benchmark_app`. Each measurement of a tool has
one of edgecnn's before or after it, in turns; of each turn the ratio is taken, and of these the median. The tools leave out
handing over the input, 588 KiB here, which `edgecnn bench` counts: it is measured in each turn too, and subtracted
(`baselines/hand_over.py`). The networks are Keras's, with random weights, since times do not depend on them.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np

import edgecnn as ec
from edgecnn.benchmarks.timing.latency import random_inputs
from edgecnn.convert.keras.load import load_keras
from edgecnn.convert.onnx.convert import to_onnx
from edgecnn.convert.onnx.source import of_one_image
from edgecnn.convert.tflite.converter import to_tflite
from edgecnn.edge.manifest import TensorSpec
from tools.claims.claims import Claim, at_least, at_most

_TURNS = 15  # A turn may be wrong by 10 % on a busy machine.
_RUNS = 200
_WITHIN = 0.05
_SHAPE = (224, 224, 3)  # The tools round to 10 µs, which is little of these times.
_INPUTS = "inputs"
_HAND_OVER = Path(__file__).with_name("baselines") / "hand_over.py"
_BIN = Path(sys.executable).parent


def measure(folder: Path) -> list[Claim]:
    """Compare both runtimes on three networks. The files of `folder` are not used."""
    with tempfile.TemporaryDirectory() as made:
        claims = []
        _write_inputs(Path(made, _INPUTS))
        for name, files in _networks(Path(made)).items():
            for path, runtime, tool in files:
                turns = []
                for turn in range(_TURNS):
                    order: list[Callable[[], float]] = [lambda: _ours(path, runtime), lambda: tool(path)]  # noqa: B023
                    times = [measured() for measured in (order if turn % 2 else reversed(order))]
                    turns.append((*(times if turn % 2 else times[::-1]), _hand_over(path)))
                ratio = median((ours - handed) / theirs for ours, theirs, handed in turns)
                ours, theirs, handed = (median(times) for times in zip(*turns, strict=True))
                said = f"p50 {ours:,.0f} µs, {handed:,.0f} of them for the input, and {theirs:,.0f}; medians of {_TURNS} turns"
                text = f"{name}, {runtime}: edgecnn bench / its own tool"
                claims += [at_most(text, ratio, 1 + _WITHIN, said), at_least(text, ratio, 1 - _WITHIN, said)]
        return claims


_Tool = Callable[[Path], float]


def _networks(folder: Path) -> dict[str, list[tuple[Path, str, _Tool]]]:
    """Write each network as a .tflite and an .onnx file; with the runtime and the tool that measure it."""
    keras = load_keras()
    made = {
        "MobileNetV2 0.35": keras.applications.MobileNetV2(_SHAPE, alpha=0.35, weights=None, classes=10),
        "MobileNet 0.25": keras.applications.MobileNet(_SHAPE, alpha=0.25, weights=None, classes=10),
        "EfficientNetB0": keras.applications.EfficientNetB0(input_shape=_SHAPE, weights=None, classes=10),
    }
    found: dict[str, list[tuple[Path, str, _Tool]]] = {}
    for name, model in made.items():
        tflite, onnx = folder / f"{name}.tflite".replace(" ", "-"), folder / f"{name}.onnx".replace(" ", "-")
        tflite.write_bytes(to_tflite(model, "float32", _SHAPE, "float32", False))
        onnx.write_bytes(of_one_image(to_onnx(model, _SHAPE, "float32", "probabilities")))
        found[name] = [(tflite, "litert", _litert_benchmark), (onnx, "openvino", _benchmark_app)]
    return found


def _write_inputs(folder: Path) -> None:
    """Write what `edgecnn bench` gives these networks."""
    folder.mkdir()
    for index, numbers in enumerate(random_inputs(TensorSpec("image", (1, *_SHAPE), "float32"), "the networks")):
        np.save(folder / f"{index:03}.npy", numbers)


def _ours(path: Path, runtime: str) -> float:
    """Return the p50 of `edgecnn bench` in µs, of one process."""
    options = ec.BenchOptions(plan=ec.Plan(min_runs=_RUNS, min_seconds=0, launches=1), percents=(50.0,))
    report = ec.bench(path, runtime=runtime, options=options, limits={"max_drop_points": None}, allow=("noise",))
    value = report.files[0].latency.percentiles[0].value_ns
    assert value
    return value / 1e3


def _hand_over(path: Path) -> float:
    """Return the time of handing over one of the inputs, in µs."""
    command = [sys.executable, str(_HAND_OVER), str(path), str(path.parent / _INPUTS)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _litert_benchmark(path: Path) -> float:
    with tempfile.NamedTemporaryFile(suffix=".json") as told:
        runs = [f"--num_runs={_RUNS}", "--warmup_runs=20", "--num_threads=1"]
        command = [str(_BIN / "litert-benchmark"), f"--model={path}", *runs, f"--result_json={told.name}"]
        subprocess.run(command, check=True, capture_output=True)
        return float(json.loads(Path(told.name).read_text())["latency"]["median_ms"]) * 1e3


def _benchmark_app(path: Path) -> float:
    with tempfile.TemporaryDirectory() as told:
        runs = ["-api", "sync", "-niter", str(_RUNS), "-hint", "none", "-nthreads", "1", "-nstreams", "1"]
        # Else it takes bytes, and its time has their conversion, or it reads one input again and again from the cache.
        inputs = ["-ip", "f32", "-i", str(path.parent / _INPUTS), "-inference_only", "False"]
        reports = ["-json_stats", "-report_type", "no_counters", "-report_folder", told]
        command = [str(_BIN / "benchmark_app"), "-m", str(path), "-d", "CPU", "-infer_precision", "f32"]
        # Else it sends what it measures; its makers leave build servers out.
        subprocess.run([*command, *inputs, *runs, *reports], check=True, capture_output=True, env={**os.environ, "CI": "true"})
        (found,) = Path(told).glob("*.json")
        results = json.loads(found.read_text())["execution_results"]
        return float(results["latency (ms)"]) * 1e3
