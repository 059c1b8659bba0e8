"""Formats, precisions and runtimes, one row each: the only place that lists them.

Other code asks a row, or calls the module that it names, which is imported on first use and meets a contract:

| field of a row | what its module has |
|---|---|
| `Runtime.module` | `import_library()` and `open_model(...)`: `edgecnn.edge.runtimes.base` |
| `Runtime.profiler` | `profile_ops(...)` and `CAVEAT`: `edgecnn.benchmarks.timing.profile` |
| `Format.anatomy` | `read_network(...)`: `edgecnn.edge.graph.summary` |
| `Format.ending` | `last_operator(data, model)`: `edgecnn.edge.model.interface` |
| `Format.requirements` | `read_needs(...)`, `narrow_numbers(...)` and `RELEASES`: `edgecnn.edge.compatibility.requirements` |
| `Format.importer` | `imported`, `first_layer_input`, perhaps `stated_interface`: `edgecnn.convert.export.source`, `evidence` |
| `Format.converter` | `converter(...)`: `edgecnn.convert.export.converters` |
| `Format.describer` | `described(...)`: `edgecnn.convert.export.program_files` |
| `Format.pair` | `open_pair(...)`: `edgecnn.convert.diagnose` |
"""

from importlib.util import find_spec
from math import inf
from pathlib import Path
from typing import Literal, NamedTuple

from edgecnn.edge.errors import MissingDependency

WORKSTATION = "train"
"""The extra that installs what training and conversion need."""


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
        where = ". On the workstation" if self.extra == WORKSTATION else ""
        return MissingDependency(f"{self.name} is not installed{where}: {self.command}")

    @property
    def command(self) -> str:
        """The command that installs it."""
        from edgecnn.edge.packages import install_command  # noqa: PLC0415 - Only an error needs it.

        return install_command(self.extra)


TENSORFLOW = Package("tensorflow", "tensorflow", WORKSTATION)
LITERT = Package("ai-edge-litert", "ai_edge_litert.interpreter", "tflite")


