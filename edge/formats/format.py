"""Formats, one row each."""

from typing import Literal, NamedTuple

from edgecnn.edge.formats.package import WORKSTATION, Package

CalibrationName = Literal["minmax", "entropy", "percentile"]
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
        on_device: Whether devices run it; the others are exported from `keras`.
        precisions: Names of the precisions it has, in the order of `PRECISIONS`.
        calibrations: Calibration methods of its quantizer, the default first.
        mark: Bytes that identify its files; None if the runtime's own error is the check.
        io: Types that the input and output of its int8 files may have, the default first.
        signatures: Whether a file may hold several named graphs.
        trusted: Whether a file may need Python modules that define its layers; their code then runs.
        reader: Package that reads its layers; None if edgecnn can't read them.
        anatomy: Module that reads a file's layers; None if edgecnn can't read them.
        ending: Module that reads which operator makes a file's output; None if edgecnn can't read it.
        requirements: Module that reads which release of a runtime a file needs; None if no device runs it, or nobody lists it.
        converter: Module that writes its files; None if edgecnn writes none.
        describer: Module that writes a description into its files; None if they have no place for one.
        pair: Module that compares a quantized file with its float file; None if there are no such files.
        made_with: Packages besides TensorFlow that write its files, by their pip names.
        by_name: Whether it is exported only if it is named.
        extension: Suffix of its files without the dot; None if it is the name.
        apart: Whether its packages bring PyTorch. Then one environment alone of this project's has them, `make executorch`,
            and no emulated board.
    """

    name: str
    title: str
    on_device: bool
    precisions: tuple[str, ...]
    reader: Package | None = None
    anatomy: str | None = None
    mark: Mark | None = None
    signatures: bool = False
    trusted: bool = False
    calibrations: tuple[CalibrationName, ...] = ()
    io: tuple[IoName, ...] = ("float32",)
    ending: str | None = None
    requirements: str | None = None
    converter: str | None = None
    describer: str | None = None
    pair: str | None = None
    made_with: tuple[str, ...] = ()
    by_name: bool = False
    extension: str | None = None
    apart: bool = False

    @property
    def suffix(self) -> str:
        """Suffix of its files, with the dot."""
        return f".{self.extension or self.name}"

    def file_name(self, precision: str) -> str:
        """Return the name of an exported file of a precision."""
        return f"{precision}{self.suffix}"


TENSORFLOW = Package("tensorflow", "tensorflow", WORKSTATION)
LITERT = Package("ai-edge-litert", "ai_edge_litert.interpreter", "tflite")

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
            reader=TENSORFLOW,
            anatomy="edgecnn.convert.keras.summary",
            ending="edgecnn.convert.keras.runtime",
        ),
        Format(
            "tflite",
            title="TFLite",
            on_device=True,
            precisions=("float32", "float16", "dynamic", "int8", "int16x8"),
            calibrations=("minmax",),
            io=("int8", "uint8", "float32"),
            mark=Mark(4, b"TFL3", "no TFL3 mark", "copy it again, or name another file"),
            signatures=True,
            reader=LITERT,
            anatomy="edgecnn.edge.anatomy.tflite",
            ending="edgecnn.edge.compatibility.tflite_ends",
            requirements="edgecnn.edge.compatibility.tflite",
            converter="edgecnn.convert.tflite.converter",
            describer="edgecnn.convert.tflite.metadata",
            pair="edgecnn.convert.diagnosis.tflite",
            made_with=("ai-edge-litert", "litert-quantizer"),
        ),
        Format(
            "onnx",
            title="ONNX",
            on_device=True,
            precisions=("float32", "int8"),
            calibrations=("minmax", "entropy", "percentile"),
            reader=Package("onnx", "onnx", WORKSTATION),
            anatomy="edgecnn.edge.anatomy.onnx",
            ending="edgecnn.edge.compatibility.onnx",
            requirements="edgecnn.edge.compatibility.onnx",
            converter="edgecnn.convert.onnx.converter",
            describer="edgecnn.convert.onnx.metadata",
            pair="edgecnn.convert.diagnosis.onnx",
            made_with=("tf2onnx", "onnx", "onnxslim", "onnxruntime"),
        ),
        Format(
            "ncnn",
            title="ncnn",
            on_device=True,
            precisions=("float32", "int8"),
            calibrations=("minmax",),
            mark=Mark(0, b"PK\x03\x04", "not a zip archive", "zip -0 model.ncnn.param and model.ncnn.bin as NAME.ncnn"),
            ending="edgecnn.edge.runtimes.ncnn_file",
            converter="edgecnn.convert.ncnn.converter",
            pair="edgecnn.convert.diagnosis.ncnn",
            made_with=("tf2onnx", "pnnx", "ncnn"),
            by_name=True,
        ),
        Format(
            "mnn",
            title="MNN",
            on_device=True,
            precisions=("float32", "float16", "int8"),
            calibrations=("minmax",),
            converter="edgecnn.convert.mnn.converter",
            made_with=("tf2onnx", "mnn"),
            by_name=True,
        ),
        Format(
            "executorch",
            title="ExecuTorch",
            on_device=True,
            precisions=("float32", "int8"),
            calibrations=("minmax",),
            mark=Mark(4, b"ET12", "no ET12 mark", "copy it again, or name another file"),
            converter="edgecnn.convert.executorch.converter",
            made_with=("tf2onnx", "pnnx", "torch", "torchao", "executorch"),
            by_name=True,
            extension="pte",
            apart=True,
        ),
    )
}
"""Formats by name, in the order in which results list them."""
