"""Runtimes, one row each."""

from typing import NamedTuple

from edgecnn.edge.formats.format import LITERT, TENSORFLOW
from edgecnn.edge.formats.package import Package

# More is a typing error: a runtime starts them all, and hundreds stall a small board.
MOST_THREADS = 64


class Runtime(NamedTuple):
    """A runtime: what executes the files of a format.

    Attributes:
        name: Name that `bench` accepts.
        formats: Names of the formats that it runs.
        package: Its package; results give the package's version.
        module: Module that opens files with it.
        profiler: Module that measures the time of each operator; None if the runtime reports none.
        bits: Word sizes of the ARM systems for which packages exist.
        python_below: First Python version without a package, for example (3, 12); None if none is known.
        ended: Whether the project has ended, so that no release will follow.
        by_name: Whether it runs files only if it is named, and is never the default one of its format.
        cpu: Instructions without which it gains nothing, as /proc/cpuinfo names them; None if it runs on any CPU.
    """

    name: str
    formats: tuple[str, ...]
    package: Package
    module: str
    profiler: str | None = None
    bits: tuple[int, ...] = (64,)
    python_below: tuple[int, ...] | None = None
    ended: bool = False
    by_name: bool = False
    cpu: str | None = None


RUNTIMES = {
    row.name: row
    for row in (
        Runtime(
            "litert", ("tflite",), LITERT, "edgecnn.edge.runtimes.litert", profiler="edgecnn.benchmarks.timing.profile_litert"
        ),
        Runtime("litert-fp16", ("tflite",), LITERT, "edgecnn.edge.runtimes.litert_fp16", by_name=True, cpu="asimdhp"),
        Runtime(
            "tflite-runtime",
            ("tflite",),
            Package("tflite-runtime", "tflite_runtime.interpreter", "tflite-runtime"),
            "edgecnn.edge.runtimes.tflite_runtime",
            bits=(32, 64),
            python_below=(3, 12),
            ended=True,
        ),
        Runtime(
            "onnxruntime",
            ("onnx",),
            Package("onnxruntime", "onnxruntime", "onnx"),
            "edgecnn.edge.runtimes.onnxruntime",
            profiler="edgecnn.benchmarks.timing.profile_onnxruntime",
        ),
        Runtime(
            "openvino",
            ("tflite", "onnx"),
            Package("openvino", "openvino", "openvino"),
            "edgecnn.edge.runtimes.openvino",
            by_name=True,
        ),
        Runtime("ncnn", ("ncnn",), Package("ncnn", "ncnn", "ncnn"), "edgecnn.edge.runtimes.ncnn"),
        Runtime("mnn", ("mnn",), Package("mnn", "MNN", "mnn"), "edgecnn.edge.runtimes.mnn"),
        Runtime(
            "executorch",
            ("executorch",),
            Package("executorch", "executorch.extension.pybindings.portable_lib", "executorch"),
            "edgecnn.edge.runtimes.executorch",
        ),
        Runtime("keras", ("keras",), TENSORFLOW, "edgecnn.convert.keras.runtime"),
    )
}
"""Runtimes by name. The default of a format is its first runtime that is installed."""
