"""ONNX files, through ONNX Runtime on the CPU."""

import os
from typing import Any

from numpy.typing import NDArray

from edgecnn.edge.errors import ArtifactError
from edgecnn.edge.manifest import TensorSpec
from edgecnn.edge.parsing import parsing
from edgecnn.edge.runtimes.base import imported, require_one_each
from edgecnn.edge.runtimes.onnx_file import require_usable
from edgecnn.edge.text import ending

# Messages below this level go to the terminal, in colours and with names from the file; what matters comes as an exception.
_FATAL = 4
NO_TELEMETRY = {"ORT_DISABLE_TELEMETRY": "1"}
"""For the environment: onnxruntime 1.29 and later sends telemetry by default, and reads this when it is imported."""


def import_library() -> None:
    """Import onnxruntime with its telemetry off. Call it before anything that imports onnxruntime by itself.

    Raises:
        MissingDependency: If it is not installed.
    """
    _library()


class OnnxSession:
    """A `LoadedModel` of .onnx bytes.

    Raises:
        MissingDependency: If onnxruntime is not installed.
        ArtifactError: If the bytes are not a whole model that this version runs, it does not have one numeric input and
            one numeric output, or it draws random numbers.
        ConfigError: If a signature is named or streaming is set: ONNX files have no signatures and no state.
    """

    name = "onnxruntime"

    def __init__(self, data: bytes, threads: int, signature: str | None = None, streaming: bool = False) -> None:
        require_usable(data, signature, streaming)
        self.version, onnxruntime = _library()
        options = session_options(threads)
        try:
            # Its fallback tries the same again, and prints to standard output.
            self._session = onnxruntime.InferenceSession(
                data, options, providers=["CPUExecutionProvider"], enable_fallback=False
            )
        except Exception as error:  # onnxruntime's errors share no other public base class.
            reason = ending(str(error), 200)  # It begins with a place in onnxruntime's source and ends with the reason.
            fix = "copy it again, or convert it again with operators that this runtime has"
            raise ArtifactError(f"onnxruntime {self.version} can't load the ONNX model ({reason}): {fix}") from error
        with parsing("the ONNX model's inputs and outputs can't be read", "give them names in UTF-8"):
            inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
            require_one_each("ONNX", [node.name for node in inputs], [node.name for node in outputs])
            for node in (inputs[0], outputs[0]):
                if not node.type.startswith("tensor(") or node.type == "tensor(string)":
                    raise ArtifactError(f"{node.name} of the ONNX model is a {node.type}: give a model with tensors of numbers")
            self.input_spec, self.output_spec = _spec(inputs[0]), _spec(outputs[0])

    def run(self, batch: NDArray[Any]) -> NDArray[Any]:
        """Run a batch."""
        output: NDArray[Any] = self._session.run(None, {self.input_spec.name: batch})[0]
        return output


def open_model(data: bytes, threads: int, signature: str | None = None, streaming: bool = False) -> OnnxSession:
    """Open a model's bytes. See `edgecnn.edge.runtimes.base.OpenModel`."""
    return OnnxSession(data, threads, signature, streaming)


def session_options(threads: int) -> Any:
    """Return onnxruntime's options for this number of threads.

    Raises:
        MissingDependency: If it is not installed.
    """
    _, onnxruntime = _library()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _FATAL
    return options


def _library() -> tuple[str, Any]:
    for name, value in NO_TELEMETRY.items():
        os.environ.setdefault(name, value)
    version, onnxruntime = imported("onnxruntime")
    onnxruntime.set_default_logger_severity(_FATAL)  # This covers messages outside a session too.
    return version, onnxruntime


def _spec(node: Any) -> TensorSpec:
    names = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(double)": "float64"}
    dtype = names.get(node.type, node.type.removeprefix("tensor(").removesuffix(")"))
    shape = tuple(size if isinstance(size, int) and size >= 0 else None for size in node.shape)
    return TensorSpec(node.name, shape, dtype)
