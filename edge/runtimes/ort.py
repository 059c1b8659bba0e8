"""ONNX files, through ONNX Runtime on the CPU."""

import os
import re
from functools import cache
from importlib.metadata import version
from typing import Any

from numpy.typing import NDArray

from edge.errors import ArtifactError, ConfigError, MissingDependency
from edge.manifest import TensorSpec
from edge.runtimes.base import require_one_each

# TensorProto.external_data with its entry `location`: weights in a file that ONNX Runtime would look for in the current folder.
_EXTERNAL = re.compile(rb"\x6a.{1,2}\x0a\x08location\x12", re.DOTALL)


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
        ArtifactError: If the bytes are not a model that this version runs, or not the whole of it, or it has not one input and
            one output, of numbers.
        ConfigError: If a signature is named, which ONNX files don't have.
    """

    name = "onnxruntime"

    def __init__(self, data: bytes, threads: int, signature: str | None = None) -> None:
        if signature is not None:
            raise ConfigError("an ONNX model has no signatures: leave --signature away")
        self.version, onnxruntime = _library()
        options = session_options(threads)
        if _EXTERNAL.search(data):
            raise ArtifactError(
                "the ONNX model keeps its weights in another file, which no hash covers: put them into it with "
                "onnx.save(onnx.load('model.onnx'), 'whole.onnx')"
            )
        try:
            # Its fallback tries the same again and prints about it on standard output.
            self._session = onnxruntime.InferenceSession(
                data, options, providers=["CPUExecutionProvider"], enable_fallback=False
            )
        except Exception as error:  # onnxruntime's errors share no public base class but this one.
            reason = " ".join(str(error).split())[-200:]  # It begins with where in onnxruntime's source, and ends with why.
            raise ArtifactError(f"onnxruntime {self.version} can't load the ONNX model ({reason}): export it again") from error
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        require_one_each("ONNX", [node.name for node in inputs], [node.name for node in outputs])
        for node in (inputs[0], outputs[0]):
            if not node.type.startswith("tensor(") or node.type == "tensor(string)":
                raise ArtifactError(f"{node.name} of the ONNX model is a {node.type}: give one of tensors of numbers")
        self.input_spec, self.output_spec = _spec(inputs[0]), _spec(outputs[0])

    def run(self, batch: NDArray[Any]) -> NDArray[Any]:
        """Run a batch."""
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
