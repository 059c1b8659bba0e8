"""A .ncnn file: ncnn's two files of a network in one zip archive, so that one hash covers both.

`unzip int8.ncnn` gives `model.ncnn.param` and `model.ncnn.bin`, which programs in C++ and ncnn's tools take. The members are
stored, not compressed. The first is text, a line for each layer:
https://github.com/Tencent/ncnn/wiki/param-and-model-file-structure
"""

import io
import zipfile
from collections.abc import Iterator
from typing import NamedTuple

from edgecnn.edge.errors import ArtifactError
from edgecnn.edge.parsing import parsing

PARAM_NAME, BIN_NAME = "model.ncnn.param", "model.ncnn.bin"
_MAGIC = "7767517"
# They change the form of numbers, not what they are.
_PASSING = ("Dropout", "ExpandDims", "Flatten", "Noop", "Permute", "Reshape", "Split", "Squeeze")
_MOST_TEXT_BYTES, _MOST_BYTES = 2**24, 2**30


class NcnnLayer(NamedTuple):
    """A line of the .param file.

    Attributes:
        kind: ncnn's name of the layer: Convolution, Pooling, ...
        name: Its own name.
        inputs: Names of the blobs that it reads.
        outputs: Names of the blobs that it writes.
        options: Its options by their numbers.
    """

    kind: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    options: dict[str, str]

    def option(self, number: int) -> int:
        """Return an option that is a whole number; 0 if it is not set, which is ncnn's default of those asked for here."""
        return int(self.options.get(str(number), "0"))

    def line(self) -> str:
        """Return the layer as a line of the file."""
        options = [f"{number}={value}" for number, value in self.options.items()]
        counts = map(str, (len(self.inputs), len(self.outputs)))
        return " ".join((f"{self.kind:<24} {self.name:<24}", *counts, *self.inputs, *self.outputs, *options))


class NcnnFile(NamedTuple):
    """The content of a .ncnn file.

    Attributes:
        layers: The layers in the order in which they run.
        weights: The .bin file: the weights of all layers, in that order.
    """

    layers: tuple[NcnnLayer, ...]
    weights: bytes

    def param(self) -> str:
        """Return the .param file."""
        blobs = {name for layer in self.layers for name in layer.outputs}
        lines = [_MAGIC, f"{len(self.layers)} {len(blobs)}", *(layer.line() for layer in self.layers)]
        return "\n".join(lines) + "\n"

    def pack(self) -> bytes:
        """Return the .ncnn file; the same bytes each time."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for name, data in ((PARAM_NAME, self.param().encode()), (BIN_NAME, self.weights)):
                archive.writestr(zipfile.ZipInfo(name), data)  # Its time is 1980 unless one is given.
        return buffer.getvalue()


def unpack(data: bytes) -> NcnnFile:
    """Read a .ncnn file.

    Raises:
        ArtifactError: If the bytes are not such a file.
    """
    with parsing("the ncnn file can't be read", "copy it again"):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if sorted(archive.namelist()) != [BIN_NAME, PARAM_NAME]:
                raise ArtifactError(f"the ncnn file must hold {PARAM_NAME} and {BIN_NAME} alone: zip -0 them as NAME.ncnn")
            text = _member(archive, PARAM_NAME, _MOST_TEXT_BYTES).decode()
            weights = _member(archive, BIN_NAME, _MOST_BYTES)
        return NcnnFile(tuple(read_param(text)), weights)


def last_operator(data: bytes, model: object) -> str | None:
    """Return the layer that makes the output. See `edgecnn.edge.inference.model_interface.require_stated_output`."""
    wanted = None
    for layer in reversed(unpack(data).layers):
        if wanted is None or wanted in layer.outputs:
            if layer.kind not in _PASSING or not layer.inputs:
                return layer.kind
            wanted = layer.inputs[0]
    return None


def read_param(text: str) -> Iterator[NcnnLayer]:
    """Yield the layers of a .param file.

    Raises:
        ValueError: If it is not one.
    """
    lines = [line.split() for line in text.splitlines() if line.strip()]
    if lines[0] != [_MAGIC]:
        raise ValueError(f"a .param file must begin with {_MAGIC}")
    for kind, name, inputs, outputs, *words in lines[2:]:
        first, last = int(inputs), int(inputs) + int(outputs)
        yield NcnnLayer(kind, name, tuple(words[:first]), tuple(words[first:last]), dict(_pair(word) for word in words[last:]))


def _pair(word: str) -> tuple[str, str]:
    number, _, value = word.partition("=")
    return number, value


def _member(archive: zipfile.ZipFile, name: str, most: int) -> bytes:
    info = archive.getinfo(name)
    if info.compress_type != zipfile.ZIP_STORED or info.file_size > most:
        raise ArtifactError(f"{name} must be stored, and have at most {most:,} bytes: zip -0 it")
    return archive.read(info)
