"""ncnn files, which are ncnn's two files of a network in one zip archive, through ncnn on the CPU."""

import io
import zipfile
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgecnn.edge.errors import ArtifactError, parsing
from edgecnn.edge.files import temporary_folder
from edgecnn.edge.manifest import TensorSpec
from edgecnn.edge.native_output import quiet
from edgecnn.edge.runtimes.base import imported, refuse_signature_and_state, require_one_each

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
    """Return the layer that makes the output. See `edgecnn.edge.model.interface.require_stated_output`."""
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


def import_library() -> tuple[str, Any]:
    """Import ncnn. See `edgecnn.edge.runtimes.base.imported`."""
    return imported("ncnn")


class NcnnModel:
    """A `LoadedModel` of a .ncnn file, opened as by any `OpenModel`.

    ncnn has no batch axis, so it takes one image, with channels first.

    Raises:
        ArtifactError: If the bytes are not such a file, ncnn refuses it, it does not have one input and one output, or its
            Input layer has no sizes.
    """

    name = "ncnn"

    def __init__(self, data: bytes, threads: int, signature: str | None = None, streaming: bool = False) -> None:
        refuse_signature_and_state("an ncnn file", signature, streaming)
        file = unpack(data)
        self.version, ncnn = import_library()
        self._mat, self._net = ncnn.Mat, load(ncnn, file, threads)
        inputs, outputs = list(self._net.input_names()), list(self._net.output_names())
        require_one_each("ncnn", inputs, outputs)
        self.input_spec = input_spec(file)
        self._input, self._output = inputs[0], outputs[0]
        self.output_spec = TensorSpec(self._output, self._output_shape(), "float32")

    def _output_shape(self) -> tuple[int, ...]:
        """Return the shape of what comes out, which no file says."""
        try:
            return self.run(np.zeros([size or 1 for size in self.input_spec.shape], np.float32)).shape
        except RuntimeError as error:
            raise ArtifactError(f"the network can't be run ({error}): convert it again with layers that ncnn has") from error

    def run(self, batch: NDArray[Any]) -> NDArray[Any]:
        """Run one image."""
        extractor = self._net.create_extractor()
        image = np.ascontiguousarray(batch[0])  # A name of its own, since a Mat does not keep the array that it is made of.
        # A copy: layers that work in place would change the caller's numbers, or crash where they are not aligned.
        extractor.input(self._input, self._mat(image).clone())
        status, output = extractor.extract(self._output)
        if status:
            raise RuntimeError(f"ncnn ended with {status}")
        return np.array(output, np.float32).reshape(1, -1)


open_model = NcnnModel


def load(ncnn: Any, file: NcnnFile, threads: int) -> Any:
    """Return ncnn's network. It computes in float32 and, where a layer has scales, in integers.

    Raises:
        ArtifactError: If ncnn refuses it.
    """
    net = ncnn.Net()
    options = net.opt
    options.num_threads = threads
    options.use_vulkan_compute = False
    # On CPUs that can, it would compute in float16, and an image's probabilities would not add up to 1.
    options.use_fp16_packed = options.use_fp16_storage = options.use_fp16_arithmetic = False
    # It takes paths: from memory it would keep pointers to bytes that Python may free.
    with quiet(), temporary_folder() as folder:
        (folder / PARAM_NAME).write_text(file.param())
        (folder / BIN_NAME).write_bytes(file.weights)
        if net.load_param(str(folder / PARAM_NAME)) or net.load_model(str(folder / BIN_NAME)):
            raise ArtifactError(
                f"ncnn {ncnn.__version__} can't load the network: copy it again, or convert it again with layers that it has"
            )
    return net


def input_spec(file: NcnnFile) -> TensorSpec:
    """Return the input of a file: one image, channels first.

    Raises:
        ArtifactError: If its Input layer has no sizes.
    """
    with parsing("the ncnn file's input can't be read", "copy it again"):
        layer = next(layer for layer in file.layers if layer.kind == "Input")
        width, height, channels = (layer.option(number) for number in range(3))
        if min(width, height, channels) < 1:
            raise ArtifactError(
                f"the Input layer of the ncnn file has no sizes: add 0=WIDTH 1=HEIGHT 2=CHANNELS to its line in {PARAM_NAME}"
            )
        return TensorSpec(layer.outputs[0], (1, channels, height, width), "float32")