class Precision(NamedTuple):
    """The numbers that a file computes with.

    Attributes:
        name: As in file names and in `precisions`.
        tolerance: What a probability may differ by from the float model's, 0 to 1: sums in another order differ by about 1e-6,
            float16 weights have 11 significant bits. Infinite for a quantized file: what that loses, `edgecnn bench` judges.
        drift: What a probability may differ by where another runtime or machine runs the same file, 0 to 1: sums are made in
            another order, and a quantized file is rounded at other places. docs/reference/bundle.md
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
        Precision("int4", tolerance=inf, drift=0.05, calibrated=True),
        Precision("int16x8", tolerance=inf, drift=0.05, calibrated=True),
    )
}
"""Precisions by name, in the order in which results list them."""

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
        python_below: First Python version without a package, as (3, 12); None if none is known.
        ended: Whether the project has ended, so that no release will follow.
        by_name: Whether it runs files only if it is named, and is never the default one of its format.
        cpu: Instructions without which it gains nothing, as /proc/cpuinfo names them; None if it runs on any CPU.
        variant: What results add to the package's name, if it computes in another way than by default.
        writes_code: Whether it needs memory that is both writable and executable, which services are refused by default.
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
    variant: str = ""
    writes_code: bool = False

    @property
    def name_in_results(self) -> str:
        """Name that results give before the version; no other runtime has the same."""
        return self.package.name + self.variant


_ROOM = "edgecnn.edge.runtimes"
RUNTIMES = {
    row.name: row
    for row in (
        Runtime("litert", ("tflite",), LITERT, "edgecnn.edge.runtimes.litert", "edgecnn.benchmarks.timing.profile_litert"),
        Runtime("litert-fp16", ("tflite",), LITERT, f"{_ROOM}.litert_fp16", by_name=True, cpu="asimdhp", variant="-fp16"),
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
            "openvino", ("tflite", "onnx"), Package(*3 * ("openvino",)), f"{_ROOM}.openvino", by_name=True, writes_code=True
        ),
        Runtime("ncnn", ("ncnn",), Package("ncnn", "ncnn", "ncnn"), "edgecnn.edge.runtimes.ncnn"),
        # It wants an executable stack.
        Runtime("mnn", ("mnn",), Package("mnn", "MNN", "mnn"), "edgecnn.edge.runtimes.mnn", writes_code=True),
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

CalibrationName = Literal["minmax", "entropy", "percentile", "mse"]
"""A way to take ranges from activations."""

IoName = Literal["int8", "uint8", "float32"]
"""The type of an int8 file's input and output."""


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
        name: Name used in `formats`.
        title: Name as people write it.
        precisions: Names of the precisions it has, in the order of `PRECISIONS`.
        on_device: Whether devices run it.
        sources: Formats of the float files that it is made of.
        calibrations: Calibration methods of its quantizer, the default first.
        mark: Bytes that identify its files; None if the runtime's own error is the check.
        io: Types of the input and output of its int8 files, the default first.
        signatures: Whether a file may hold several named graphs.
        trusted: Whether a file may need Python modules that define its layers; their code then runs.
        reader: Package that reads its layers; None if edgecnn can't read them.
        anatomy: Module that reads a file's layers; None if edgecnn can't read them.
        ending: Module that reads which operator makes a file's output; None if edgecnn can't read it.
        requirements: Module that reads which release of a runtime a file needs; None if no device runs it, or nobody lists it.
        importer: Module that reads a file from elsewhere for an export; None if none is made of such files.
        converter: Module that writes its files; None if edgecnn writes none.
        describer: Module that writes a description into its files; None if they have no place for one.
        pair: Module that compares a quantized file with its float file; None if there are no such files.
        made_with: Packages that write its files, by their pip names.
        by_name: Whether it is exported only if it is named.
        extension: Suffix of its files without the dot; None if it is the name.
        other_suffixes: Suffixes of other files that its runtime reads too; `other_mark` has their bytes.
        apart: Whether its packages bring PyTorch, so that only the environment of `make executorch` has them.
    """

    name: str
    title: str
    precisions: tuple[str, ...]
    on_device: bool = True
    sources: tuple[str, ...] = ()
    reader: Package | None = None
    anatomy: str | None = None
    mark: Mark | None = None
    signatures: bool = False
    trusted: bool = False
    calibrations: tuple[CalibrationName, ...] = ()
    io: tuple[IoName, ...] = ("float32",)
    ending: str | None = None
    requirements: str | None = None
    importer: str | None = None
    converter: str | None = None
    describer: str | None = None
    pair: str | None = None
    made_with: tuple[str, ...] = ()
    by_name: bool = False
    extension: str | None = None
    other_suffixes: tuple[str, ...] = ()
    other_mark: Mark | None = None
    apart: bool = False

    @property
    def suffix(self) -> str:
        """Suffix of its files, with the dot."""
        return f".{self.extension or self.name}"

    @property
    def through_onnx(self) -> bool:
        """Whether its files are made of an ONNX graph of the model."""
        return "onnx" in self.sources

    def file_name(self, precision: str) -> str:
        """Return the name of an exported file of a precision."""
        return f"{precision}{self.suffix}"


FORMATS = {
    row.name: row
    for row in (
        Format(
            "keras",
            title="Keras",
            on_device=False,
            precisions=("float32",),
            mark=Mark(0, b"PK\x03\x04", "not a zip archive", "save it with model.save('name.keras')"),
            other_suffixes=(".h5", ".hdf5"),
            other_mark=Mark(0, b"\x89HDF\r\n\x1a\n", "no HDF5 mark", "copy it again, or save it with model.save('name.keras')"),
            trusted=True,
            reader=TENSORFLOW,
            anatomy="edgecnn.convert.keras.summary",
            ending="edgecnn.convert.keras.runtime",
            importer="edgecnn.convert.keras.source",
            made_with=("tensorflow", "keras"),
        ),
        Format(
            "tflite",
            title="TFLite",
            precisions=("float32", "float16", "dynamic", "int8", "int4", "int16x8"),
            sources=("keras", "tflite"),
            calibrations=("minmax", "percentile", "mse", "entropy"),
            io=("int8", "uint8", "float32"),
            mark=Mark(4, b"TFL3", "no TFL3 mark", "copy it again, or name another file"),
            signatures=True,
            reader=LITERT,
            anatomy="edgecnn.edge.graph.tflite",
            ending="edgecnn.edge.compatibility.tflite_graph",
            requirements="edgecnn.edge.compatibility.tflite",
            importer="edgecnn.convert.tflite.source",
            converter="edgecnn.convert.tflite.converter",
            describer="edgecnn.convert.tflite.metadata",
            pair="edgecnn.convert.tflite.pair",
            made_with=("ai-edge-litert", "litert-quantizer"),
        ),
        Format(
            "onnx",
            title="ONNX",
            precisions=("float32", "dynamic", "int8"),
            sources=("keras", "tflite", "onnx"),
            calibrations=("minmax", "entropy", "percentile"),
            reader=Package("onnx", "onnx", WORKSTATION),
            anatomy="edgecnn.edge.graph.onnx",
            ending="edgecnn.edge.compatibility.onnx",
            requirements="edgecnn.edge.compatibility.onnx",
            importer="edgecnn.convert.onnx.source",
            converter="edgecnn.convert.onnx.converter",
            describer="edgecnn.convert.onnx.convert",
            pair="edgecnn.convert.onnx.pair",
            made_with=("onnx", "onnxruntime"),
        ),
        Format(
            "ncnn",
            title="ncnn",
            precisions=("float32", "int8"),
            sources=("keras", "onnx"),
            calibrations=("minmax",),
            mark=Mark(0, b"PK\x03\x04", "not a zip archive", "zip -0 model.ncnn.param and model.ncnn.bin as NAME.ncnn"),
            ending="edgecnn.edge.runtimes.ncnn",
            converter="edgecnn.convert.ncnn",
            pair="edgecnn.convert.ncnn",
            made_with=("onnx", "pnnx", "ncnn"),
            by_name=True,
        ),
        Format(
            "mnn",
            title="MNN",
            precisions=("float32", "float16", "int8"),
            sources=("keras", "onnx"),
            calibrations=("minmax",),
            converter="edgecnn.convert.mnn",
            made_with=("onnx", "mnn"),
            by_name=True,
        ),
        Format(
            "executorch",
            title="ExecuTorch",
            precisions=("float32", "int8"),
            sources=("keras", "onnx"),
            calibrations=("minmax",),
            mark=Mark(4, b"ET12", "no ET12 mark", "copy it again, or name another file"),
            converter="edgecnn.convert.executorch",
            made_with=("onnx", "pnnx", "torch", "torchao", "executorch"),
            by_name=True,
            extension="pte",
            apart=True,
        ),
    )
}
"""Formats by name, in the order in which results list them."""


def device_formats() -> tuple[str, ...]:
    """Return the names of the formats that a device runs."""
    return tuple(row.name for row in FORMATS.values() if row.on_device)


def default_formats(source: str = "keras") -> tuple[str, ...]:
    """Return the formats that are exported of one unless others are named: a file from elsewhere stays what it is."""
    usual = tuple(row.name for row in FORMATS.values() if row.on_device and not row.by_name)
    return (source,) if source in usual else usual


def is_exported(model_format: str | None) -> bool:
    """Return whether a device runs files of this format."""
    row = FORMATS.get(model_format or "")
    return row is None or row.on_device  # A later edgecnn may have written a format unknown here.


def is_marked(data: bytes, model_format: str) -> bool:
    """Return whether bytes have the mark of a format that has one."""
    row = FORMATS[model_format]
    return any(mark is not None and data.startswith(mark.data, mark.at) for mark in (row.mark, row.other_mark))


def suffixes() -> str:
    """Return the suffixes of all formats, for a sentence: `.keras, .tflite or .onnx`."""
    *others, last = (row.suffix for row in FORMATS.values())
    return f"{', '.join(others)} or {last}"


def format_of(path: Path) -> str | None:
    """Return the name of the format with this suffix; None if no format has it."""
    suffix = path.suffix.lower()
    return next((row.name for row in FORMATS.values() if suffix in (row.suffix, *row.other_suffixes)), None)
