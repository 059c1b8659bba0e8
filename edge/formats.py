"""Formats, precisions and runtimes, one row each: the only place that lists them.

Other code asks a row, or calls the module that a row names. That module is imported on first use and meets a contract,
so that a new runtime is one module and one row:

| field of a row | what its module has |
|---|---|
| `Runtime.module` | `import_library()` and `open_model(...)`: `edgecnn.edge.runtimes.base` |
| `Runtime.profiler` | `profile_ops(...)` and `CAVEAT`: `edgecnn.benchmarks.timing.profile` |
| `Format.anatomy` | `read_network(...)`: `edgecnn.edge.anatomy.network` |
| `Format.requirements` | `read_needs(...)` and `RELEASES`: `edgecnn.edge.compatibility.requirements` |
| `Format.converter` | `converter(...)`: `edgecnn.convert.export.converters` |
| `Format.pair` | `open_pair(...)`: `edgecnn.convert.diagnosis.pair` |
"""

from importlib.util import find_spec
from math import inf
from pathlib import Path
from typing import Literal, NamedTuple

from edgecnn.edge.errors import MissingDependency

# The extra that installs what training and conversion need.
_WORKSTATION = "train"

CalibrationName = Literal["minmax", "entropy", "percentile"]
"""A way to take ranges from activations."""


class Precision(NamedTuple):
    """The numbers that a file computes with.

    Attributes:
        name: As in file names and in `precisions`.
        tolerance: What a probability may differ by from the float Keras model's, 0 to 1. The same sums in another order
            differ by about 1e-6 in float32; float16 weights have 11 significant bits. Infinite for a quantized file: what
            that loses has no bound, and is for `edgecnn bench` to judge.
        drift: What a probability may differ by where another runtime or machine runs the same file, 0 to 1: it adds the same
            They sum in another order, and round at other places inside a quantized file. docs/reference/bundle.md
        calibrated: Whether training images set the ranges of its activations.
    """

    name: str
    tolerance: float
    drift: float
    calibrated: bool = False


PRECISIONS = {
    row.name: row
    for row in (
        Precision("float32", tolerance=1e-4, drift=1e-4),
        Precision("float16", tolerance=2e-2, drift=1e-4),
        Precision("dynamic", tolerance=inf, drift=0.05),
        Precision("int8", tolerance=inf, drift=0.05, calibrated=True),
        Precision("int16x8", tolerance=inf, drift=0.05, calibrated=True),
    )
}
"""Precisions by name, in the order in which results list them."""


class Package(NamedTuple):
    """A package that may or may not be installed.

    Attributes:
        name: Name for pip.
        module: Name for `import`.
        extra: The extra of edgecnn that installs it.
    """

    name: str
    module: str
    extra: str

    @property
    def is_installed(self) -> bool:
        """Whether it is installed. This does not import it."""
        try:
            return find_spec(self.module.partition(".")[0]) is not None
        except ModuleNotFoundError:  # A finder that hides a package raises this.
            return False
        except ValueError:  # Its module in sys.modules has no spec: a stand-in.
            return True

    @property
    def missing(self) -> MissingDependency:
        """The error for a missing package."""
        where = ". On the workstation" if self.extra == _WORKSTATION else ""
        return MissingDependency(f"{self.name} is not installed{where}: {self.command}")

    @property
    def command(self) -> str:
        """The command that installs it."""
        from edgecnn.edge.install_command import install_command  # noqa: PLC0415 - Only an error needs it.

        return install_command(self.extra)


class Mark(NamedTuple):
    """Bytes by which the files of a format are recognised.

    Attributes:
        at: Offset of the bytes in the file.
        data: The bytes.
        absent: Message for a file without them.
        fix: What the message recommends then.
    """

    at: int
    data: bytes
    absent: str
    fix: str


class Format(NamedTuple):
    """A kind of model file.

    Attributes:
        name: Name used in `formats`, and the suffix of its files without the dot.
        title: Name as people write it.
        on_device: Whether devices run it; the others are exported from `keras`.
        precisions: Names of the precisions it has, in the order of `PRECISIONS`.
        calibrations: Calibration methods of its quantizer, the default first.
        mark: Bytes that identify its files; None if the runtime's own error is the check.
        signatures: Whether a file may hold several named graphs.
        trusted: Whether a file may need Python modules that define its layers; their code then runs.
        reader: Package that reads its layers.
        anatomy: Module that reads a file's layers.
        requirements: Module that reads which release of a runtime a file needs; None if no device runs it.
        converter: Module that writes its files; None if edgecnn writes none.
        pair: Module that compares a quantized file with its float file; None if there are no such files.
        made_with: Packages besides TensorFlow that write its files, by their pip names.
    """

    name: str
    title: str
    on_device: bool
    precisions: tuple[str, ...]
    reader: Package
    anatomy: str
    mark: Mark | None = None
    signatures: bool = False
    trusted: bool = False
    calibrations: tuple[CalibrationName, ...] = ()
    requirements: str | None = None
    converter: str | None = None
    pair: str | None = None
    made_with: tuple[str, ...] = ()

    @property
    def suffix(self) -> str:
        """Suffix of its files, with the dot."""
        return f".{self.name}"

    def file_name(self, precision: str) -> str:
        """Return the name of an exported file of a precision."""
        return f"{precision}{self.suffix}"


