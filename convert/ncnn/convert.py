"""Converts float32 .onnx bytes to an ncnn file with pnnx."""

import re

from edgecnn.convert.onnx.pnnx import run_pnnx
from edgecnn.edge.errors import ConversionError, field
from edgecnn.edge.runtimes.ncnn_file import NcnnFile, read_param
from edgecnn.edge.temporary import temporary_folder

# What pnnx says of an operator that ncnn lacks, which it leaves out or keeps under a name that ncnn refuses.
_LEFT_OUT = re.compile(r"^ignore (\S+)", re.MULTILINE)


def to_ncnn(onnx: bytes, shape: tuple[int, int, int]) -> NcnnFile:
    """Convert a network that takes one image with channels first.

    Args:
        onnx: A float32 .onnx file with one input (1, channels, height, width).
        shape: (channels, height, width).

    Raises:
        ConversionError: If pnnx fails, or ncnn lacks an operator.
        MissingDependency: If pnnx is not installed.
    """
    with temporary_folder() as folder:
        code, said = run_pnnx(onnx, shape, folder)
        written = [folder / "model.ncnn.param", folder / "model.ncnn.bin"]
        if code or not all(path.exists() for path in written):
            raise _failed(f"pnnx ended with {code}")
        if lacking := sorted(set(_LEFT_OUT.findall(said))):
            raise _failed(f"ncnn has no {', '.join(lacking)} as this network uses it")
        file = NcnnFile(tuple(read_param(written[0].read_text())), written[1].read_bytes())
    channels, height, width = shape
    # pnnx leaves the sizes out, without which nobody knows what a file takes.
    entry = {"0": str(width), "1": str(height), "2": str(channels)}
    layers = (layer._replace(options=entry) if layer.kind == "Input" else layer for layer in file.layers)
    return file._replace(layers=tuple(layers))


def _failed(reason: str) -> ConversionError:
    fix = f"replace that layer, or use other {field('formats')}"
    return ConversionError(f"ncnn: the model can't be converted ({reason}): {fix}")
