"""ONNX files, through OpenVINO on the CPU."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecnn.edge.errors import ArtifactError
from edgecnn.edge.manifest import TensorSpec
from edgecnn.edge.parsing import parsing
from edgecnn.edge.runtimes.base import imported, require_one_each
from edgecnn.edge.runtimes.onnx_file import require_usable
from edgecnn.edge.text import ending


def import_library() -> None:
    """Import openvino.

    Raises:
        MissingDependency: If it is not installed.
    """
    imported("openvino")


class OpenVinoModel:
    """A `LoadedModel` of .onnx bytes.

    Raises:
        MissingDependency: If openvino is not installed.
        ArtifactError: If the bytes are not a whole model that this version runs, it does not have one input and one output
            whose sizes are fixed, except for the batch, or it draws random numbers.
        ConfigError: If a signature is named or streaming is set: ONNX files have no signatures and no state.
    """

    name = "openvino"

    def __init__(self, data: bytes, threads: int, signature: str | None = None, streaming: bool = False) -> None:
        require_usable(data, signature, streaming)
        self.version, openvino = imported("openvino")
        options = {
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
            # Newer CPUs would compute a float32 file in bfloat16, and some then refuse an int8 file.
            "INFERENCE_PRECISION_HINT": "f32",
        }
        try:
            core = openvino.Core()
            compiled = core.compile_model(core.read_model(data), "CPU", options)
        except Exception as error:  # Its errors share no other public base class.
            reason = ending(str(error), 200)
            fix = "copy it again, or convert it again with operators that this runtime has"
            raise ArtifactError(f"openvino {self.version} can't load the ONNX model ({reason}): {fix}") from error
        with parsing("the ONNX model's inputs and outputs can't be read", "give them names in UTF-8"):
            require_one_each("ONNX", *([port.any_name for port in ports] for ports in (compiled.inputs, compiled.outputs)))
            self.input_spec, self.output_spec = _spec(compiled.inputs[0]), _spec(compiled.outputs[0])
        self._request = compiled.create_infer_request()
        # Filling the request's own tensor takes half the time of passing a new one, which is made and checked.
        fixed = None not in self.input_spec.shape
        self._input: Any = self._request.get_input_tensor().data if fixed else None
        self._output: Any = self._request.get_output_tensor().data if fixed else None

    def run(self, batch: NDArray[Any]) -> NDArray[Any]:
        """Run a batch."""
        if self._input is None:
            found: NDArray[Any] = self._request.infer([batch])[0].copy()
            return found
        self._input[:] = batch
        self._request.infer()
        output: NDArray[Any] = self._output.copy()
        return output


def open_model(data: bytes, threads: int, signature: str | None = None, streaming: bool = False) -> OpenVinoModel:
    """Open a model's bytes. See `edgecnn.edge.runtimes.base.OpenModel`."""
    return OpenVinoModel(data, threads, signature, streaming)


def _spec(port: Any) -> TensorSpec:
    shape = tuple(size.get_length() if size.is_static else None for size in port.partial_shape)
    return TensorSpec(port.any_name, shape, np.dtype(port.element_type.to_dtype()).name)
