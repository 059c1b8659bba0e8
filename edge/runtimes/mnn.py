"""MNN files, through MNN on the CPU."""

import math
from collections.abc import Sequence
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecnn.edge.errors import ArtifactError
from edgecnn.edge.files import temporary_folder
from edgecnn.edge.manifest import TensorSpec
from edgecnn.edge.native_output import quiet
from edgecnn.edge.runtimes.base import imported, refuse_signature_and_state, require_one_each
from edgecnn.edge.text import printable


def import_library() -> tuple[str, Any]:
    """Import MNN. See `edgecnn.edge.runtimes.base.imported`."""
    with quiet(output=True):  # It lists the CPU's features on standard output.
        return imported("mnn")


class MnnModel:
    """A `LoadedModel` of .mnn bytes, opened as by any `OpenModel`.

    Raises:
        ArtifactError: If the bytes are not a whole model that this version runs, or it does not have one input and one output
            of float32 numbers whose sizes are fixed.
    """

    name = "mnn"

    def __init__(self, data: bytes, threads: int, signature: str | None = None, streaming: bool = False) -> None:
        refuse_signature_and_state("an MNN file", signature, streaming)
        self.version, mnn = import_library()
        self._net, self._session = open_session(self.version, mnn, data, threads)
        inputs: dict[str, Any] = self._net.getSessionInputAll(self._session)
        outputs: dict[str, Any] = self._net.getSessionOutputAll(self._session)
        require_one_each("MNN", list(inputs), list(outputs))
        (taken, self._input), (given, self._output) = next(iter(inputs.items())), next(iter(outputs.items()))
        self.input_spec, self.output_spec = _spec(mnn, taken, self._input), _spec(mnn, given, self._output)
        # Tensors in this process's own layout, and their numbers: MNN keeps channels in groups of 4 or more.
        self._given, self._batch = host_tensor(mnn, self._input)
        self._taken, self._result = host_tensor(mnn, self._output)
        self._lock = Lock()  # Threads would fill the same tensors.

    def run(self, batch: NDArray[Any]) -> NDArray[Any]:
        """Run a batch."""
        if batch.shape != self._batch.shape:  # numpy would repeat its numbers.
            raise ValueError(f"a batch must be {self._batch.shape}, got {batch.shape}")
        with self._lock:
            self._batch[:] = batch
            self._input.copyFrom(self._given)
            if status := self._net.runSession(self._session):
                raise RuntimeError(f"MNN ended with {status}")
            self._output.copyToHostTensor(self._taken)
            return self._result.copy()


open_model = MnnModel


def open_session(version: str, mnn: Any, data: bytes, threads: int, kept: Sequence[str] = ()) -> tuple[Any, Any]:
    """Return MNN's interpreter and session of a model. It computes in float32 whatever the CPU has, except what is int8.

    `kept` names the tensors, with the output's, that can be read after a run; none means the output alone.

    Raises:
        ArtifactError: If MNN refuses it.
    """
    options = {"backend": "CPU", "numThread": threads, "precision": "high"}
    if kept:
        options["saveTensors"] = tuple(kept)
    # It takes a path, and keeps the model in memory by it.
    with temporary_folder() as folder, quiet(output=True):
        path = folder / "model.mnn"
        path.write_bytes(data)
        try:
            net = mnn.Interpreter(str(path))
            return net, net.createSession(options)
        except Exception as error:  # It raises no other class.
            fix = "copy it again, or convert it again for this release"
            raise ArtifactError(f"mnn {version} can't load the MNN model (its structure is damaged or new): {fix}") from error


def host_tensor(mnn: Any, tensor: Any) -> tuple[Any, NDArray[np.float32]]:
    """Return a tensor to copy float32 numbers to or from, rows as numpy has them, and these numbers, in its shape."""
    shape = tuple(tensor.getShape())
    last = tensor.getDimensionType() == mnn.Tensor_DimensionType_Tensorflow
    layout = mnn.Tensor_DimensionType_Tensorflow if last else mnn.Tensor_DimensionType_Caffe
    host = mnn.Tensor(shape, mnn.Halide_Type_Float, np.zeros(shape, np.float32), layout)
    return host, host.getNumpyData()


def _spec(mnn: Any, name: str, tensor: Any) -> TensorSpec:
    shape = tuple(tensor.getShape())
    if tensor.getDataType() is not mnn.Halide_Type_Float or min(shape, default=1) < 1 or not math.prod(shape):
        what = f"{printable(name)} has the sizes {shape}"
        raise ArtifactError(f"the MNN model must take and give float32 numbers of fixed sizes ({what}): convert it again so")
    return TensorSpec(name, shape, "float32")
