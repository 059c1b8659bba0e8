"""ONNX files, through ONNX Runtime on the CPU."""

import os
from functools import cache
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import ArtifactError, MissingDependency
from edge.manifest import TensorSpec


def import_library() -> None:
    """Import onnxruntime with its telemetry off.

    Raises:
        MissingDependency: If it is not installed.
    """
    _library()


class OrtRuntime:
    """A `Runtime` for .onnx bytes.

    Raises:
        MissingDependency: If onnxruntime is not installed.
        ArtifactError: If the bytes are not a model that this version runs.
    """

    name = "onnxruntime"

    def __init__(self, data: bytes, threads: int) -> None:
        self.version, onnxruntime = _library()
        options = session_options(threads)
        try:
            # Its fallback tries the same again and prints about it on standard output.
            self._session = onnxruntime.InferenceSession(
                data, options, providers=["CPUExecutionProvider"], enable_fallback=False
            )
        except Exception as error:  # onnxruntime's errors share no public base class but this one.
            reason = " ".join(str(error).split())[:200]
            raise ArtifactError(f"onnxruntime {self.version} can't load the ONNX model ({reason}): export it again") from error
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if len(inputs) != 1 or len(outputs) != 1:
            raise ArtifactError(f"the ONNX model has {len(inputs)} inputs and {len(outputs)} outputs: give one with one each")
        self.input_spec, self.output_spec = _spec(inputs[0]), _spec(outputs[0])

    def run(self, batch: NDArray[Any]) -> NDArray[Any]:
        """Run a batch; a file with a fixed batch of one runs it image by image."""
        if self.input_spec.shape[0] is not None and len(batch) != 1:
            return np.concatenate([self.run(batch[i : i + 1]) for i in range(len(batch))])
        output: NDArray[Any] = self._session.run(None, {self.input_spec.name: batch})[0]
        return output


def session_options(threads: int) -> Any:
    """Return onnxruntime's options for so many threads.

    Raises:
        MissingDependency: If it is not installed.
    """
    _, onnxruntime = _library()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # Errors: warnings about what the optimiser left alone say nothing to a user.
    return options


def _library() -> tuple[str, Any]:
    # onnxruntime 1.29 and later sends telemetry by default; it reads this when it is imported.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        if error.name != "onnxruntime":
            raise
        raise MissingDependency("ONNX Runtime is not installed: pip install 'edgecnn[onnx]'") from error
    return _version(), onnxruntime


@cache  # Looking a version up costs milliseconds, which would count as the model's loading.
def _version() -> str:
    return version("onnxruntime")


def _spec(node: Any) -> TensorSpec:
    names = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(double)": "float64"}
    dtype = names.get(node.type, node.type.removeprefix("tensor(").removesuffix(")"))
    shape = tuple(size if isinstance(size, int) else None for size in node.shape)
    return TensorSpec(node.name, shape, dtype)
