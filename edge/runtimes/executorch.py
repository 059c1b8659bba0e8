"""ExecuTorch files, through ExecuTorch on the CPU. Its Python interface needs PyTorch, on a board too."""

import warnings
from importlib import import_module
from importlib.util import find_spec
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecnn.edge.errors import ArtifactError, why
from edgecnn.edge.formats import RUNTIMES
from edgecnn.edge.manifest import TensorSpec
from edgecnn.edge.native_output import quiet
from edgecnn.edge.runtimes.base import imported, refuse_signature_and_state

# PyTorch's number of the type float32.
_FLOAT32 = 6
_METHOD = "forward"


def require_installed() -> None:
    """Raise unless ExecuTorch and PyTorch are installed, without importing them.

    Raises:
        MissingDependency: If one is not installed.
    """
    package = RUNTIMES["executorch"].package
    if not package.is_installed:
        raise package.missing
    if find_spec("torch") is None:  # ExecuTorch needs it, and does not ask for it.
        raise package._replace(name="torch").missing


def import_library() -> tuple[str, Any]:
    """Import ExecuTorch and PyTorch. See `edgecnn.edge.runtimes.base.imported`.

    Raises:
        MissingDependency: If one is not installed.
    """
    require_installed()
    with quiet(), warnings.catch_warnings(action="ignore"):  # It says that it is experimental.
        return imported("executorch")


class ExecuTorchModel:
    """A `LoadedModel` of .pte bytes, opened as by any `OpenModel`.

    Raises:
        ArtifactError: If the bytes are not a whole program that this version runs, or its method `forward` does not have one
            input and one output of float32 numbers.
    """

    name = "executorch"

    def __init__(self, data: bytes, threads: int, signature: str | None = None, streaming: bool = False) -> None:
        refuse_signature_and_state("an ExecuTorch file", signature, streaming)
        self.version, library = import_library()
        torch = import_module("torch")
        self._data = data  # It keeps a pointer to these bytes.
        try:
            with quiet():
                library._unsafe_reset_threadpool(threads)  # The only way, and for all models of the process.
                self._module = library._load_for_executorch_from_buffer(data)
                meta = self._module.method_meta(_METHOD)
                counts = meta.num_inputs(), meta.num_outputs()
                tensors = [meta.input_tensor_meta(0), meta.output_tensor_meta(0)] if counts == (1, 1) else []
        except Exception as error:  # It raises RuntimeError and whatever its readers do.
            raise ArtifactError(
                f"executorch {self.version} can't load the ExecuTorch program ({why(error, 200)}): copy it again, or convert "
                "it again for this release"
            ) from error
        if [tensor.dtype() for tensor in tensors] != [_FLOAT32, _FLOAT32]:
            raise ArtifactError(
                "the ExecuTorch program must take and give one tensor of float32 numbers: export it again with others "
                "converted inside it"
            )
        taken, given = (tuple(tensor.sizes()) for tensor in tensors)
        self.input_spec, self.output_spec = TensorSpec("input", taken, "float32"), TensorSpec("output", given, "float32")
        self._input = torch.zeros(taken)
        self._batch = self._input.numpy()
        self._lock = Lock()  # Threads would fill the same tensor.

    def run(self, batch: NDArray[Any]) -> NDArray[Any]:
        """Run a batch."""
        if batch.shape != self._batch.shape:  # numpy would repeat its numbers.
            raise ValueError(f"a batch must be {self._batch.shape}, got {batch.shape}")
        with self._lock:
            self._batch[:] = batch
            output: NDArray[np.float32] = self._module.forward((self._input,))[0].numpy()
            return output.copy()


open_model = ExecuTorchModel
