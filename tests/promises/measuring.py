"""What `edgecnn bench` says of the exported files."""

from pathlib import Path

from benchmarks.budgets import load_budgets
from benchmarks.gate import Policy
from benchmarks.lineup import folder_lineup
from benchmarks.options import Options
from benchmarks.run import benchmark
from benchmarks.summary import typical_ns
from convert.dataset import load_test
from edge.runtimes import opener_for
from tests.promises.claims import Claim, at_most


def measure(folder: Path) -> list[Claim]:
    """Compare the two ONNX files in one benchmark."""
    options = Options(formats=("onnx",))
    lineup = folder_lineup(folder, options, {"onnx": opener_for("onnx")}, load_test())
    report = benchmark(lineup, options, load_budgets(None, {}, ()), Policy(("noise",)), "make benchmark", {})
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
            "int8.onnx, points of accuracy lost against Keras",
            100 * drop.estimate,
            0.1,
            f"95 %: {100 * drop.low:+.2f} to {100 * drop.high:+.2f}; {int8.accuracy.images:,} test images",
        ),
    ]