_TENSORFLOW = Package("tensorflow", "tensorflow", _WORKSTATION)
_LITERT = Package("ai-edge-litert", "ai_edge_litert.interpreter", "tflite")

FORMATS = {
    row.name: row
    for row in (
        Format(
            "keras",
            title="Keras 3",
            on_device=False,
            precisions=("float32",),
            mark=Mark(0, b"PK\x03\x04", "not a zip archive", "save it with model.save('name.keras')"),
            trusted=True,
            reader=_TENSORFLOW,
            anatomy="edgecnn.convert.keras.summary",
        ),
        Format(
            "tflite",
            title="TFLite",
            on_device=True,
            precisions=("float32", "float16", "dynamic", "int8", "int16x8"),
            calibrations=("minmax",),
            mark=Mark(4, b"TFL3", "no TFL3 mark", "copy it again, or name another file"),
            signatures=True,
            reader=_LITERT,
            anatomy="edgecnn.edge.anatomy.tflite",
            requirements="edgecnn.edge.compatibility.tflite",
            converter="edgecnn.convert.tflite.converter",
            pair="edgecnn.convert.diagnosis.tflite",
            made_with=("ai-edge-litert", "litert-quantizer"),
        ),
        Format(
            "onnx",
            title="ONNX",
            on_device=True,
            precisions=("float32", "int8"),
            calibrations=("minmax", "entropy", "percentile"),
            reader=Package("onnx", "onnx", _WORKSTATION),
            anatomy="edgecnn.edge.anatomy.onnx",
            requirements="edgecnn.edge.compatibility.onnx",
            converter="edgecnn.convert.onnx.converter",
            pair="edgecnn.convert.diagnosis.onnx",
            made_with=("tf2onnx", "onnx", "onnxslim", "onnxruntime"),
        ),
    )
}
"""Formats by name, in the order in which results list them."""


class Runtime(NamedTuple):
    """A runtime: what executes the files of a format.

    Attributes:
        name: Name that `bench` accepts.
        format: Name of the format that it runs.
        package: Its package; results give the package's version.
        module: Module that opens files with it.
        profiler: Module that measures the time of each operator; None if the runtime reports none.
        bits: Word sizes of the ARM systems for which packages exist.
        python_below: First Python version without a package, for example (3, 12); None if none is known.
        ended: Whether the project has ended, so that no release will follow.
        by_name: Whether it runs files only if it is named, and is never the default one of its format.
    """

    name: str
    format: str
    package: Package
    module: str
    profiler: str | None = None
    bits: tuple[int, ...] = (64,)
    python_below: tuple[int, ...] | None = None
    ended: bool = False
    by_name: bool = False


RUNTIMES = {
    row.name: row
    for row in (
        Runtime(
            "litert", "tflite", _LITERT, "edgecnn.edge.runtimes.litert", profiler="edgecnn.benchmarks.timing.profile_litert"
        ),
        Runtime(
            "tflite-runtime",
            "tflite",
            Package("tflite-runtime", "tflite_runtime.interpreter", "tflite-runtime"),
            "edgecnn.edge.runtimes.tflite_runtime",
            bits=(32, 64),
            python_below=(3, 12),
            ended=True,
        ),
        Runtime(
            "onnxruntime",
            "onnx",
            Package("onnxruntime", "onnxruntime", "onnx"),
            "edgecnn.edge.runtimes.onnxruntime",
            profiler="edgecnn.benchmarks.timing.profile_onnxruntime",
        ),
        Runtime(
            "openvino",
            "onnx",
            Package("openvino", "openvino", "openvino"),
            "edgecnn.edge.runtimes.openvino",
            by_name=True,
        ),
        Runtime("keras", "keras", _TENSORFLOW, "edgecnn.convert.keras.runtime"),
    )
}
"""Runtimes by name. The default of a format is its first runtime that is installed."""


def device_formats() -> tuple[str, ...]:
    """Return the names of the formats that a device runs."""
    return tuple(row.name for row in FORMATS.values() if row.on_device)


def is_exported(model_format: str | None) -> bool:
    """Return whether a device runs files of this format, unlike the Keras model that they come from."""
    row = FORMATS.get(model_format or "")
    return row is None or row.on_device  # A later edgecnn may have written a format unknown here.


def suffixes() -> str:
    """Return the suffixes of all formats, for a sentence: `.keras, .tflite or .onnx`."""
    *others, last = (row.suffix for row in FORMATS.values())
    return f"{', '.join(others)} or {last}"


def format_of(path: Path) -> str | None:
    """Return the name of the format with this suffix; None if no format has it."""
    name = path.suffix.lstrip(".").lower()
    return name if name in FORMATS else None
