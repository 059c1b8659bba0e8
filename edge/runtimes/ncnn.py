"""ncnn files, through ncnn on the CPU."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecnn.edge.errors import ArtifactError, ConfigError, field
from edgecnn.edge.manifest import TensorSpec
from edgecnn.edge.parsing import parsing
from edgecnn.edge.quiet import quiet
from edgecnn.edge.runtimes.base import imported, require_one_each
from edgecnn.edge.runtimes.ncnn_file import BIN_NAME, PARAM_NAME, NcnnFile, unpack
from edgecnn.edge.temporary import temporary_folder


def import_library() -> None:
    """Import ncnn.

    Raises:
        MissingDependency: If it is not installed.
    """
    imported("ncnn")


class NcnnModel:
    """A `LoadedModel` of a .ncnn file. ncnn has no batch axis, so it takes one image, with channels first.

    Raises:
        MissingDependency: If ncnn is not installed.
        ArtifactError: If the bytes are not such a file, ncnn refuses it, it does not have one input and one output, or its
            Input layer has no sizes.
        ConfigError: If a signature is named or streaming is set: ncnn files have no signatures and no state.
    """

    name = "ncnn"

    def __init__(self, data: bytes, threads: int, signature: str | None = None, streaming: bool = False) -> None:
        if signature is not None:
            raise ConfigError(f"an ncnn file has no signatures: omit {field('signature')}")
        if streaming:
            raise ConfigError("an ncnn file keeps no state between runs: omit streaming")
        file = unpack(data)
        self.version, ncnn = imported("ncnn")
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


def open_model(data: bytes, threads: int, signature: str | None = None, streaming: bool = False) -> NcnnModel:
    """Open a model's bytes. See `edgecnn.edge.runtimes.base.OpenModel`."""
    return NcnnModel(data, threads, signature, streaming)


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
