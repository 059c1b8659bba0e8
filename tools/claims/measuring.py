"""The figures of `edgecnn bench` for the exported files."""

from pathlib import Path

from edgecnn.benchmarks.gate.budget import load_budgets
from edgecnn.benchmarks.gate.gate import Policy
from edgecnn.benchmarks.measure.candidates import folder_candidates
from edgecnn.benchmarks.measure.options import BenchOptions
from edgecnn.benchmarks.measure.run import benchmark
from edgecnn.benchmarks.results.latency_summary import typical_ns
from edgecnn.edge.data.dataset import load_test
from edgecnn.edge.model_folder import ModelFolder
from edgecnn.edge.runtimes import opener_for
from tools.claims.claims import Claim, at_most


def measure(folder: Path) -> list[Claim]:
    """Compare the two ONNX files in one benchmark."""
    options = BenchOptions()
    candidate_set = folder_candidates(ModelFolder(folder), options, {"onnx": (opener_for("onnx"),)}, load_test())
    report = benchmark(
        candidate_set, options, load_budgets(None, {}, ()), Policy(("noise",)), command="make benchmark", versions={}
    )
    files = {file.name: file for file in report.files}
    int8, float32 = files["int8.onnx"], files["float32.onnx"]
    assert int8.accuracy  # There are test images.
    drop = int8.accuracy.drop
    times = [typical_ns(file.launches) for file in (int8, float32)]
    return [
        at_most(
            "int8.onnx / float32.onnx, time of one image",
            times[0] / times[1],
            1,
            f"p50 {times[0] / 1e3:.1f} and {times[1] / 1e3:.1f} µs",
        ),
        at_most(
            "int8.onnx, accuracy drop from Keras in points",
            100 * drop.estimate,
            0.1,
            f"95 %: {100 * drop.low:+.2f} to {100 * drop.high:+.2f}; {int8.accuracy.images:,} test images",
        ),
    ]
